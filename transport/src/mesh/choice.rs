//! Which of two links to the same node is kept.

use std::cmp::Ordering;

use quorate_membership::NodeId;

use crate::{CloseReason, PeerInfo};

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// The present link is closed for this reason.
    Replace(CloseReason),
    /// The new link is closed for this reason.
    Refuse(CloseReason),
}

/// Chooses between the present link and a new one. Both ends see the same two links, perhaps in
/// another order, and come to the same choice.
///
/// The latest life of the peer counts. Within it, of two links that crossed, the one that the lower
/// node has dialled is kept. A second link that the same side has dialled replaces the first:
/// nobody dials again unless the first is dead for them, though the other end may not know it yet.
pub(super) fn choose(me: NodeId, present: &PeerInfo, new: &PeerInfo) -> Choice {
    let by_lower = new.dialed_us == (new.member.node < me);
    match new.member.incarnation.cmp(&present.member.incarnation) {
        Ordering::Greater => Choice::Replace(CloseReason::Superseded),
        Ordering::Less => Choice::Refuse(CloseReason::Superseded),
        Ordering::Equal if new.dialed_us == present.dialed_us || by_lower => {
            Choice::Replace(CloseReason::Duplicate)
        }
        Ordering::Equal => Choice::Refuse(CloseReason::Duplicate),
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, Member};

    use super::*;
    use crate::Role;

    fn link(peer: u64, life: u64, dialed_us: bool) -> PeerInfo {
        PeerInfo {
            member: Member::new(NodeId::new(peer), Incarnation::new(life)),
            role: Role::Node,
            version: 1,
            features: 0,
            addr: ([127, 0, 0, 1], 1).into(),
            listens: None,
            dialed_us,
        }
    }

    /// Which of two crossing links survives at an end: true for the one that node 1 dialled.
    fn survivor(me: u64, first_by_1: bool) -> bool {
        let peer = 3 - me;
        let end = |by_1: bool| link(peer, 1, by_1 == (peer == 1));
        match choose(NodeId::new(me), &end(first_by_1), &end(!first_by_1)) {
            Choice::Replace(reason) => {
                assert_eq!(reason, CloseReason::Duplicate);
                !first_by_1
            }
            Choice::Refuse(_) => first_by_1,
        }
    }

    #[test]
    fn both_ends_keep_the_link_of_the_lower_node_whichever_came_first() {
        for (me, first_by_1) in [(1, true), (1, false), (2, true), (2, false)] {
            assert!(survivor(me, first_by_1), "at {me}");
        }
    }

    #[test]
    fn a_second_link_of_the_same_dialer_replaces_the_first() {
        for (me, dialed_us) in [(1, true), (1, false), (3, true), (3, false)] {
            let choice = choose(NodeId::new(me), &link(2, 1, dialed_us), &link(2, 1, dialed_us));
            assert_eq!(choice, Choice::Replace(CloseReason::Duplicate));
        }
    }

    #[test]
    fn the_latest_life_counts() {
        for (me, dialed_us) in [(1, true), (1, false), (3, true), (3, false)] {
            let (old, new) = (link(2, 4, !dialed_us), link(2, 5, dialed_us));
            let me = NodeId::new(me);
            assert_eq!(choose(me, &old, &new), Choice::Replace(CloseReason::Superseded));
            assert_eq!(choose(me, &new, &old), Choice::Refuse(CloseReason::Superseded));
        }
    }
}
