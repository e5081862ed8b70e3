//! What presence wants done, and what it knows.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use quorate_membership::{Beat, ClusterIdentity, Member, NodeId, Time};

use crate::Input;

/// What the shell has to do, in the order pushed.
#[derive(Clone, Debug)]
pub enum PresenceEffect {
    /// Send a heartbeat as a datagram.
    Beat {
        /// To whom.
        to: NodeId,
        /// What it says.
        beat: Beat,
    },
    /// Send a datagram of the cluster's membership.
    Swim {
        /// To whom.
        to: NodeId,
        /// At most [`Cluster::DATAGRAM_BYTES_MAX`](quorate_membership::Cluster::DATAGRAM_BYTES_MAX) bytes.
        bytes: Bytes,
    },
    /// Keep a link to this member from now on, at the address that it names.
    KeepLink(ClusterIdentity),
    /// A link to this node is no longer wanted.
    ForgetLink(NodeId),
    /// Tell all groups.
    Tell(Input),
    /// This process stood still. Each group that has not found out by itself
    /// ([`Stalls`](quorate_membership::Stalls)) is to be fed [`Input::Stalled`].
    Stalled,
    /// Two nodes hear each other, or no longer; for logs.
    Noticed(Notice),
    /// A heartbeat that asked for one back ([`Presence::ask`](super::Presence::ask)) was heard of, or a later one
    /// first.
    RoundTrip {
        /// The peer.
        node: NodeId,
        /// The number of the heartbeat that asked.
        sequence: u64,
        /// From when it was sent until the answer was taken in; `None` if a later one was answered first: it was
        /// lost, or its answer was.
        took: Option<Duration>,
    },
    /// Call [`Presence::on_detector_wake`](super::Presence::on_detector_wake) at this moment; replaces the one asked for before.
    WakeDetectorAt(Time),
    /// Call [`Presence::on_cluster_wake`](super::Presence::on_cluster_wake) at this moment; replaces the one asked for before.
    WakeClusterAt(Time),
}

/// Something worth a line in a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// This node and the member hear each other.
    Reachable(Member),
    /// They no longer do.
    Unreachable(NodeId),
    /// A node lives anew.
    Superseded {
        /// Its life before.
        old: Member,
        /// Its life now.
        new: Member,
    },
    /// This process stood still for so long.
    Stalled(Duration),
    /// The node is in the cluster.
    Up(ClusterIdentity),
    /// It no longer is.
    Down(ClusterIdentity),
}

/// What is known of another node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownNode {
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
    /// When it was lost; `None` if it is reachable or never was.
    pub lost_at: Option<Time>,
}
