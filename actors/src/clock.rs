//! The one clock of a node.

use std::time::Instant;

use quorate_membership::Time;

/// The one monotonic clock of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts the clock.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }
}
