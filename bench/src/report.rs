//! The result of a benchmark, for people.

use std::fmt;

use crate::{Machine, Record, Schedule, Unit};

/// The result of a benchmark. Shown as a table under the machine and the settings.
#[derive(Clone, Debug)]
pub struct Report {
    /// On what it was measured.
    pub machine: Machine,
    /// How long and how often.
    pub schedule: Schedule,
    /// Other settings that matter, for people.
    pub settings: String,
    /// The figures, in the order in which they were measured.
    pub records: Vec<Record>,
}

impl Report {
    /// Whether every ratio of which something is wanted is as wanted.
    pub fn holds(&self) -> bool {
        self.records.iter().all(|record| record.holds != Some(false))
    }

    /// The figures as JSON, one object per line.
    pub fn to_json_lines(&self) -> String {
        self.records.iter().map(|record| record.to_json() + "\n").collect()
    }
}

/// A figure in a unit that reads well.
fn show(value: f64, unit: Unit) -> String {
    let scaled = |suffix: &str| match value {
        v if v >= 1e9 => format!("{:.2} G{suffix}", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M{suffix}", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k{suffix}", v / 1e3),
        v => format!("{v:.0} {suffix}"),
    };
    match unit {
        Unit::MessagesPerSecond => scaled("/s"),
        Unit::BytesPerSecond => scaled("B/s"),
        Unit::Microseconds => format!("{value:.1} us"),
        Unit::Bytes => scaled("B"),
        Unit::Count => format!("{value:.0}"),
    }
}

/// The cells of one line of the table.
fn row(record: &Record) -> [String; 8] {
    let range = |(low, high): (f64, f64)| format!("{} - {}", show(low, record.unit), show(high, record.unit));
    [
        record.case.clone(),
        show(record.value, record.unit),
        range(record.range),
        show(record.baseline, record.unit),
        range(record.baseline_range),
        format!("{:.2}", record.ratio),
        record.wanted.map(|wanted| wanted.to_string()).unwrap_or_default(),
        record.holds.map(|holds| if holds { "yes" } else { "NO" }.to_owned()).unwrap_or_default(),
    ]
}

const HEAD: [&str; 8] = ["case", "ours", "min - max", "baseline", "min - max", "ratio", "wanted", "holds"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} rounds of {:?} per side in turns after {:?} of warm-up; {}",
            self.schedule.rounds, self.schedule.round, self.schedule.warm_up, self.settings
        )?;
        let mut baselines: Vec<&str> = Vec::new();
        for record in &self.records {
            if !baselines.contains(&record.baseline_is) {
                baselines.push(record.baseline_is);
                writeln!(f, "baseline: {}", record.baseline_is)?;
            }
        }
        let rows: Vec<[String; 8]> =
            std::iter::once(HEAD.map(str::to_owned)).chain(self.records.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for cells in &rows {
            writeln!(f)?;
            for (column, cell) in cells.iter().enumerate() {
                let width = widths[column];
                // Names to the left, figures to the right, nothing behind the last column.
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    7 => write!(f, "  {cell}")?,
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
        Bound,
        record::{Label, Rounds},
        sample::{Reading, Sample},
    };

    fn report() -> Report {
        let rounds = |messages| Rounds {
            samples: vec![Sample::Flow { messages, message_bytes: 65_536, elapsed: Duration::from_secs(1) }],
            cores: Vec::new(),
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
            schedule: Schedule::default(),
            settings: "2 workers".into(),
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
    fn a_missed_wish_shows_in_the_report() {
        assert!(!report().holds());
        assert_eq!(report().to_json_lines().lines().count(), 1);
    }
}
