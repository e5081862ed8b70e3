//! A benchmark that is run several times.

use quorate_bench::Report;

use crate::Failure;

/// What several runs of a benchmark came to.
#[derive(Debug)]
pub(super) struct Runs {
    /// The reports of those that came to their end.
    pub(super) finished: Vec<Report>,
    /// Why the one after them did not. No other was begun.
    pub(super) failed: Option<Failure>,
}

impl Runs {
    /// Carries out so many runs, which are counted from 1. What fails at once fails as it would alone; hours of runs
    /// are not lost by one that fails behind them.
    pub(super) fn carry_out(
        count: u8,
        mut run: impl FnMut(u8) -> Result<Option<Report>, Failure>,
    ) -> Result<Self, Failure> {
        let mut finished = Vec::new();
        for number in 1..=count {
            match run(number) {
                Ok(report) => finished.extend(report),
                Err(failure) if finished.is_empty() => return Err(failure),
                Err(failure) => {
                    let why = failure.line().unwrap_or_default();
                    let failed = Failure::Failed(format!("run {number} of {count} failed: {why}"));
                    return Ok(Self { finished, failed: Some(failed) });
                }
            }
        }
        Ok(Self { finished, failed: None })
    }
}

#[cfg(test)]
mod tests {
    use quorate_bench::{Machine, RunCount};

    use super::*;

    fn report() -> Report {
        let (machine, settings) = (Machine::here(), String::new());
        Report { machine, schedule: None, settings, runs: RunCount::ONE, records: Vec::new() }
    }

    #[test]
    fn runs_before_one_that_fails_count_and_none_is_begun_after_it() {
        let mut begun = Vec::new();
        let runs = Runs::carry_out(5, |number| {
            begun.push(number);
            if number == 3 { Err(Failure::Failed("a node died".into())) } else { Ok(Some(report())) }
        });
        let Runs { finished, failed } = runs.expect("two are over");
        assert_eq!((finished.len(), begun), (2, vec![1, 2, 3]));
        let line = failed.and_then(|failure| failure.line());
        assert_eq!(line.as_deref(), Some("run 3 of 5 failed: a node died"));
    }

    #[test]
    fn what_fails_at_once_fails_as_it_would_alone() {
        let failed = Runs::carry_out(5, |_| Err(Failure::Usage("no such size".into())));
        assert!(matches!(failed, Err(Failure::Usage(why)) if why == "no such size"));
        let all = Runs::carry_out(2, |_| Ok(Some(report()))).expect("nothing fails");
        assert!(all.finished.len() == 2 && all.failed.is_none());
    }
}
