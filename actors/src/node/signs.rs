//! Who has sent frames, for the failure detector.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use quorate_membership::{Member, Time};

use crate::clock::Clock;

/// From whom frames were read since the failure detector looked last, and when the latest of each.
/// Clones are the same table.
///
/// A table and no messages: readers note every batch, and the detector looks ten times in a detection
/// time.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    clock: Clock,
    latest: Rc<RefCell<BTreeMap<Member, Time>>>,
}

impl Signs {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, latest: Rc::default() }
    }

    /// Frames of a member were read, as their link proves.
    pub(crate) fn note(&self, from: Member) {
        self.latest.borrow_mut().insert(from, self.clock.now());
    }

    pub(crate) fn take(&self) -> BTreeMap<Member, Time> {
        self.latest.take()
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, NodeId};

    use super::*;

    #[test]
    fn each_life_has_its_latest_sign_and_is_told_once() {
        let signs = Signs::new(Clock::new());
        let [first, second] = [1, 2].map(|life| Member::new(NodeId::new(1), Incarnation::new(life)));
        signs.clone().note(first);
        let before = signs.clock.now();
        signs.note(first);
        signs.note(second);
        let taken = signs.take();
        assert!(taken.keys().eq([&first, &second]) && taken[&first] >= before);
        assert!(signs.take().is_empty());
    }
}
