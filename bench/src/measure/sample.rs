//! What one round of one side gives.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Unit;

/// What one round of one side gives.
#[derive(Clone, Debug)]
pub(crate) enum Sample {
    /// Messages that went through and the time from the first sent to the last received.
    Flow { messages: u64, message_bytes: usize, elapsed: Duration },
    /// How long single messages took, in nanoseconds.
    Latency(Histogram<u64>),
    /// How long messages of several groups took, and how they held each other up.
    HoldUps { latencies: Histogram<u64>, by_others_percent: f64, groups_at_a_time: Option<f64> },
    /// How long heartbeats took there and back, for how long none came back where nodes send them at their own pace,
    /// and how many of a hundred were lost.
    Beats { round_trips: Histogram<u64>, silences: Histogram<u64>, lost_percent: f64 },
}

/// Which figure of a sample is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    Messages,
    Bytes,
    /// The latency that this share of the messages did not exceed.
    Quantile(f64),
    /// Messages of a hundred that were held up together with another group's, whose loss it is taken to be.
    ByOthers,
    /// Groups that one loss holds up, in the median.
    GroupsAtATime,
    /// The silence between two signs of life that this share of them did not exceed.
    Silence(f64),
    /// Heartbeats of a hundred that were lost, or their answers.
    Lost,
}

impl Reading {
    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::Messages => Unit::MessagesPerSecond,
            Self::Bytes => Unit::BytesPerSecond,
            Self::Quantile(_) | Self::Silence(_) => Unit::Microseconds,
            Self::ByOthers | Self::Lost => Unit::Percent,
            Self::GroupsAtATime => Unit::Groups,
        }
    }

    /// The figure for as many bytes in each message: of long ones bytes, of short ones messages.
    pub(crate) const fn throughput_of(message_bytes: usize) -> Self {
        if message_bytes >= 16 << 10 { Self::Bytes } else { Self::Messages }
    }

    /// Whether it is the longest of all.
    pub(crate) const fn is_longest(self) -> bool {
        matches!(self, Self::Quantile(share) | Self::Silence(share) if share >= 1.0)
    }

    /// What the figure is called behind the name of its case.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Messages | Self::Bytes => "throughput".into(),
            Self::ByOthers => "held up by another group".into(),
            Self::GroupsAtATime => "held up at a time".into(),
            Self::Lost => "without an answer".into(),
            Self::Silence(share) => format!("silence {}", Self::Quantile(share).name()),
            Self::Quantile(share) if share >= 1.0 => "max".into(),
            Self::Quantile(share) => format!("p{}", share * 100.0),
        }
    }
}

impl Sample {
    /// How long its messages took, if that was measured.
    pub(crate) const fn latencies(&self) -> Option<&Histogram<u64>> {
        match self {
            Self::Latency(all)
            | Self::HoldUps { latencies: all, .. }
            | Self::Beats { round_trips: all, .. } => Some(all),
            Self::Flow { .. } => None,
        }
    }

    /// The figure in the unit of the reading; `None` if the sample has no such figure.
    pub(crate) fn read(&self, reading: Reading) -> Option<f64> {
        match (self, reading) {
            (Self::Flow { messages, elapsed, .. }, Reading::Messages) => {
                Some(*messages as f64 / elapsed.as_secs_f64())
            }
            (Self::Flow { messages, message_bytes, elapsed }, Reading::Bytes) => {
                Some(*messages as f64 * *message_bytes as f64 / elapsed.as_secs_f64())
            }
            (
                Self::Latency(histogram)
                | Self::HoldUps { latencies: histogram, .. }
                | Self::Beats { round_trips: histogram, .. },
                Reading::Quantile(share),
            )
            | (Self::Beats { silences: histogram, .. }, Reading::Silence(share))
                if !histogram.is_empty() =>
            {
                Some(histogram.value_at_quantile(share) as f64 / 1e3)
            }
            (Self::Beats { lost_percent, .. }, Reading::Lost) => Some(*lost_percent),
            (Self::HoldUps { by_others_percent, .. }, Reading::ByOthers) => Some(*by_others_percent),
            (Self::HoldUps { groups_at_a_time, .. }, Reading::GroupsAtATime) => *groups_at_a_time,
            _ => None,
        }
    }
}

/// Collects latencies of up to a minute with three significant digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    const LONGEST: Duration = Duration::from_mins(1);

    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(Self::LONGEST.as_nanos() as u64, 3).expect("constant bounds that fit"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("equal bounds");
    }

    pub(crate) fn into_histogram(self) -> Histogram<u64> {
        self.0
    }

    pub(crate) fn into_sample(self) -> Sample {
        Sample::Latency(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_reads_as_messages_and_as_bytes_per_second() {
        let flow = Sample::Flow { messages: 10, message_bytes: 64, elapsed: Duration::from_millis(500) };
        assert_eq!(flow.read(Reading::Messages), Some(20.0));
        assert_eq!(flow.read(Reading::Bytes), Some(1280.0));
        assert_eq!(flow.read(Reading::Quantile(0.5)), None);
    }

    #[test]
    fn a_latency_reads_in_microseconds() {
        let mut latencies = Latencies::new();
        for _ in 0..99 {
            latencies.record(Duration::from_micros(20));
        }
        latencies.record(Duration::from_millis(5));
        let sample = latencies.into_sample();
        let median = sample.read(Reading::Quantile(0.5)).expect("a latency");
        assert!((19.9..20.1).contains(&median), "{median}");
        let worst = sample.read(Reading::Quantile(1.0)).expect("a latency");
        assert!((4990.0..5010.0).contains(&worst), "{worst}");
        assert_eq!(
            [0.5, 0.99, 0.999, 1.0].map(|share| Reading::Quantile(share).name()),
            ["p50", "p99", "p99.9", "max"]
        );
    }
}
