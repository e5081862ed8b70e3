//! How long and how often to measure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BenchError;

/// How long and how often each side of a case is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Time for which each side runs before it counts. Default 300 ms: QUIC finds the size of
    /// packets that the path carries within a few dozen round trips.
    pub warm_up: Duration,
    /// Length of a round of one side. Default 500 ms. Longer rounds hide the jitter of the
    /// machine, shorter ones bring both sides closer together.
    pub round: Duration,
    /// Rounds of each side, taken in turns. Default 5, so that two spoilt rounds do not move the
    /// median.
    pub rounds: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { warm_up: Duration::from_millis(300), round: Duration::from_millis(500), rounds: 5 }
    }
}

impl Schedule {
    /// Longest run that makes sense; more is a slip of the pen.
    const LONGEST: Duration = Duration::from_hours(1);

    /// Steps of one case: a warm-up and the rounds of two sides.
    pub(crate) const fn steps(&self) -> usize {
        2 * self.steps_of_side()
    }

    /// Steps of one side of a case.
    pub(crate) const fn steps_of_side(&self) -> usize {
        1 + self.rounds
    }

    /// Refuses what measures nothing.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.rounds == 0 || self.round.is_zero() {
            return Err(BenchError::Settings("measure at least one round of at least 1 ms".into()));
        }
        if self.round > Self::LONGEST || self.warm_up > Self::LONGEST || self.rounds > 10_000 {
            return Err(BenchError::Settings(
                "measure at most 10,000 rounds, none longer than an hour".into(),
            ));
        }
        Ok(())
    }
}
