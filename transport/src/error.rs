//! What can go wrong between two nodes, and who is to blame.

use std::{io, net::SocketAddr};

use quorate_membership::NodeId;
use serde::{Deserialize, Serialize};

use crate::Lane;

/// Why one side closed a link. Travels to the other side.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CloseReason {
    /// The node stops.
    Stopping,
    /// Another link to the same peer is kept instead.
    Duplicate,
    /// A newer life of the same node has come.
    Superseded,
    /// The peer sent what no correct peer sends.
    Violation(String),
    /// The peer is not let in.
    Refused(String),
}

/// Why a link is no more.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// This side closed it.
    #[error("the link was closed here: {0:?}")]
    ClosedHere(CloseReason),
    /// The peer closed it.
    #[error("the peer closed the link: {0:?}")]
    ClosedByPeer(CloseReason),
    /// Nothing was heard for too long, or the connection was reset.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The peer sent what no correct peer sends; the link was closed for it.
    #[error("the peer sent what no correct peer sends: {0}")]
    Violation(String),
}

/// Why frames were not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The frame exceeds what the transport's configuration lets a payload have. Split it.
    #[error("a payload of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the frame.
        bytes: usize,
        /// The configured maximum.
        limit: usize,
    },
    /// The header exceeds what the transport's configuration lets it have. Describe less in it.
    #[error("a header of {bytes} bytes exceeds the limit of {limit}")]
    HeaderTooLarge {
        /// Bytes of the header.
        bytes: usize,
        /// The configured maximum.
        limit: usize,
    },
    /// The peer has dropped its half of the lane; what it had not read is lost. Open it again.
    #[error("the peer reads lane {0} no more")]
    Stopped(Lane),
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Why a datagram was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// It does not fit into a packet of this link.
    #[error("a datagram of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the datagram.
        bytes: usize,
        /// What fits now; it may change with the path.
        limit: usize,
    },
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Why no link came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answered in time. Try again later.
    #[error("nobody answered at {0}: is the node running there?")]
    Unreachable(SocketAddr),
    /// Another node answered: the address is outdated.
    #[error("{addr} belongs to {found}, not to {wanted}")]
    WrongNode {
        /// The address.
        addr: SocketAddr,
        /// Who was wanted.
        wanted: NodeId,
        /// Who answered.
        found: NodeId,
    },
    /// The certificates do not fit: another cluster, expired, unknown. Trying again does not help.
    #[error("the handshake with {addr} failed: {why}")]
    Handshake {
        /// The address.
        addr: SocketAddr,
        /// What did not fit.
        why: String,
    },
    /// Both sides speak different versions of the protocol.
    #[error("{addr} speaks versions {theirs:?} of the protocol, this node {ours:?}: upgrade the older side")]
    Version {
        /// The address.
        addr: SocketAddr,
        /// Lowest and highest there.
        theirs: (u16, u16),
        /// Lowest and highest here.
        ours: (u16, u16),
    },
    /// The peer let this side in and sent it away again.
    #[error("{addr} refused the link: {why:?}")]
    Refused {
        /// The address.
        addr: SocketAddr,
        /// What it said.
        why: CloseReason,
    },
    /// The transport is closed.
    #[error("this transport is closed")]
    Closed,
    /// The operating system refused.
    #[error("the connection to {addr} failed")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}
