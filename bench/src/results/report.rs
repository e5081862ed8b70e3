//! The result of a benchmark, for people.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::{Bound, Machine, OfRuns, Progress, Record, RunCount, Schedule, Series, Unit};

/// The result of a benchmark. Shown as a table under the machine and the settings.
#[derive(Clone, Debug)]
pub struct Report {
    /// On what it was measured.
    pub machine: Machine,
    /// How long and how often, where two sides took turns.
    pub schedule: Option<Schedule>,
    /// Other settings that matter, for people.
    pub settings: String,
    /// How often all of it was run.
    pub runs: RunCount,
    /// The figures, in the order in which they were measured.
    pub records: Vec<Record>,
}

impl Report {
    /// Begins a report without figures, and tells the observer of it.
    pub(crate) fn begin(
        machine: Machine,
        schedule: Option<Schedule>,
        settings: String,
        observer: &mut (dyn FnMut(Progress) + Send),
    ) -> Self {
        let report = Self { machine, schedule, settings, runs: RunCount::ONE, records: Vec::new() };
        observer(Progress::Begins(report.clone()));
        report
    }

    /// The report with its figures.
    pub(crate) fn with(self, records: Vec<Record>) -> Self {
        Self { records, ..self }
    }

    /// The figures that are not as wanted: ratios and values.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.holds == Some(false))
    }

    /// Which figures are not as wanted, and what is wanted of them, for people on one line; `None` if all are as
    /// wanted. A figure that cannot be had is not missed.
    pub fn unmet(&self) -> Option<String> {
        let missed: Vec<String> = self.missed().map(beside_wish).collect();
        let asked = self.records.iter().filter(|record| record.holds.is_some()).count();
        let which = missed.join("; ");
        (!missed.is_empty())
            .then(|| format!("{} of {asked} figures are not as wanted: {which}", missed.len()))
    }

    /// On what and how it was measured, as one line of JSON: an object with `machine`, `quorate` (the version) and
    /// `settings`. No figure has a `machine`.
    pub fn head_to_json(&self) -> String {
        #[derive(Serialize)]
        struct Head<'a> {
            machine: &'a Machine,
            quorate: &'static str,
            settings: Settings<'a>,
        }
        #[derive(Serialize)]
        struct Settings<'a> {
            runs: usize,
            runs_asked: usize,
            rounds: Option<usize>,
            round_seconds: Option<f64>,
            warm_up_seconds: Option<f64>,
            more: &'a str,
        }
        let settings = Settings {
            runs: self.runs.finished,
            runs_asked: self.runs.asked,
            rounds: self.schedule.map(|schedule| schedule.rounds),
            round_seconds: self.schedule.map(|schedule| schedule.round.as_secs_f64()),
            warm_up_seconds: self.schedule.map(|schedule| schedule.warm_up.as_secs_f64()),
            more: &self.settings,
        };
        let head = Head { machine: &self.machine, quorate: env!("CARGO_PKG_VERSION"), settings };
        serde_json::to_string(&head).expect("numbers and texts always serialise")
    }

    /// The report as JSON, one object per line: first [`Self::head_to_json`], then each figure as
    /// [`Record::to_json`] has it.
    pub fn to_json_lines(&self) -> String {
        let figures = self.records.iter().map(Record::to_json);
        std::iter::once(self.head_to_json()).chain(figures).map(|line| line + "\n").collect()
    }

    /// How often it was run, if more than one run was asked for, and the settings that matter.
    pub(crate) fn runs_and_settings(&self) -> String {
        let RunCount { asked, finished } = self.runs;
        if asked <= 1 {
            return self.settings.clone();
        }
        let runs = if finished < asked { format!("{finished} of {asked}") } else { finished.to_string() };
        let largest = self.records.iter().any(|record| record.of_runs == OfRuns::Largest);
        let largest = if largest { ", of what is worst the largest figure" } else { "" };
        format!("medians of {runs} runs{largest}; {}", self.settings)
    }

    /// The rounds of each case one by one, in the order in which they were measured.
    pub fn series(&self) -> Vec<&Series> {
        let mut each: Vec<&Arc<Series>> =
            self.records.iter().filter_map(|record| record.series.as_ref()).collect();
        // The figures of a case come one after the other.
        each.dedup_by(|next, before| Arc::ptr_eq(next, before));
        each.into_iter().map(|series| &**series).collect()
    }
}

/// A figure in a unit that reads well; a dash for what is none.
pub(crate) fn show(value: f64, unit: Unit) -> String {
    let scaled = |suffix: &str| match value {
        v if v >= 1e9 => format!("{:.2} G{suffix}", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M{suffix}", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k{suffix}", v / 1e3),
        v => format!("{v:.0} {suffix}"),
    };
    match unit {
        _ if value.is_nan() => NONE.into(),
        Unit::MessagesPerSecond => scaled("/s"),
        Unit::BytesPerSecond => scaled("B/s"),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::Microseconds if value >= 1e4 => format!("{:.1} ms", value / 1e3),
        Unit::Microseconds => format!("{value:.1} us"),
        Unit::Bytes => scaled("B"),
        Unit::Count => format!("{value:.0}"),
        Unit::Cores => format!("{value:.3} cores"),
        Unit::Percent => format!("{value:.2} %"),
        Unit::Groups => format!("{value:.1}"),
    }
}

/// The lowest and the highest figure, with their unit once where it is the same.
pub(crate) fn show_range((low, high): (f64, f64), unit: Unit) -> String {
    if low.is_nan() && high.is_nan() {
        return NONE.into();
    }
    let (low, high) = (show(low, unit), show(high, unit));
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((low, below)), Some((_, above))) if below == above => format!("{low}-{high}"),
        _ => format!("{low} - {high}"),
    }
}

/// A ratio; a dash for what is none.
pub(crate) fn show_ratio(ratio: f64) -> String {
    if ratio.is_nan() { NONE.into() } else { format!("{ratio:.2}") }
}

/// What is wanted of a figure, with the unit of what is not a ratio; empty if nothing is.
pub(crate) fn show_wanted(record: &Record) -> String {
    match record.wanted {
        Some(Bound::ValueBelow(bound)) => format!("ours < {}", show(bound, record.unit)),
        Some(ratio) => ratio.to_string(),
        None => String::new(),
    }
}

/// The name of a figure, what it is and what is wanted of it.
fn beside_wish(record: &Record) -> String {
    let is = match record.wanted {
        Some(Bound::ValueBelow(_)) => show(record.value, record.unit),
        _ => format!("ratio {}", show_ratio(record.ratio)),
    };
    format!("{} is {is}, wanted {}", record.case, show_wanted(record))
}

/// Ours and the baseline's, as far as they are known; empty if neither is.
fn both<T>(ours: Option<T>, baseline: Option<T>, show: impl Fn(T) -> String) -> String {
    if ours.is_none() && baseline.is_none() {
        return String::new();
    }
    let [ours, baseline] = [ours, baseline].map(|one| one.map_or_else(|| "-".to_owned(), &show));
    format!("{ours}/{baseline}")
}

/// From how many runs a figure is, where these are fewer than were asked for; empty otherwise.
pub(crate) fn show_runs(record: &Record, asked: usize) -> String {
    if asked > 1 && record.runs < asked { format!("{} of {asked}", record.runs) } else { String::new() }
}

/// The cells of one line of the table, where so many runs were asked for.
fn row(record: &Record, asked: usize) -> [String; COLUMNS] {
    [
        record.case.clone(),
        show(record.value, record.unit),
        show_range(record.range, record.unit),
        show(record.baseline, record.unit),
        show_range(record.baseline_range, record.unit),
        both(record.cpu_seconds, record.baseline_cpu_seconds, |cpu| format!("{cpu:.1}")),
        both(record.peak_resident_bytes, record.baseline_peak_resident_bytes, |peak| {
            format!("{}", peak >> 20)
        }),
        show_runs(record, asked),
        show_ratio(record.ratio),
        show_wanted(record),
        record.holds.map(|holds| if holds { "yes" } else { "NO" }.to_owned()).unwrap_or_default(),
    ]
}

/// Where there is no figure.
const NONE: &str = "-";
const COLUMNS: usize = 11;
const HEAD: [&str; COLUMNS] = [
    "case",
    "ours",
    "min - max",
    "baseline",
    "min - max",
    "cpu s",
    "MiB",
    "runs",
    "ratio",
    "wanted",
    "holds",
];
const COSTS: [usize; 2] = [5, 6];
const HOLDS: usize = COLUMNS - 1;
/// A table that were wider leaves out what figures cost.
const WIDTH_MAX: usize = 150;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if let Some(Schedule { rounds, round, warm_up }) = self.schedule {
            write!(f, "{rounds} rounds of {round:?} per side in turns after {warm_up:?} of warm-up; ")?;
        }
        writeln!(f, "{}", self.runs_and_settings())?;
        let mut baselines: Vec<&str> = Vec::new();
        for record in &self.records {
            if !baselines.contains(&record.baseline_is) {
                baselines.push(record.baseline_is);
                writeln!(f, "baseline: {}", record.baseline_is)?;
            }
        }
        let rows: Vec<[String; COLUMNS]> = std::iter::once(HEAD.map(str::to_owned))
            .chain(self.records.iter().map(|it| row(it, self.runs.asked)))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        // A column without anything in it is left out.
        let has_any = |column: usize| rows[1..].iter().any(|row| !row[column].is_empty());
        let mut columns: Vec<usize> = (0..COLUMNS).filter(|column| has_any(*column)).collect();
        let wide: usize = columns.iter().map(|column| widths[*column] + 2).sum();
        // What figures cost is in the lines of JSON and on the page, too.
        columns.retain(|column| !COSTS.contains(column) || wide <= WIDTH_MAX);
        if columns.contains(&COSTS[0]) {
            writeln!(
                f,
                "cpu s, MiB: processor time of all rounds of a run, and most memory of a process, ours/baseline"
            )?;
        }
        for cells in &rows {
            writeln!(f)?;
            for &column in &columns {
                let (cell, width) = (&cells[column], widths[column]);
                // Names to the left, figures to the right, nothing behind the last column.
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    HOLDS => write!(f, "  {cell}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Usage,
        measure::{Reading, Sample},
        results::record::{Label, Rounds},
    };

    fn report() -> Report {
        let rounds = |messages| Rounds {
            samples: vec![Sample::Flow { messages, message_bytes: 65_536, elapsed: Duration::from_secs(1) }],
            usage: vec![Usage { seconds: 1.0, cpu_seconds: Some(1.25), peak_resident_bytes: Some(70 << 20) }],
        };
        let label = Label {
            bench: "transport",
            case: "quic 64 KiB",
            baseline_is: "raw quinn",
            reading: Reading::Bytes,
            wanted: Some(Bound::AtLeast(0.9)),
        };
        let record = Record::compare(label, &rounds(40_000), &rounds(50_000)).expect("figures");
        Report {
            machine: Machine::here(),
            schedule: Some(Schedule::default()),
            settings: "2 workers".into(),
            runs: RunCount::ONE,
            records: vec![record],
        }
    }

    #[test]
    fn a_table_has_a_line_per_figure_under_its_head() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let head = lines.iter().position(|line| line.starts_with("case ")).expect("a head");
        assert!(lines[head + 1].starts_with("quic 64 KiB throughput  2.62 GB/s"), "{}", lines[head + 1]);
        assert!(lines[head + 1].ends_with("0.80  >= 0.90  NO"), "{}", lines[head + 1]);
        assert_eq!(lines.len(), head + 2);
    }

    #[test]
    fn ranges_name_their_unit_once_and_columns_without_figures_are_left_out() {
        assert_eq!(show_range((1.5e9, 2e9), Unit::BytesPerSecond), "1.50-2.00 GB/s");
        assert_eq!(show_range((9e8, 2e9), Unit::BytesPerSecond), "900.00 MB/s - 2.00 GB/s");
        assert_eq!(show_range((9.5e3, 5e5), Unit::Microseconds), "9500.0 us - 500.0 ms");
        let mut report = report();
        report.records[0].wanted = Some(Bound::ValueBelow(2.5e9));
        assert!(report.to_string().contains("  ours < 2.50 GB/s"), "{report}");
        assert!(report.to_string().contains("  1.2/1.2  70/70"), "{report}");
        report.records[0].case = "a long name ".repeat(8);
        assert!(!report.to_string().contains("cpu s"), "{report}");
        report.records[0].case.clear();
        let record = &mut report.records[0];
        (record.cpu_seconds, record.baseline_cpu_seconds) = (None, None);
        assert!(!report.to_string().contains("cpu s"), "{report}");
    }

    #[test]
    fn where_there_is_no_figure_there_is_a_dash() {
        let mut report = report();
        let record = &mut report.records[0];
        (record.value, record.ratio, record.range) = (f64::NAN, f64::NAN, (f64::NAN, f64::NAN));
        let text = report.to_string();
        let cells: Vec<&str> = text.lines().last().expect("a line").split_whitespace().collect();
        assert_eq!(cells[..5], ["quic", "64", "KiB", "throughput", "-"], "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn a_missed_wish_shows_in_the_report() {
        let mut report = report();
        let missed = "quic 64 KiB throughput is ratio 0.80, wanted >= 0.90";
        assert_eq!(report.unmet(), Some(format!("1 of 1 figures are not as wanted: {missed}")));
        let wanted = Some(Bound::ValueBelow(2e9));
        report.records.push(Record { case: "a value".into(), wanted, ..report.records[0].clone() });
        let both = format!(
            "2 of 2 figures are not as wanted: {missed}; a value is 2.62 GB/s, wanted ours < 2.00 GB/s"
        );
        assert_eq!(report.unmet(), Some(both));
        (report.records[0].holds, report.records[1].holds) = (Some(true), None);
        assert_eq!(report.unmet(), None);
    }

    #[test]
    fn the_first_line_of_json_has_the_machine_and_the_settings_and_the_others_a_figure() {
        let report = Report { runs: RunCount { asked: 5, finished: 3 }, ..report() };
        let lines = report.to_json_lines();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("valid JSON")).collect();
        let [head, figure] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(head["machine"]["cores"], report.machine.cores);
        assert_eq!((&head["settings"]["runs"], &head["settings"]["runs_asked"]), (&3.into(), &5.into()));
        assert_eq!(
            (&head["settings"]["rounds"], &head["settings"]["round_seconds"]),
            (&5.into(), &0.5.into())
        );
        assert_eq!(head["settings"]["more"], "2 workers");
        assert!(head["case"].is_null() && head["value"].is_null(), "{head}");
        assert!(figure["machine"].is_null() && figure["case"].is_string(), "{figure}");
    }

    #[test]
    fn a_figure_from_fewer_runs_than_were_asked_for_says_so() {
        let mut report = report();
        assert!(!report.to_string().contains("runs"), "{report}");
        report.runs = RunCount { asked: 5, finished: 5 };
        report.records[0].runs = 5;
        assert!(report.to_string().contains("medians of 5 runs; 2 workers"), "{report}");
        assert!(!report.to_string().contains("5 of 5"), "{report}");
        report.records[0].runs = 3;
        let text = report.to_string();
        assert!(text.lines().last().expect("a line").contains("  3 of 5   0.80  "), "{text}");
        report.records[0].of_runs = OfRuns::Largest;
        assert!(report.to_string().contains("5 runs, of what is worst the largest figure; 2 workers"));
    }
}
