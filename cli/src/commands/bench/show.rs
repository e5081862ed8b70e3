//! How figures are shown.

use indicatif::ProgressBar;
use quorate_bench::{BenchError, Progress, Report};

use crate::{Failure, failure::one_line, output::Output, progress};

/// How a benchmark shows its figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Show {
    /// In a table, once all are known.
    Table,
    /// As lines of JSON, each as soon as it is known; the first has the machine and the settings.
    Lines,
    /// Not at all: it is one of several runs, which are shown together.
    Run {
        /// Which one, from 1.
        number: u8,
        /// How many there are.
        of: u8,
    },
}

type Observer<'a> = &'a mut (dyn FnMut(Progress) + Send);

impl Show {
    /// Carries out a benchmark and prints its figures.
    pub(super) fn measure(
        self,
        benchmark: impl FnOnce(Observer<'_>) -> Result<Report, BenchError>,
    ) -> Result<Report, Failure> {
        let bar = progress::drawn(ProgressBar::new(0), "{bar:30} {pos}/{len} {msg}");
        let mut output = Output::new();
        let (mut head, mut written) = (None, Ok(()));
        let report = benchmark(&mut |progress| match progress {
            Progress::Step { done, steps, case } => {
                bar.set_length(steps as u64);
                bar.set_position(done as u64);
                bar.set_message(match self {
                    Self::Run { number, of } => format!("run {number} of {of}: {case}"),
                    Self::Table | Self::Lines => case,
                });
            }
            // It comes with the first figure: what is refused before prints nothing.
            Progress::Begins(report) => head = Some(report.head_to_json()),
            Progress::Measured(record) if self == Self::Lines && written.is_ok() => {
                let lines = head.take().into_iter().chain([record.to_json()]);
                written = output.lines(lines).and_then(|()| output.flush());
            }
            _ => {}
        });
        bar.finish_and_clear();
        written?;
        let report = report.map_err(|error| match error {
            BenchError::Settings(what) => Failure::Usage(what),
            other => Failure::Failed(one_line(&other)),
        })?;
        if self == Self::Table {
            output.line(report.to_string())?;
            output.flush()?;
        }
        Ok(report)
    }
}
