//! The clock of a node.

use std::time::Duration;

use quorate_membership::Time;

/// For how long what a node does is not held against the right time after its clock was wrong.
const SETTLING: Duration = Duration::from_secs(3);

/// A node's clock. It never runs backwards, but may run slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    since: Time,
    reads: Time,
    percent: u32,
    /// Whether it was ever made slow or right again.
    set: bool,
}

impl Clock {
    /// A clock that is right.
    pub(crate) const RIGHT: Self = Self { since: Time::ZERO, reads: Time::ZERO, percent: 100, set: false };

    /// What it reads at this moment.
    pub(crate) fn read(&self, now: Time) -> Time {
        self.reads + now.since(self.since) * self.percent / 100
    }

    /// The moment at which it will read this.
    pub(crate) fn moment(&self, reads: Time) -> Time {
        self.since + reads.since(self.reads) * 100 / self.percent + Duration::from_nanos(1)
    }

    /// Runs at so many hundredths of its speed from now on.
    pub(crate) fn run_at(&mut self, now: Time, percent: u32) {
        *self = Self { since: now, reads: self.read(now), percent, set: true };
    }

    /// The present moment, unless the clock is or has lately been wrong.
    pub(crate) fn exact(&self, now: Time) -> Option<Time> {
        let wrong = self.percent != 100 || self.set && now.since(self.since) < SETTLING;
        (!wrong).then_some(now)
    }
}
