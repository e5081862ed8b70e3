//! The rounds of a case one by one.

use std::sync::Arc;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{record::Rounds, size::Size};
use crate::{
    Unit, Usage,
    measure::{Reading, Sample},
};

/// The rounds of a case one by one: what its figures are summed up from.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The benchmark, as in [`Record::bench`](crate::Record::bench).
    pub bench: &'static str,
    /// What was measured, for instance `quic 64 KiB`: the name that the figures of the case begin with.
    pub case: String,
    /// The unit of the rounds' values.
    pub unit: Unit,
    /// Bytes of a message, where throughput was measured.
    pub message_bytes: Option<usize>,
    /// Our rounds.
    pub ours: SideSeries,
    /// The baseline's rounds, of which the first came before our first and so on; none where the baseline is
    /// not measured.
    pub baseline: SideSeries,
    /// What went on in some rounds, where something happened in the middle of each.
    pub timelines: Vec<Timeline>,
}

/// All rounds of one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideSeries {
    /// The rounds, in the order in which they were measured.
    pub rounds: Vec<Round>,
    /// Of each run the latencies of all its rounds together, from the fastest to the slowest; none for other figures.
    pub curves: Vec<Vec<Quantile>>,
}

/// One round of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The number of the run that it is of, from 1.
    pub run: usize,
    /// The throughput, or the median of the latencies; `None` if nothing went through.
    pub value: Option<f64>,
    /// What it cost, where that was measured.
    pub usage: Option<Usage>,
    /// Its latencies, where those were measured.
    pub latencies: Option<Percentiles>,
}

/// Latencies of a round, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50_us: f64,
    /// Nine of ten messages took no longer.
    pub p90_us: f64,
    /// All but one of a hundred took no longer.
    pub p99_us: f64,
    /// All but one of a thousand took no longer.
    #[serde(rename = "p99.9_us")]
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// A latency that this share of the messages did not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The share, from 0 to 1.
    pub share: f64,
    /// The latency in microseconds.
    pub micros: f64,
}

/// What went on in a round in the middle of which something happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// The number of the run that the round is of, from 1.
    pub run: usize,
    /// The number of the round in its run, from 1.
    pub round: usize,
    /// What happened to a member, for instance `was killed`.
    pub what: &'static str,
    /// When each acknowledgement came, in microseconds after it happened; before it, negative.
    pub acknowledged_us: Vec<i64>,
}

impl Series {
    /// Lists the rounds of both sides by what is read of them first.
    pub(crate) fn new(
        (bench, case): (&'static str, &str),
        reading: Reading,
        ours: &Rounds,
        baseline: &Rounds,
    ) -> Self {
        let message_bytes = ours.samples.iter().find_map(|sample| match sample {
            Sample::Flow { message_bytes, .. } => Some(*message_bytes),
            Sample::Latency(_) | Sample::HoldUps { .. } | Sample::Beats { .. } => None,
        });
        Self {
            bench,
            case: case.to_owned(),
            unit: reading.unit(),
            message_bytes,
            ours: SideSeries::new(reading, ours),
            baseline: SideSeries::new(reading, baseline),
            timelines: Vec::new(),
        }
    }

    /// The name of the case without the size of its messages, which cases have in common that differ in it
    /// alone.
    pub fn family(&self) -> String {
        let size = self.message_bytes.map(|bytes| Size(bytes).to_string());
        let words = self.case.split(", ").map(|part| match &size {
            Some(size) => {
                part.split(size).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
            }
            None => part.to_owned(),
        });
        words.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Whether these are rounds of the same case, perhaps in another run.
    pub(crate) fn is_same_case(&self, other: &Self) -> bool {
        (self.bench, &self.case) == (other.bench, &other.case)
    }

    /// The rounds of all runs together, case by case.
    pub(crate) fn of_runs<'a>(runs: impl IntoIterator<Item = Vec<&'a Self>>) -> Vec<Arc<Self>> {
        let mut all: Vec<Self> = Vec::new();
        for (series, run) in runs.into_iter().zip(1..) {
            for one in series {
                let one = one.clone().of_run(run);
                match all.iter_mut().find(|other| one.is_same_case(other)) {
                    Some(same) => same.append(one),
                    None => all.push(one),
                }
            }
        }
        all.into_iter().map(Arc::new).collect()
    }

    fn of_run(mut self, run: usize) -> Self {
        for round in self.ours.rounds.iter_mut().chain(&mut self.baseline.rounds) {
            round.run = run;
        }
        for timeline in &mut self.timelines {
            timeline.run = run;
        }
        self
    }

    fn append(&mut self, other: Self) {
        for (side, more) in [(&mut self.ours, other.ours), (&mut self.baseline, other.baseline)] {
            side.rounds.extend(more.rounds);
            side.curves.extend(more.curves);
        }
        self.timelines.extend(other.timelines);
    }

    /// The rounds as JSON, one object per line: the baseline's first, then ours.
    pub fn to_json_lines(&self) -> String {
        let sides = [("baseline", &self.baseline), ("ours", &self.ours)];
        let lines = sides.iter().flat_map(|(side, series)| {
            let runs = series.rounds.chunk_by(|one, next| one.run == next.run);
            let numbered = runs.flat_map(|rounds| rounds.iter().zip(1..));
            numbered.map(move |(round, number)| self.line(side, number, round))
        });
        lines.collect()
    }

    /// The timelines as JSON, one object per line.
    pub fn timelines_to_json_lines(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            bench: &'static str,
            case: &'a str,
            #[serde(flatten)]
            timeline: &'a Timeline,
        }
        let line = |timeline| json_line(&Line { bench: self.bench, case: &self.case, timeline });
        self.timelines.iter().map(line).collect()
    }

    fn line(&self, side: &str, number: usize, round: &Round) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            bench: &'static str,
            case: &'a str,
            side: &'a str,
            run: usize,
            round: usize,
            value: Option<f64>,
            unit: Unit,
            cores: Option<f64>,
            #[serde(flatten)]
            usage: Option<Usage>,
            #[serde(flatten)]
            latencies: Option<Percentiles>,
        }
        json_line(&Line {
            bench: self.bench,
            case: &self.case,
            side,
            run: round.run,
            round: number,
            value: round.value,
            unit: self.unit,
            cores: round.usage.and_then(|usage| usage.cores()),
            usage: round.usage,
            latencies: round.latencies,
        })
    }
}

impl SideSeries {
    fn new(reading: Reading, rounds: &Rounds) -> Self {
        let round = |(sample, usage): (&Sample, &Usage)| Round {
            run: 1,
            value: sample.read(reading),
            usage: Some(*usage),
            latencies: sample.latencies().filter(|all| !all.is_empty()).map(Percentiles::of),
        };
        let mut merged: Option<Histogram<u64>> = None;
        for sample in &rounds.samples {
            if let Some(histogram) = sample.latencies() {
                match &mut merged {
                    Some(all) => all.add(histogram).expect("equal bounds"),
                    None => merged = Some(histogram.clone()),
                }
            }
        }
        Self {
            rounds: rounds.samples.iter().zip(&rounds.usage).map(round).collect(),
            curves: merged.as_ref().map(quantiles).into_iter().filter(|curve| !curve.is_empty()).collect(),
        }
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |share| micros(histogram.value_at_quantile(share));
        Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}

/// Steps of a curve for each tenth part of the messages that is left.
const STEPS_PER_TENTH: f64 = 20.0;

/// The latencies by the share of messages that did not exceed them, ever closer towards the slowest.
fn quantiles(histogram: &Histogram<u64>) -> Vec<Quantile> {
    if histogram.is_empty() {
        return Vec::new();
    }
    // Until a step leaves out less than one message.
    let all = histogram.len() as f64;
    let left = (0..).map(|step: u32| 10_f64.powf(-f64::from(step) / STEPS_PER_TENTH));
    let shares = left.take_while(|left| left * all >= 1.0).map(|left| 1.0 - left);
    shares.map(|share| Quantile { share, micros: micros(histogram.value_at_quantile(share)) }).collect()
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts always serialise") + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Latencies;

    const USAGE: Usage = Usage { seconds: 2.0, cpu_seconds: Some(3.0), peak_resident_bytes: Some(1 << 20) };

    fn rounds(samples: Vec<Sample>) -> Rounds {
        Rounds { usage: vec![USAGE; samples.len()], samples }
    }

    fn latencies(micros: impl Iterator<Item = u64>) -> Sample {
        let mut all = Latencies::new();
        micros.for_each(|micros| all.record(Duration::from_micros(micros)));
        all.into_sample()
    }

    fn parsed(lines: &str) -> Vec<serde_json::Value> {
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn flow(case: &str, message_bytes: usize) -> Series {
        let flow = |messages| Sample::Flow { messages, message_bytes, elapsed: Duration::from_secs(1) };
        let (ours, baseline) = (rounds(vec![flow(5), flow(6)]), rounds(vec![flow(7), flow(8)]));
        Series::new(("transport", case), Reading::Messages, &ours, &baseline)
    }

    #[test]
    fn every_round_of_both_sides_is_a_line() {
        let lines = parsed(&flow("quic 64 B", 64).to_json_lines());
        let of = |key: &str| lines.iter().map(|line| line[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("side"), ["baseline", "baseline", "ours", "ours"]);
        assert_eq!(of("round"), [1, 2, 1, 2]);
        assert_eq!(of("run"), [1, 1, 1, 1]);
        assert_eq!(of("value"), [7.0, 8.0, 5.0, 6.0]);
        assert_eq!(lines[0]["unit"], "messages/s");
        assert_eq!(lines[0]["cores"], 1.5);
        assert_eq!(lines[0]["peak_resident_bytes"], 1 << 20);
        assert_eq!(lines[0].get("p50_us"), None);
    }

    #[test]
    fn latencies_have_their_percentiles_per_round_and_a_curve_over_all_rounds() {
        let ours = rounds(vec![latencies(1..=500), latencies(501..=1000)]);
        let series = Series::new(("multicast", "latency"), Reading::Quantile(0.5), &ours, &Rounds::default());
        let lines = parsed(&series.to_json_lines());
        assert_eq!((lines[0]["count"].as_u64(), lines.len()), (Some(500), 2));
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.01;
        assert!(near(lines[1]["p99_us"].as_f64().expect("a figure"), 995.0), "{}", lines[1]);
        assert!(near(lines[1]["p99.9_us"].as_f64().expect("a figure"), 1000.0), "{}", lines[1]);
        // Half of both rounds together is where the first ends.
        let curve = &series.ours.curves[0];
        let middle = curve.iter().rfind(|quantile| quantile.share <= 0.5).expect("a middle");
        assert!(near(middle.micros, 500.0), "{middle:?}");
        assert!(near(curve.last().expect("an end").micros, 1000.0));
        assert!(curve.is_sorted_by(|a, b| a.share < b.share && a.micros <= b.micros));
        assert_eq!(series.baseline, SideSeries::default());
    }

    #[test]
    fn rounds_of_all_runs_are_kept_case_by_case_under_the_number_of_their_run() {
        let timeline = |round| Timeline { run: 1, round, what: "was killed", acknowledged_us: vec![5] };
        let with = |round| Series { timelines: vec![timeline(round)], ..flow("quic 64 B", 64) };
        let (first, second, other) = (with(1), with(2), flow("tcp 64 B", 64));
        let all = Series::of_runs([vec![&first], vec![&second, &other]]);
        let [quic, tcp] = &all[..] else { panic!("{all:?}") };
        let of = |series: &Series, key: &str| -> Vec<serde_json::Value> {
            parsed(&series.to_json_lines()).iter().map(|line| line[key].clone()).collect()
        };
        assert_eq!(of(quic, "run"), [1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(of(quic, "round"), [1, 2, 1, 2, 1, 2, 1, 2]);
        assert_eq!(of(tcp, "run"), [2, 2, 2, 2]);
        let timelines = parsed(&quic.timelines_to_json_lines());
        let at = |line: &serde_json::Value| [line["run"].clone(), line["round"].clone()];
        assert_eq!([at(&timelines[0]), at(&timelines[1])], [[1, 1], [2, 2]]);
    }

    #[test]
    fn each_run_has_a_curve_of_its_latencies() {
        let run = |micros: std::ops::RangeInclusive<u64>| {
            let ours = rounds(vec![latencies(micros)]);
            Series::new(("multicast", "latency"), Reading::Quantile(0.5), &ours, &Rounds::default())
        };
        let all = Series::of_runs([vec![&run(1..=500)], vec![&run(501..=1000)]]);
        let ends = all[0].ours.curves.iter().map(|curve| curve.last().expect("an end").micros);
        let ends: Vec<f64> = ends.collect();
        let near = |end: f64, wanted: f64| (end / wanted - 1.0).abs() < 0.01;
        assert!(ends.len() == 2 && near(ends[0], 500.0) && near(ends[1], 1000.0), "{ends:?}");
        assert!(all[0].baseline.curves.is_empty());
    }

    #[test]
    fn cases_that_differ_in_the_size_alone_are_a_family() {
        let of = |case, bytes| flow(case, bytes).family();
        assert_eq!(of("quic 64 B", 64), "quic");
        assert_eq!(of("3 members, uniform, 1 KiB", 1 << 10), "3 members, uniform");
        assert_eq!(of("64 KiB beside AES", 64 << 10), "beside AES");
        assert_eq!(of("2 members, 64 B, all", 64), "2 members, all");
    }
}
