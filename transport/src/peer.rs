//! Who is at the other end of a link.

use std::net::SocketAddr;

use quorate_membership::{Incarnation, Member, NodeId};
use serde::{Deserialize, Serialize};

/// What a certificate entitles its holder to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// A node of the cluster.
    Node,
    /// An application that uses the cluster through one of its nodes.
    Client,
}

/// Whom to open a link to. The address may be wrong or outdated; the identity is what counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// The node that must answer; `None` accepts any node of the cluster and says which it is.
    pub node: Option<NodeId>,
    /// Where it is thought to listen.
    pub addr: SocketAddr,
}

/// What each side says of itself before anything else on a link.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest and the highest protocol version that this side speaks.
    pub versions: (u16, u16),
    /// Optional abilities, one bit each; only what both have is used.
    pub features: u64,
    /// The cluster, which the certificates must name too.
    pub cluster: String,
    /// The present life of the sender; a client counts its lives too.
    pub incarnation: Incarnation,
    /// Where the sender accepts links itself; `None` for a client.
    pub listens: Option<SocketAddr>,
}

/// The other end of a link, proved by its certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerInfo {
    /// Who it is, in its present life.
    pub member: Member,
    /// What it may do.
    pub role: Role,
    /// The version that both speak.
    pub version: u16,
    /// The abilities that both have.
    pub features: u64,
    /// From where it speaks now.
    pub addr: SocketAddr,
    /// Where it accepts links; `None` for a client.
    pub listens: Option<SocketAddr>,
    /// Whether it opened the link, and not this side.
    pub dialed_us: bool,
}
