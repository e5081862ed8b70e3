//! For how long nothing is heard of a node.

use std::time::{Duration, Instant};

/// A heartbeat that asked for one back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// When it was to be sent.
    pub(super) due: Instant,
    /// After how long it was answered; `None` if it was lost on its way there or back.
    pub(super) took: Option<Duration>,
}

/// The times between two signs of life, had only each `every`th of these heartbeats been sent: from each answer to the
/// next. They say so for as many senders, the first of which had sent the first, the second the second. Where the last
/// ones were lost, the silence lasts until then at least, and where the first were, since then.
pub(super) fn silences(beats: &[Beat], every: usize) -> impl Iterator<Item = Duration> {
    (0..every.min(beats.len())).flat_map(move |first| {
        let sent = beats[first..].iter().step_by(every);
        let ends = [sent.clone().next(), sent.clone().next_back()];
        let [begins, ends] = ends.map(|end| end.filter(|beat| beat.took.is_none()).map(|beat| beat.due));
        let answered = sent.filter_map(|beat| Some(beat.due + beat.took?));
        let heard: Vec<Instant> = begins.into_iter().chain(answered).chain(ends).collect();
        let silences = heard.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0]));
        silences.collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heartbeats at a pace of ten milliseconds, that took so many.
    fn beats(took: &[Option<u64>]) -> Vec<Beat> {
        let begun = Instant::now();
        let due = (0..).map(|n| begun + Duration::from_millis(10) * n);
        due.zip(took).map(|(due, took)| Beat { due, took: took.map(Duration::from_millis) }).collect()
    }

    fn millis(took: &[Option<u64>], every: usize) -> Vec<u128> {
        silences(&beats(took), every).map(|silence| silence.as_millis()).collect()
    }

    #[test]
    fn a_silence_is_from_one_answer_to_the_next() {
        assert_eq!(millis(&[Some(1), Some(1), Some(5), Some(1)], 1), [10, 14, 6]);
        assert_eq!(millis(&[Some(1), None, None, Some(2)], 1), [31]);
    }

    #[test]
    fn of_a_slower_pace_there_are_as_many_senders() {
        let one_lost = [Some(1), Some(1), None, Some(1), Some(1), Some(2)];
        assert_eq!(millis(&one_lost, 2), [40, 20, 21]);
        assert_eq!(millis(&one_lost[..2], 2), [0_u128; 0]);
        assert_eq!(millis(&[], 2), [0_u128; 0]);
    }

    #[test]
    fn what_is_lost_at_an_end_is_silence_as_well() {
        assert_eq!(millis(&[Some(1), Some(1), None, None], 1), [10, 19]);
        assert_eq!(millis(&[None, None, Some(3)], 1), [23]);
        assert_eq!(millis(&[None, None, None], 1), [20]);
    }
}
