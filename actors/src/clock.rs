//! The one clock of a node.

use std::time::Instant;

use quorate_membership::Time;

/// The one monotonic clock of a node.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts the clock.
    #[expect(clippy::new_without_default, reason = "two clocks of one node must not differ by accident")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }
}
