//! When acknowledgements came in some of the rounds.

use std::time::{Duration, Instant};

use crate::Timeline;

/// When acknowledgements came in the first rounds, and in the one with the longest gap. Those of all rounds
/// would be millions.
#[derive(Debug, Default)]
pub(super) struct Timelines {
    first: Vec<Timeline>,
    worst: Option<(Duration, Timeline)>,
}

impl Timelines {
    /// First rounds that are kept whatever their gaps.
    const FIRST: usize = 5;

    /// Takes in the next round.
    pub(super) fn add(&mut self, blocked: Duration, timeline: Timeline) {
        if self.worst.as_ref().is_none_or(|(longest, _)| blocked > *longest) {
            self.worst = Some((blocked, timeline.clone()));
        }
        if self.first.len() < Self::FIRST {
            self.first.push(timeline);
        }
    }

    /// Those that were kept, each once.
    pub(super) fn kept(mut self) -> Vec<Timeline> {
        if let Some((_, worst)) = self.worst
            && self.first.iter().all(|timeline| timeline.round != worst.round)
        {
            self.first.push(worst);
        }
        self.first
    }
}

/// Microseconds from one moment to another, which may lie before it.
pub(super) fn micros_after(begun: Instant, at: Instant) -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match at.checked_duration_since(begun) {
        Some(after) => micros(after),
        None => -micros(begun.duration_since(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rounds_are_kept_and_the_one_with_the_longest_gap_once() {
        let rounds = |gaps: &[u64]| -> Vec<usize> {
            let mut kept = Timelines::default();
            for (round, gap) in (1..).zip(gaps) {
                let timeline = Timeline { run: 1, round, what: "was killed", acknowledged_us: Vec::new() };
                kept.add(Duration::from_millis(*gap), timeline);
            }
            kept.kept().iter().map(|timeline| timeline.round).collect()
        };
        assert_eq!(rounds(&[5, 9, 5, 5, 5, 5, 9]), [1, 2, 3, 4, 5]);
        assert_eq!(rounds(&[5, 5, 5, 5, 5, 5, 9, 8]), [1, 2, 3, 4, 5, 7]);
        assert_eq!(rounds(&[]), [0_usize; 0]);
    }

    #[test]
    fn moments_before_are_negative() {
        let first = Instant::now();
        let second = first + Duration::from_millis(2);
        assert_eq!((micros_after(first, second), micros_after(second, first)), (2_000, -2_000));
    }
}
