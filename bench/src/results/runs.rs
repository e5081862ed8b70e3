//! The same benchmark run several times.

use std::sync::Arc;

use serde::Serialize;

use super::summary::{Summary, divide};
use crate::{Record, Report, Series};

/// How the figures of several runs of a benchmark are taken together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OfRuns {
    /// The middle one counts.
    Median,
    /// The largest counts, as within each run: of what is worst, or of what later runs show too little.
    Largest,
}

/// How often a benchmark was run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunCount {
    /// Runs that were asked for.
    pub asked: usize,
    /// Runs that came to their end.
    pub finished: usize,
}

impl RunCount {
    /// A single run.
    pub const ONE: Self = Self { asked: 1, finished: 1 };
}

/// A figure as it is in several runs.
#[derive(Debug)]
struct Figure {
    in_runs: Vec<Record>,
    /// The last of those runs.
    last: usize,
}

impl Report {
    /// Several runs of one benchmark as one report: of each figure the median of all runs, or the largest where its
    /// record says so, with the lowest and the highest of them as its range, and all their rounds. A figure that not
    /// all runs have is from those that have it, and says from how many. So many runs were asked for, of which some
    /// may have failed. `None` without a run.
    pub fn median_of(runs: Vec<Self>, asked: usize) -> Option<Self> {
        let first = runs.first()?;
        if asked <= 1 {
            return runs.into_iter().next();
        }
        let series = Series::of_runs(runs.iter().map(Self::series));
        let records = figures(&runs).into_iter().map(|figure| {
            let record = together(&figure.in_runs);
            let same = |all: &&Arc<Series>| record.series.as_ref().is_some_and(|one| one.is_same_case(all));
            Record { series: series.iter().find(same).cloned(), ..record }
        });
        let runs = RunCount { asked, finished: runs.len() };
        Some(Self { runs, records: records.collect(), ..first.clone() })
    }
}

/// The figures of all runs by their names, in the order of the runs: what a run adds comes after what it follows there.
fn figures(runs: &[Report]) -> Vec<Figure> {
    let mut all: Vec<Figure> = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let mut next = 0;
        for record in &run.records {
            let same = |other: &Record| (other.bench, &other.case) == (record.bench, &record.case);
            // A run may measure the same twice.
            let known = |figure: &Figure| figure.last < number && figure.in_runs.first().is_some_and(same);
            let index = all.iter().position(known).unwrap_or_else(|| {
                all.insert(next, Figure { in_runs: Vec::new(), last: number });
                next
            });
            all[index].in_runs.push(record.clone());
            all[index].last = number;
            next = index + 1;
        }
    }
    all
}

/// The same figure of all runs that have it, of which there is one at least.
fn together(in_runs: &[Record]) -> Record {
    let first = &in_runs[0];
    // What has no figures in a run says nothing of those in others.
    let has_figures = |record: &&Record| !record.value.is_nan();
    let known: Vec<&Record> = in_runs.iter().filter(has_figures).collect();
    let of = |read: fn(&Record) -> f64| Summary::of(known.iter().map(|record| read(record)));
    let (Some(values), Some(baseline), Some(ratios)) =
        (of(|it| it.value), of(|it| it.baseline), of(|it| it.ratio))
    else {
        return first.clone();
    };
    let of_known = |read: fn(&Record) -> Option<f64>| {
        Summary::of(known.iter().filter_map(|record| read(record))).map(|it| it.median)
    };
    let most = |read: fn(&Record) -> Option<u64>| known.iter().filter_map(|record| read(record)).max();
    let (value, ratio, ratio_range) = match first.of_runs {
        OfRuns::Median => (values.median, ratios.median, (ratios.low, ratios.high)),
        OfRuns::Largest => {
            let [low, high] = [values.low, values.high].map(|value| divide(value, baseline.median));
            (values.high, high, (low, high))
        }
    };
    let wanted = known[0].wanted;
    Record {
        value,
        baseline: baseline.median,
        ratio,
        wanted,
        holds: wanted.map(|wanted| wanted.holds(ratio, value)),
        range: (values.low, values.high),
        baseline_range: (baseline.low, baseline.high),
        ratio_range,
        cores_used: of_known(|it| it.cores_used),
        baseline_cores_used: of_known(|it| it.baseline_cores_used),
        cpu_seconds: of_known(|it| it.cpu_seconds),
        baseline_cpu_seconds: of_known(|it| it.baseline_cpu_seconds),
        peak_resident_bytes: most(|it| it.peak_resident_bytes),
        baseline_peak_resident_bytes: most(|it| it.baseline_peak_resident_bytes),
        runs: known.len(),
        ..known[0].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bound, Machine, Unit, results::record::Named};

    fn run(value: f64) -> Report {
        let named = |case: &str| Named {
            bench: "memory",
            case: case.into(),
            unit: Unit::Bytes,
            of_runs: OfRuns::Median,
            wanted: Some(Bound::ValueBelow(10.0)),
            baseline_is: "a number",
        };
        let records = [("idle", value), ("load", 2.0 * value)]
            .map(|(case, value)| Record::beside(&named(case), [value], [10.0]).expect("figures"));
        Report {
            machine: Machine::here(),
            schedule: None,
            settings: "none".into(),
            runs: RunCount::ONE,
            records: records.into(),
        }
    }

    #[test]
    fn of_several_runs_the_middle_one_counts_figure_by_figure() {
        let report = Report::median_of([4.0, 12.0, 6.0].map(run).into(), 3).expect("three runs");
        let [idle, load] = &report.records[..] else { panic!("{:?}", report.records) };
        assert_eq!((idle.value, idle.range, idle.holds), (6.0, (4.0, 12.0), Some(true)));
        assert_eq!((load.value, load.ratio, load.holds), (12.0, 1.2, Some(false)));
        assert_eq!((report.runs, idle.runs), (RunCount { asked: 3, finished: 3 }, 3));
        assert_eq!(Report::median_of(vec![run(4.0)], 1).expect("one").runs, RunCount::ONE);
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
        assert_eq!((report.records[0].value, report.records[0].runs), (6.0, 3));
        assert!(report.to_string().contains("medians of 3 of 5 runs; none"), "{report}");
        let report = Report::median_of(vec![run(4.0)], 5).expect("one run");
        assert_eq!((report.records[0].value, report.records[0].runs), (4.0, 1));
        assert!(report.to_string().contains("medians of 1 of 5 runs; none"), "{report}");
    }

    #[test]
    fn a_figure_that_not_all_runs_have_is_from_those_that_have_it() {
        let mut runs = [4.0, 12.0, 6.0].map(run);
        // The first run has other words for its first figure, and the second has no figure under the name.
        runs[0].records[0].case = "idle, too short".into();
        runs[0].records[1].cpu_seconds = Some(3.0);
        let second = &mut runs[1].records[1];
        (second.value, second.baseline, second.ratio) = (f64::NAN, f64::NAN, f64::NAN);
        let report = Report::median_of(runs.into(), 3).expect("three runs");
        let figures: Vec<_> =
            report.records.iter().map(|it| (it.case.as_str(), it.runs, it.value, it.cpu_seconds)).collect();
        let expected =
            [("idle", 2, 9.0, None), ("idle, too short", 1, 4.0, None), ("load", 2, 10.0, Some(3.0))];
        assert_eq!(figures, expected);
        assert!(report.to_string().contains("2 of 3") && report.to_string().contains("1 of 3"), "{report}");
    }

    #[test]
    fn of_what_no_run_has_figures_there_are_none() {
        let runs = [4.0, 6.0].map(|value| {
            let mut run = run(value);
            run.records[0].value = f64::NAN;
            run.records[0].runs = 0;
            run
        });
        let report = Report::median_of(runs.into(), 2).expect("two runs");
        assert!(report.records[0].value.is_nan() && report.records[0].runs == 0);
    }

    #[test]
    fn what_a_run_measures_twice_stays_two_figures() {
        let runs = [4.0, 6.0].map(|value| {
            let mut run = run(value);
            run.records.push(Record { value: 1.0, ..run.records[0].clone() });
            run
        });
        let report = Report::median_of(runs.into(), 2).expect("two runs");
        let values: Vec<_> = report.records.iter().map(|record| (record.value, record.runs)).collect();
        assert_eq!(values, [(5.0, 2), (10.0, 2), (1.0, 2)]);
    }

    #[test]
    fn processor_time_of_a_run_is_the_median_and_memory_the_most() {
        let runs = [(3.0, 3), (9.0, 9), (4.0, 4)].map(|(seconds, bytes)| {
            let mut run = run(seconds);
            run.records[0].cpu_seconds = Some(seconds);
            run.records[0].peak_resident_bytes = Some(bytes);
            run
        });
        let report = Report::median_of(runs.into(), 3).expect("three runs");
        let record = &report.records[0];
        assert_eq!((record.cpu_seconds, record.peak_resident_bytes), (Some(4.0), Some(9)));
    }
}
