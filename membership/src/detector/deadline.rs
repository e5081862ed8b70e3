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

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing::DEFAULT;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When a deadline passes that is woken each millisecond from `from` on.
    fn passes(deadline: &mut Deadline, from: u64) -> u64 {
        (from..from + 1000).find(|now| deadline.has_passed(Time::ZERO + ms(*now), TIMING)).expect("it passes")
    }

    #[test]
    fn it_passes_on_time_if_the_wake_before_came_a_last_call_early() {
        assert_eq!(passes(&mut Deadline::new(Time::ZERO + ms(500)), 450), 500);
        assert_eq!(passes(&mut Deadline::new(Time::ZERO + ms(500)), 490), 540, "the wake before was late");
    }

    #[test]
    fn a_wake_that_is_late_by_more_than_a_last_call_begins_a_new_one() {
        for (late, passes_at) in [(ms(50), 550), (ms(51), 601)] {
            let mut deadline = Deadline::new(Time::ZERO + ms(500));
            assert!(!deadline.has_passed(Time::ZERO + ms(450), TIMING));
            deadline.excuse(late, late, TIMING);
            assert_eq!(passes(&mut deadline, 500 + late.as_millis() as u64), passes_at);
        }
    }

    #[test]
    fn what_puts_it_off_after_its_last_call_gives_it_another() {
        let mut deadline = Deadline::new(Time::ZERO + ms(500));
        assert!(!deadline.has_passed(Time::ZERO + ms(450), TIMING));
        deadline.put_off(Time::ZERO + ms(800));
        assert_eq!(passes(&mut deadline, 805), 855);
    }
}
