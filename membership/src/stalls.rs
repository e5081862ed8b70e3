//! Whether this process stood still, for those who do not wait for the heartbeats' timer themselves.

use crate::{Time, Timing};

/// One timer of a node, watched by everybody who takes something in.
///
/// A [`Detector`](crate::Detector) notices a stall when it is called, but a group with a queue of its
/// own may have its turn before that, and must not take in what queued up meanwhile as if it were
/// fresh. So the shell notes here when the detector wants to be woken, and each that takes something in
/// looks here first: overdue beyond measure ([`Timing::stall`]), the timer says to whoever comes first
/// that the process stood still, and then to each of the others once.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    timing: Timing,
    due: Option<Time>,
    /// Stalls so far.
    count: u64,
}

/// What one of those who look has noticed so far; the default has noticed nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StallsNoticed(u64);

impl Stalls {
    /// Starts without a timer.
    pub const fn new(timing: Timing) -> Self {
        Self { timing, due: None, count: 0 }
    }

    /// The timer is set to `due` in place of what it was set to, or is off.
    pub fn expect(&mut self, now: Time, due: Option<Time>) {
        self.count_overdue(now);
        self.due = due;
    }

    /// Whether the process stood still since this was asked last with `noticed`, which is brought up
    /// to date.
    pub fn stood_still(&mut self, now: Time, noticed: &mut StallsNoticed) -> bool {
        self.count_overdue(now);
        std::mem::replace(noticed, StallsNoticed(self.count)) != StallsNoticed(self.count)
    }

    fn count_overdue(&mut self, now: Time) {
        if self.due.is_some_and(|due| now.since(due) > self.timing.stall()) {
            self.count += 1;
            self.due = Some(now); // The overdue timer is still to come: it must not count twice.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn each_who_looks_is_told_once_that_the_process_stood_still_whoever_comes_first() {
        let mut stalls = Stalls::new(Timing::DEFAULT);
        let [mut first, mut second] = [StallsNoticed::default(); 2];
        stalls.expect(ms(0), Some(ms(100)));
        assert!(!stalls.stood_still(ms(350), &mut first), "late, as a busy process is");
        assert!(stalls.stood_still(ms(351), &mut first));
        assert!(!stalls.stood_still(ms(352), &mut first));
        assert!(stalls.stood_still(ms(353), &mut second));
        stalls.expect(ms(354), Some(ms(450)));
        assert!(!stalls.stood_still(ms(700), &mut first));
        assert!(stalls.stood_still(ms(5000), &mut second));
        assert!(stalls.stood_still(ms(5001), &mut first));
    }

    #[test]
    fn a_stall_is_noticed_though_the_timer_is_set_anew_before_anybody_looks() {
        let mut stalls = Stalls::new(Timing::DEFAULT);
        let mut noticed = StallsNoticed::default();
        stalls.expect(ms(0), Some(ms(100)));
        stalls.expect(ms(5000), None);
        assert!(stalls.stood_still(ms(5001), &mut noticed));
        assert!(!stalls.stood_still(ms(60_000), &mut noticed), "no timer, no stall");
    }
}
