//! Whether this process stood still, for all actors of a node.

use std::{cell::RefCell, rc::Rc};

use quorate_membership::{Stalls, StallsNoticed, Time, Timing};

use crate::clock::Clock;

/// The timer that tells whether this process stood still. Clones watch the same one, each with a
/// memory of its own of what it has noticed.
///
/// Mailboxes are not emptied in the order in which they were filled, so each actor that must not take
/// in stale things as fresh asks for itself.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    clock: Clock,
    stalls: Rc<RefCell<Stalls>>,
    noticed: StallsNoticed,
}

impl Pulse {
    pub(crate) fn new(clock: Clock, timing: Timing) -> Self {
        let stalls = Rc::new(RefCell::new(Stalls::new(timing)));
        Self { clock, stalls, noticed: StallsNoticed::default() }
    }

    /// The timer is set to this moment, or is off.
    pub(crate) fn expect(&self, due: Option<Time>) {
        self.stalls.borrow_mut().expect(self.clock.now(), due);
    }

    /// Whether this process stood still since this was asked last.
    pub(crate) fn stood_still(&mut self) -> bool {
        self.stalls.borrow_mut().stood_still(self.clock.now(), &mut self.noticed)
    }
}
