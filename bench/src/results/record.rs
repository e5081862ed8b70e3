//! One figure beside its baseline.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::summary::{Summary, divide};
use crate::{
    OfRuns, Series, Usage,
    measure::{Reading, Sample},
};

/// In what a figure is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Unit {
    /// Messages per second; payloads of equal size.
    #[serde(rename = "messages/s")]
    MessagesPerSecond,
    /// Bytes of payload per second.
    #[serde(rename = "bytes/s")]
    BytesPerSecond,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Bytes, of memory for instance.
    #[serde(rename = "bytes")]
    Bytes,
    /// How many there were.
    #[serde(rename = "count")]
    Count,
    /// Processor cores that are kept busy, on average.
    #[serde(rename = "cores")]
    Cores,
    /// Messages of a hundred.
    #[serde(rename = "%")]
    Percent,
    /// Groups.
    #[serde(rename = "groups")]
    Groups,
}

/// What a ratio to the baseline, or a figure itself, should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This much or more: of a throughput.
    AtLeast(f64),
    /// This much or less: of a latency.
    AtMost(f64),
    /// Our own figure is below this, in its unit, whatever the baseline's is.
    ValueBelow(f64),
}

impl Bound {
    /// Whether a ratio, or our figure, is as wanted.
    pub fn holds(self, ratio: f64, value: f64) -> bool {
        match self {
            Self::ValueBelow(bound) => value < bound,
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound:.2}"),
            Self::AtMost(bound) => write!(f, "<= {bound:.2}"),
            Self::ValueBelow(bound) if *bound < 1.0 => write!(f, "ours < {bound}"),
            Self::ValueBelow(bound) => write!(f, "ours < {bound:.0}"),
        }
    }
}

/// One figure beside its baseline, as it is printed with `--json`: one object per line, after a first one with the
/// machine and the settings ([`Report::head_to_json`](crate::Report::head_to_json)).
///
/// Where a figure could not be had, none of them is a number, which is `null` in JSON, and `baseline_is` says why;
/// nothing is asked then.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The benchmark: `transport`, `multicast`, `bus`, and so on.
    pub bench: &'static str,
    /// What was measured, for instance `quic 64 KiB throughput`.
    pub case: String,
    /// The median of our rounds, and where there are several runs of those medians.
    pub value: f64,
    /// The unit of all figures but ratios.
    pub unit: Unit,
    /// The median of the baseline's rounds.
    pub baseline: f64,
    /// The median of the ratios of neighbouring rounds: ours divided by the baseline's. It may
    /// differ a little from the ratio of the medians, and suffers less from a disturbed machine.
    pub ratio: f64,
    /// What the ratio or the value should be; `null` if nothing is asked of them.
    pub wanted: Option<Bound>,
    /// Whether it is as wanted; `null` if nothing is asked.
    pub holds: Option<bool>,
    /// Lowest and highest of our rounds.
    pub range: (f64, f64),
    /// Lowest and highest of the baseline's rounds.
    pub baseline_range: (f64, f64),
    /// Lowest and highest ratio of neighbouring rounds.
    pub ratio_range: (f64, f64),
    /// Processor cores that were kept busy in our rounds, on average: by this process, or by all members where
    /// each has a process.
    pub cores_used: Option<f64>,
    /// Processor cores that were kept busy in the baseline's rounds, on average.
    pub baseline_cores_used: Option<f64>,
    /// Processor time that was used in all our rounds of a run together, in seconds; of several runs the median.
    pub cpu_seconds: Option<f64>,
    /// Processor time that was used in all rounds of the baseline in a run together, in seconds; of several runs the
    /// median.
    pub baseline_cpu_seconds: Option<f64>,
    /// The most memory that a process had resident in any of our rounds, in bytes. Where both sides are in one
    /// process the other stays set up meanwhile.
    pub peak_resident_bytes: Option<u64>,
    /// The most memory that a process had resident in any of the baseline's rounds, in bytes.
    pub baseline_peak_resident_bytes: Option<u64>,
    /// What the baseline is.
    pub baseline_is: &'static str,
    /// Which of several runs counts.
    pub of_runs: OfRuns,
    /// From how many runs the figure is; 0 where there is none.
    pub runs: usize,
    /// The rounds that the figure was summed up from, which all figures of a case share. Not a part of the
    /// line of JSON.
    #[serde(skip)]
    pub series: Option<Arc<Series>>,
}

/// All rounds of one side.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) samples: Vec<Sample>,
    /// What each round cost.
    pub(crate) usage: Vec<Usage>,
}

impl Rounds {
    /// Adds what a round gave and what it cost.
    pub(crate) fn push(&mut self, (sample, usage): (Sample, Usage)) {
        self.samples.push(sample);
        self.usage.push(usage);
    }

    /// Cores that the rounds kept busy, in the middle one.
    pub(crate) fn cores(&self) -> Option<f64> {
        Summary::of(self.usage.iter().filter_map(Usage::cores)).map(|cores| cores.median)
    }

    /// Processor time of all rounds together, if it is known of each.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let all: Option<f64> = self.usage.iter().map(|usage| usage.cpu_seconds).sum();
        all.filter(|_| !self.usage.is_empty())
    }

    pub(crate) fn peak_resident_bytes(&self) -> Option<u64> {
        self.usage.iter().filter_map(|usage| usage.peak_resident_bytes).max()
    }
}

/// The names and the wish that go with a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) bench: &'static str,
    pub(crate) case: &'a str,
    pub(crate) baseline_is: &'static str,
    pub(crate) reading: Reading,
    pub(crate) wanted: Option<Bound>,
}

/// The names and the wish that go with a figure that has no rounds in turns.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    pub(crate) unit: Unit,
    /// Which of its figures counts: the median, or the largest.
    pub(crate) of_runs: OfRuns,
    pub(crate) wanted: Option<Bound>,
    pub(crate) baseline_is: &'static str,
}

impl Record {
    /// Sums up the rounds of two sides; `None` if they have no such figure.
    pub(crate) fn compare(label: Label<'_>, ours: &Rounds, baseline: &Rounds) -> Option<Self> {
        let read = |sample: &Sample| sample.read(label.reading);
        let all = |rounds: &Rounds| Summary::of(rounds.samples.iter().filter_map(read));
        let (ours_all, base) = (all(ours)?, all(baseline)?);
        // Of what is to be no longer than so much the longest of all rounds counts.
        let (value, of_runs) = if label.reading.is_longest() {
            (ours_all.high, OfRuns::Largest)
        } else {
            (ours_all.median, OfRuns::Median)
        };
        // Of rounds of which one side has no such figure there is no ratio.
        let rounds = ours.samples.iter().zip(&baseline.samples);
        let ratio = Summary::of(rounds.filter_map(|(ours, base)| Some(divide(read(ours)?, read(base)?))))?;
        Some(Self {
            bench: label.bench,
            case: format!("{} {}", label.case, label.reading.name()),
            value,
            unit: label.reading.unit(),
            baseline: base.median,
            ratio: ratio.median,
            wanted: label.wanted,
            holds: label.wanted.map(|wanted| wanted.holds(ratio.median, value)),
            range: (ours_all.low, ours_all.high),
            baseline_range: (base.low, base.high),
            ratio_range: (ratio.low, ratio.high),
            cores_used: ours.cores(),
            baseline_cores_used: baseline.cores(),
            cpu_seconds: ours.cpu_seconds(),
            baseline_cpu_seconds: baseline.cpu_seconds(),
            peak_resident_bytes: ours.peak_resident_bytes(),
            baseline_peak_resident_bytes: baseline.peak_resident_bytes(),
            baseline_is: label.baseline_is,
            of_runs,
            runs: 1,
            series: None,
        })
    }

    /// A figure that was not taken in turns with its baseline; `None` if a side has none. The ratio is that of the
    /// medians.
    pub(crate) fn beside(
        named: &Named,
        ours: impl IntoIterator<Item = f64>,
        baseline: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let (ours, base) = (Summary::of(ours)?, Summary::of(baseline)?);
        let value = if named.of_runs == OfRuns::Largest { ours.high } else { ours.median };
        let ratio = divide(value, base.median);
        Some(Self {
            value,
            baseline: base.median,
            ratio,
            wanted: named.wanted,
            holds: named.wanted.map(|wanted| wanted.holds(ratio, value)),
            range: (ours.low, ours.high),
            baseline_range: (base.low, base.high),
            ratio_range: (divide(ours.low, base.median), divide(ours.high, base.median)),
            runs: 1,
            ..Self::without_figures(named, named.baseline_is)
        })
    }

    /// In place of a figure that cannot be had: why is said where its baseline would be.
    pub(crate) fn without_figures(named: &Named, why: &'static str) -> Self {
        let none = (f64::NAN, f64::NAN);
        Self {
            bench: named.bench,
            case: named.case.clone(),
            value: f64::NAN,
            unit: named.unit,
            baseline: f64::NAN,
            ratio: f64::NAN,
            wanted: None,
            holds: None,
            range: none,
            baseline_range: none,
            ratio_range: none,
            cores_used: None,
            baseline_cores_used: None,
            cpu_seconds: None,
            baseline_cpu_seconds: None,
            peak_resident_bytes: None,
            baseline_peak_resident_bytes: None,
            baseline_is: why,
            of_runs: named.of_runs,
            runs: 0,
            series: None,
        }
    }

    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts always serialise")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Latencies;

    fn rounds(messages: [u64; 3]) -> Rounds {
        let flow = |messages| Sample::Flow { messages, message_bytes: 64, elapsed: Duration::from_secs(1) };
        let usage = |n: u64| Usage { seconds: 1.0, cpu_seconds: Some(1.5), peak_resident_bytes: Some(n) };
        Rounds { samples: messages.map(flow).into(), usage: messages.map(usage).into() }
    }

    fn label(wanted: Bound) -> Label<'static> {
        Label {
            bench: "transport",
            case: "quic 64 B",
            baseline_is: "raw quinn",
            reading: Reading::Messages,
            wanted: Some(wanted),
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_neighbouring_rounds() {
        // The machine was half as fast in the second round and a third in the last, for both.
        let record =
            Record::compare(label(Bound::AtLeast(0.7)), &rounds([80, 40, 30]), &rounds([100, 50, 33]))
                .expect("figures on both sides");
        assert!((record.ratio - 0.8).abs() < 1e-9);
        assert!((record.value - 40.0).abs() < 1e-9);
        assert!((record.baseline - 50.0).abs() < 1e-9);
        assert_eq!(record.holds, Some(true));
        assert_eq!(record.range, (30.0, 80.0));
    }

    #[test]
    fn a_bound_on_the_value_looks_at_ours_alone() {
        let record = Record::compare(label(Bound::ValueBelow(9.0)), &rounds([8, 8, 9]), &rounds([1, 1, 1]));
        assert_eq!(record.expect("figures").holds, Some(true));
        let record = Record::compare(label(Bound::ValueBelow(8.0)), &rounds([8, 8, 9]), &rounds([9, 9, 9]));
        assert_eq!(record.expect("figures").holds, Some(false));
    }

    #[test]
    fn a_line_of_json_has_what_programs_rely_on() {
        let record = Record::compare(label(Bound::AtLeast(0.9)), &rounds([8, 8, 8]), &rounds([10, 10, 10]))
            .expect("figures on both sides");
        let line = record.to_json();
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(json["bench"], "transport");
        assert_eq!(json["case"], "quic 64 B throughput");
        assert_eq!(json["value"], 8.0);
        assert_eq!(json["unit"], "messages/s");
        assert_eq!(json["baseline"], 10.0);
        assert_eq!(json["ratio"], 0.8);
        assert_eq!(json["wanted"]["at_least"], 0.9);
        assert_eq!(json["holds"], false);
        assert_eq!((&json["runs"], &json["of_runs"]), (&1.into(), &"median".into()));
        assert_eq!(json["cores_used"], 1.5);
        assert_eq!(json["cpu_seconds"], 4.5);
        assert_eq!(
            (&json["peak_resident_bytes"], &json["baseline_peak_resident_bytes"]),
            (&8.into(), &10.into())
        );
    }

    #[test]
    fn what_is_not_known_of_each_round_is_not_summed_up() {
        let mut ours = rounds([8, 8, 8]);
        ours.usage[1].cpu_seconds = None;
        let record = Record::compare(label(Bound::AtLeast(0.9)), &ours, &rounds([9, 9, 9])).expect("figures");
        assert_eq!((record.cpu_seconds, record.baseline_cpu_seconds), (None, Some(4.5)));
    }

    #[test]
    fn sides_without_the_figure_give_no_record() {
        let label = Label { reading: Reading::Quantile(0.5), ..label(Bound::AtMost(1.3)) };
        assert_eq!(Record::compare(label, &rounds([1, 1, 1]), &rounds([1, 1, 1])), None);
    }

    #[test]
    fn what_cannot_be_had_is_null_and_says_why() {
        let named = Named {
            bench: "soak",
            case: "throughput".into(),
            unit: Unit::MessagesPerSecond,
            of_runs: OfRuns::Median,
            wanted: Some(Bound::AtLeast(0.9)),
            baseline_is: "a number",
        };
        let line = Record::without_figures(&named, "too few seconds").to_json();
        let json: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!((&json["case"], &json["baseline_is"]), (&"throughput".into(), &"too few seconds".into()));
        for key in ["value", "baseline", "ratio", "wanted", "holds"] {
            assert!(json[key].is_null(), "{key}: {line}");
        }
    }

    #[test]
    fn of_the_longest_the_longest_of_all_rounds_counts() {
        let latency = |micros: u64| {
            let mut all = Latencies::new();
            all.record(Duration::from_micros(micros));
            all.into_sample()
        };
        let rounds = |micros: [u64; 3]| Rounds { samples: micros.map(latency).into(), usage: Vec::new() };
        let below = Bound::ValueBelow(70.0);
        let record = |share| {
            let label = Label { reading: Reading::Quantile(share), ..label(below) };
            Record::compare(label, &rounds([30, 90, 60]), &rounds([30; 3])).expect("figures on both sides")
        };
        let (median, longest) = (record(0.5), record(1.0));
        assert_eq!((median.value.round(), median.holds, median.of_runs), (60.0, Some(true), OfRuns::Median));
        assert_eq!(
            (longest.value.round(), longest.holds, longest.of_runs),
            (90.0, Some(false), OfRuns::Largest)
        );
    }

    #[test]
    fn the_worst_of_a_few_figures_is_what_a_wish_may_look_at() {
        let mut named = Named {
            bench: "memory",
            case: "idle".into(),
            unit: Unit::Cores,
            of_runs: OfRuns::Median,
            wanted: Some(Bound::ValueBelow(0.01)),
            baseline_is: "a number",
        };
        let record = Record::beside(&named, [0.004, 0.02, 0.008], [0.01]).expect("figures on both sides");
        assert_eq!((record.value, record.holds, record.range), (0.008, Some(true), (0.004, 0.02)));
        named.of_runs = OfRuns::Largest;
        let record = Record::beside(&named, [0.004, 0.02, 0.008], [0.01]).expect("figures on both sides");
        assert_eq!((record.value, record.holds, record.ratio), (0.02, Some(false), 2.0));
        assert_eq!(Record::beside(&named, [], [0.01]), None);
        assert_eq!(Bound::ValueBelow(0.01).to_string(), "ours < 0.01");
    }
}
