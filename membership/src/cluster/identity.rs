use std::net::SocketAddr;

use foca::Identity;
use serde::{Deserialize, Serialize};

use crate::{Member, NodeId};

/// Under what name the cluster gossips about a node: the member, where it listens, and how often it
/// had to come back.
///
/// Of two identities of one node the one of the later incarnation wins, then that of the higher
/// renewal. SWIM never takes back that an identity is down, so a node that was declared down by
/// mistake, after a cut, say, has to return under another one. The incarnation must not change
/// then, because the process has lost nothing: [`Self::renewal`] is what changes. It starts at zero
/// in each process; one that starts anew under its old incarnation, perhaps elsewhere, is told by
/// the first that remembers it otherwise that it is down, and renews itself until it wins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// The node in its present life.
    pub member: Member,
    /// How often this life has come back after having been declared down.
    renewal: u32,
    /// Where the node listens.
    pub addr: SocketAddr,
}

impl ClusterIdentity {
    /// Names a member that listens at `addr` and was never declared down.
    ///
    /// Only the IP address and the port of `addr` count: the scope and the flow label of IPv6 mean
    /// nothing to others, are not told to them, and must not make two identities different.
    pub const fn new(member: Member, addr: SocketAddr) -> Self {
        Self { member, renewal: 0, addr: SocketAddr::new(addr.ip(), addr.port()) }
    }

    /// How often this life has come back after having been declared down.
    pub const fn renewal(&self) -> u32 {
        self.renewal
    }

    #[cfg(test)]
    pub(super) fn set_renewal(&mut self, renewal: u32) {
        self.renewal = renewal;
    }

    /// Whether both name the same life of a node at the same address.
    pub(super) fn is_same_life(&self, other: &Self) -> bool {
        (self.member, self.addr) == (other.member, other.addr)
    }
}

impl Identity for ClusterIdentity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.member.node
    }

    /// The order of the fields decides, so that of two different identities exactly one wins.
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self > adversary
    }
}
