//! The same benchmark run several times.

use crate::{OfRuns, Record, Report, record::divide, summary::Summary};

impl Report {
    /// Several runs of one benchmark as one report: of each figure the median of all runs, or the largest where its record
    /// says so, with the lowest and the highest of them as its range. Of the rounds those of the first run are kept. So many were asked for, of which
    /// some may have failed. `None` without a run.
    pub fn median_of(runs: Vec<Self>, asked: usize) -> Option<Self> {
        let count = runs.len();
        let mut runs = runs.into_iter();
        let mut first = runs.next()?;
        let others: Vec<Self> = runs.collect();
        if asked <= 1 {
            return Some(first);
        }
        for record in &mut first.records {
            let same = |other: &&Record| (other.bench, &other.case) == (record.bench, &record.case);
            let same: Vec<&Record> = others.iter().filter_map(|run| run.records.iter().find(same)).collect();
            *record = together(record, &same);
        }
        let runs = if count < asked { format!("{count} of {asked}") } else { count.to_string() };
        first.settings = format!("medians of {runs} runs; {}", first.settings);
        Some(first)
    }
}

fn together(first: &Record, others: &[&Record]) -> Record {
    let all = || std::iter::once(first).chain(others.iter().copied());
    let of = |read: fn(&Record) -> f64| Summary::of(all().map(read)).expect("there is a first");
    let of_known = |read: fn(&Record) -> Option<f64>| Summary::of(all().filter_map(read)).map(|it| it.median);
    let (values, baseline, ratios) = (of(|it| it.value), of(|it| it.baseline), of(|it| it.ratio));
    let (value, ratio) = match first.of_runs {
        OfRuns::Median => (values.median, ratios.median),
        OfRuns::Largest => (values.high, divide(values.high, baseline.median)),
    };
    Record {
        value,
        baseline: baseline.median,
        ratio,
        holds: first.wanted.map(|wanted| wanted.holds(ratio, value)),
        range: (values.low, values.high),
        baseline_range: (baseline.low, baseline.high),
        ratio_range: match first.of_runs {
            OfRuns::Median => (ratios.low, ratios.high),
            OfRuns::Largest => (divide(values.low, baseline.median), divide(values.high, baseline.median)),
        },
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
        let report = Report::median_of([4.0, 12.0, 6.0].map(run).into(), 3).expect("three runs");
        let [idle, load] = &report.records[..] else { panic!("{:?}", report.records) };
        assert_eq!((idle.value, idle.range, idle.holds), (6.0, (4.0, 12.0), Some(true)));
        assert_eq!((load.value, load.ratio, load.holds), (12.0, 1.2, Some(false)));
        assert_eq!(report.settings, "medians of 3 runs; none");
        assert_eq!(Report::median_of(vec![run(4.0)], 1).expect("one").settings, "none");
        assert!(Report::median_of(Vec::new(), 3).is_none());
    }

    #[test]
    fn of_what_is_worst_the_largest_of_all_runs_counts() {
        let runs = [8.0, 12.0, 6.0].map(|value| {
            let mut run = run(value);
            run.records[0].of_runs = OfRuns::Largest;
            run
        });
        let report = Report::median_of(runs.into(), 3).expect("three runs");
        let [idle, load] = &report.records[..] else { panic!("{:?}", report.records) };
        assert_eq!((idle.value, idle.ratio, idle.holds), (12.0, 1.2, Some(false)));
        assert_eq!((idle.range, load.value), ((6.0, 12.0), 16.0));
    }

    #[test]
    fn runs_that_are_over_count_where_a_later_one_failed() {
        let report = Report::median_of([4.0, 12.0, 6.0].map(run).into(), 5).expect("three runs");
        assert_eq!(
            (report.records[0].value, report.settings.as_str()),
            (6.0, "medians of 3 of 5 runs; none")
        );
        let report = Report::median_of(vec![run(4.0)], 5).expect("one run");
        assert_eq!(
            (report.records[0].value, report.settings.as_str()),
            (4.0, "medians of 1 of 5 runs; none")
        );
    }
}
