//! A moment from which on a peer counts as lost, and what puts it off.

use std::time::Duration;

use crate::{Time, Timing};

/// Passes only at a wake that follows another one by [`Timing::last_call`]: what had come until then
/// has been taken in between. The wake before is asked for early, so a process that is on time does
/// not judge later for it.
///
/// Lateness of this process puts it off by as much, and a wake that is late by more than a last call
/// begins a new one; by a detection time in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Time,
    /// The wake of the last call.
    called: Option<Time>,
    /// By how much own lateness has put it off.
    excused: Duration,
}

impl Deadline {
    pub(super) const fn new(at: Time) -> Self {
        Self { at, called: None, excused: Duration::ZERO }
    }

    /// It passes no sooner than this.
    pub(super) fn put_off(&mut self, at: Time) {
        if self.at < at {
            (self.at, self.called) = (at, None);
        }
    }

    /// A wake is late by `late`, of which `more` was not known before.
    pub(super) fn excuse(&mut self, late: Duration, more: Duration, timing: Timing) {
        let more = more.min(timing.detect().saturating_sub(self.excused));
        self.excused += more;
        self.at = self.at + more;
        if !more.is_zero() && late > timing.last_call() {
            self.called = None;
        }
    }

    /// The wake that it needs next.
    pub(super) fn next_wake(&self, timing: Timing) -> Time {
        self.called.map_or(self.at - timing.last_call(), |called| self.at.max(called + timing.last_call()))
    }

    /// Notes a wake, and returns whether the moment has passed.
    pub(super) fn has_passed(&mut self, now: Time, timing: Timing) -> bool {
        if now < self.next_wake(timing) {
            return false;
        }
        let called = self.called.is_some();
        self.called.get_or_insert(now);
        called
    }
}
