//! I7 for lives: once a node was met in one life, no earlier life of it is reported as reachable. F1:
//! nobody is accused who is up and connected, however late all of them are, below a stall.
//!
//! I7 broken by: n1 hears n2.2, then a late heartbeat of n2.1, and reports n2.1 as reachable. F1: n1 and
//! n2 have few turns; n2 echoes a heartbeat of n1 that was old when n2 read it, and n1 gives n2 up.

use std::collections::BTreeMap;

use quorate_membership::{Incarnation, Member, NodeId};

use super::Violation;

const PROPERTY: &str = "I7 no earlier life";

/// The latest life of each peer that each life has reported.
#[derive(Debug, Default)]
pub(super) struct Lives(BTreeMap<(Member, NodeId), Incarnation>);

impl Lives {
    /// A detector reports that a node lives anew.
    pub(super) fn on_superseded(at: Member, old: Member, new: Member) -> Option<Violation> {
        let what = || format!("{at} takes {new} for later than {old}");
        (new.incarnation < old.incarnation).then(|| Violation { property: PROPERTY, what: what() })
    }

    /// A detector loses a node though nothing is wrong.
    pub(super) fn on_accused(at: Member, peer: NodeId) -> Violation {
        let what = format!("{at} loses {peer}, which is up and connected");
        Violation { property: "F1 no live peer accused", what }
    }

    pub(super) fn on_reachable(&mut self, at: Member, peer: Member) -> Option<Violation> {
        let latest = self.0.entry((at, peer.node)).or_default();
        if *latest > peer.incarnation {
            let what = format!("{at} reports {peer} as reachable after {}.{latest}", peer.node);
            return Some(Violation { property: PROPERTY, what });
        }
        *latest = peer.incarnation;
        None
    }
}
