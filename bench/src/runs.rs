//! The same benchmark run several times.

use crate::{Record, Report, summary::Summary};

impl Report {
    /// Several runs of one benchmark as one report: of each figure the median of all runs, with the lowest and the
    /// highest of them as its range. Of the rounds those of the first run are kept. `None` without a run.
    pub fn median_of(runs: Vec<Self>) -> Option<Self> {
        let count = runs.len();
        let mut runs = runs.into_iter();
        let mut first = runs.next()?;
        let others: Vec<Self> = runs.collect();
        if others.is_empty() {
            return Some(first);
        }
        for record in &mut first.records {
            let same = |other: &&Record| (other.bench, &other.case) == (record.bench, &record.case);
            let same: Vec<&Record> = others.iter().filter_map(|run| run.records.iter().find(same)).collect();
            *record = median(record, &same);
        }
        first.settings = format!("medians of {count} runs; {}", first.settings);
        Some(first)
    }
}

fn median(first: &Record, others: &[&Record]) -> Record {
    let all = || std::iter::once(first).chain(others.iter().copied());
    let of = |read: fn(&Record) -> f64| Summary::of(all().map(read)).expect("there is a first");
    let of_known = |read: fn(&Record) -> Option<f64>| Summary::of(all().filter_map(read)).map(|it| it.median);
    let (value, baseline, ratio) = (of(|it| it.value), of(|it| it.baseline), of(|it| it.ratio));
    Record {
        value: value.median,
        baseline: baseline.median,
        ratio: ratio.median,
        holds: first.wanted.map(|wanted| wanted.holds(ratio.median, value.median)),
        range: (value.low, value.high),
        baseline_range: (baseline.low, baseline.high),
        ratio_range: (ratio.low, ratio.high),
        cores_used: of_known(|it| it.cores_used),
        baseline_cores_used: of_known(|it| it.baseline_cores_used),
        cpu_seconds: of_known(|it| it.cpu_seconds),
        baseline_cpu_seconds: of_known(|it| it.baseline_cpu_seconds),
        peak_resident_bytes: all().filter_map(|it| it.peak_resident_bytes).max(),
        baseline_peak_resident_bytes: all().filter_map(|it| it.baseline_peak_resident_bytes).max(),
        ..first.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bound, Machine, Unit, record::Named};

    fn run(value: f64) -> Report {
        let named = |case: &str| Named {
            bench: "memory",
            case: case.into(),
            unit: Unit::Bytes,
            worst: false,
            wanted: Some(Bound::ValueBelow(10.0)),
            baseline_is: "a number",
        };
        let records = [("idle", value), ("load", 2.0 * value)]
            .map(|(case, value)| Record::beside(&named(case), [value], [10.0]).expect("figures"));
        Report { machine: Machine::here(), schedule: None, settings: "none".into(), records: records.into() }
    }

    #[test]
    fn of_several_runs_the_middle_one_counts_figure_by_figure() {
        let report = Report::median_of([4.0, 12.0, 6.0].map(run).into()).expect("three runs");
        let [idle, load] = &report.records[..] else { panic!("{:?}", report.records) };
        assert_eq!((idle.value, idle.range, idle.holds), (6.0, (4.0, 12.0), Some(true)));
        assert_eq!((load.value, load.ratio, load.holds), (12.0, 1.2, Some(false)));
        assert_eq!(report.settings, "medians of 3 runs; none");
        assert_eq!(Report::median_of(vec![run(4.0)]).expect("one").settings, "none");
        assert!(Report::median_of(Vec::new()).is_none());
    }
}
