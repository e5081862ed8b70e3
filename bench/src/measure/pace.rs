//! An even pace of sending that does not hide delays.

use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// An even pace of sending that does not hide delays.
///
/// A sender that is held up sends later than it meant to; were its messages timed from when they
/// were sent, the time that they waited would be left out ("coordinated omission"). So a message
/// that is late by more than an interval, or two milliseconds, is timed from when it was due. Smaller lateness is the
/// timer's, which counts in milliseconds, and is not held against anybody.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    ticks: Interval,
}

/// By so much a timer is late now and then that counts in milliseconds.
const FORGIVEN: Duration = Duration::from_millis(2);

impl Pace {
    /// Starts a pace; within a runtime only.
    pub(crate) fn new(every: Duration) -> Self {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self { every, ticks }
    }

    /// Waits for the next turn, and says from when its message is to be timed.
    pub(crate) async fn turn(&mut self) -> Instant {
        let due = self.ticks.tick().await.into_std();
        let now = Instant::now();
        let forgiven = self.every.min(FORGIVEN);
        if now.saturating_duration_since(due) > forgiven { due } else { now }
    }
}

/// When messages follow each other.
#[derive(Debug)]
pub(crate) struct Turns(Option<Pace>);

impl Turns {
    /// At a pace, or, without one, as soon as whoever sends asks for the next turn; within a runtime only.
    pub(crate) fn new(every: Option<Duration>) -> Self {
        Self(every.map(Pace::new))
    }

    /// Waits for the next turn, and says from when its message is to be timed.
    pub(crate) async fn next(&mut self) -> Instant {
        match &mut self.0 {
            Some(pace) => pace.turn().await,
            None => Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_that_were_missed_are_timed_from_when_they_were_due() {
        let every = Duration::from_millis(5);
        let mut pace = Pace::new(every);
        pace.turn().await;
        // The system under test holds the sender up for eight turns.
        std::thread::sleep(8 * every);
        let resumed = Instant::now();
        let waited = resumed - pace.turn().await;
        assert!(waited >= 6 * every, "{waited:?}");
        assert!(pace.turn().await < resumed, "the second turn was due before too");
    }
}
