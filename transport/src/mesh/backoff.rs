//! Pauses between tries: they grow, and no two nodes keep step.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Pauses that double from the least to the most, each drawn from the upper half of its span.
///
/// The half keeps a lower bound on the load; the rest is chance, or nodes that lost each other
/// together would dial together for ever.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    span: Duration,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, span: least }
    }

    /// The next pause.
    pub(super) fn pause(&mut self, chance: &mut impl Rng) -> Duration {
        let span = self.span;
        self.span = (span * 2).min(self.most);
        chance.random_range(span / 2..=span)
    }

    /// Starts again with short pauses.
    pub(super) fn reset(&mut self) {
        self.span = self.least;
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_differ_by_chance() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(300));
        let mut chance = StdRng::seed_from_u64(1);
        for _ in 0..2 {
            for span in [50, 100, 200, 300, 300] {
                let pause = backoff.pause(&mut chance);
                assert!((ms(span) / 2..=ms(span)).contains(&pause), "{pause:?} of {span} ms");
            }
            backoff.reset();
        }
        let first: Vec<_> = (0..9).map(|_| Backoff::new(ms(50), ms(300)).pause(&mut chance)).collect();
        assert!(first.iter().any(|pause| *pause != first[0]), "chance has no say");
    }
}
