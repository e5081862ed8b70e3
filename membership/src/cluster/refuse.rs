//! What is refused before SWIM sees it: malformed, misdirected, lying, or too much to keep in mind.

use std::collections::BTreeSet;

use super::{
    Cluster, ClusterError,
    codec::{DATAGRAM_BYTES_MAX, Datagram},
};
use crate::Member;

impl Cluster {
    pub(super) fn open(&self, bytes: &[u8]) -> Result<Datagram, ClusterError> {
        if self.left {
            return Err(ClusterError::Left);
        }
        let (size, limit) = (bytes.len(), DATAGRAM_BYTES_MAX);
        if size > limit {
            return Err(ClusterError::TooLarge { size, limit });
        }
        Datagram::decode(bytes).map_err(|error| ClusterError::Malformed { why: error.to_string() })
    }

    /// Refuses what SWIM would refuse only after having applied half of it, and what it would not.
    pub(super) fn check(&self, from: Member, datagram: &Datagram) -> Result<(), ClusterError> {
        let (claims, to) = (datagram.header.src.member, datagram.header.dst.member);
        if claims != from {
            return Err(ClusterError::FalseSender { from, claims });
        }
        if from.node == self.node {
            return Err(ClusterError::FromOurselves { from });
        }
        if to.node != self.node {
            return Err(ClusterError::Misdirected { from, to });
        }
        // Any of our identities: this very datagram may make SWIM take another one.
        if datagram.third_party().is_some_and(|third| third.member.node == self.node) {
            return Err(ClusterError::IndirectToOurselves { from });
        }
        if let Some(up) = self.up.get(&from.node).filter(|up| up.member.incarnation > from.incarnation) {
            return Err(ClusterError::Outlived { from, by: up.member });
        }
        let me = self.identity().member;
        let mut lives = datagram.named().map(|named| named.member).filter(|named| named.node == me.node);
        // SWIM takes every other identity of ours for an outdated one and would declare it down.
        if let Some(by) = lives.find(|life| life.incarnation > me.incarnation) {
            return Err(ClusterError::Superseded { by });
        }
        self.check_room(datagram)
    }

    /// Refuses a datagram with which more nodes than the limit would have to be kept in mind.
    fn check_room(&self, datagram: &Datagram) -> Result<(), ClusterError> {
        let known = self.swim.iter_membership_state();
        if known.len() + datagram.named().count() <= Self::NODES_MAX {
            return Ok(());
        }
        let mut all: BTreeSet<_> = known.map(|known| known.id().member.node).collect();
        let before = all.len();
        all.extend(datagram.named().map(|named| named.member.node));
        let fits = all.len() == before || all.len() <= Self::NODES_MAX;
        if fits { Ok(()) } else { Err(ClusterError::Full { limit: Self::NODES_MAX }) }
    }
}
