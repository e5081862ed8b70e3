//! What a node looks like from outside.

use std::net::SocketAddr;

use quorate_membership::{Member, NodeId};
use serde::{Deserialize, Serialize};

use crate::group::GroupStatus;

/// Another node, as this one sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeId,
    /// Its present life, if it was met.
    pub member: Option<Member>,
    /// Where it accepts links, if that is known.
    pub addr: Option<SocketAddr>,
    /// Whether the cluster counts it as a member.
    pub in_cluster: bool,
    /// Whether there is a link to it.
    pub linked: bool,
    /// Whether both nodes hear each other.
    pub reachable: bool,
    /// Milliseconds since it was lost, while it is suspected; `None` if it is reachable or was never
    /// heard.
    pub lost_for_ms: Option<u64>,
}

/// A node, as it sees itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The node in its present life.
    pub member: Member,
    /// The cluster.
    pub cluster: String,
    /// Where it accepts links.
    pub addr: SocketAddr,
    /// Milliseconds within which a silent node is suspected.
    pub detect_within_ms: u64,
    /// The other nodes that it knows of.
    pub peers: Vec<PeerStatus>,
    /// The groups that run on it.
    pub groups: Vec<GroupStatus>,
    /// Clients that are connected to it.
    pub clients: usize,
}
