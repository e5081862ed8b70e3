//! Measures two sides in turns.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    sample::{Reading, Sample},
    usage::Meter,
};
use crate::{
    BenchError, Bound, OfRuns, Progress, Record, Schedule, Series, Usage,
    results::{Label, Named, Rounds},
};

/// What is measured: set up once, then run for a while again and again.
pub(crate) trait Side: fmt::Debug + Send {
    /// Works for about the given time and returns when all that was sent has arrived.
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>>;

    /// The processes that do the work, whose numbers these are, or `self`; none if it is not known what it costs.
    fn processes(&self) -> Vec<String> {
        vec!["self".into()]
    }
}

/// One comparison, which may have several figures.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) bench: &'static str,
    pub(crate) name: String,
    pub(crate) baseline_is: &'static str,
    pub(crate) readings: Vec<(Reading, Option<Bound>)>,
}

/// Takes the rounds and keeps the figures of one benchmark.
pub(crate) struct Harness<'a> {
    schedule: Schedule,
    observer: &'a mut (dyn FnMut(Progress) + Send),
    done: usize,
    steps: usize,
    records: Vec<Record>,
}

impl<'a> Harness<'a> {
    /// How long a round may take beyond its length: enough for what was sent to arrive on a
    /// machine that has much else to do.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(crate) fn new(
        schedule: Schedule,
        cases: usize,
        observer: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, BenchError> {
        schedule.check()?;
        Ok(Self { schedule, observer, done: 0, steps: cases * schedule.steps(), records: Vec::new() })
    }

    /// So many cases have one more side beside their baseline.
    pub(crate) const fn with_more_sides(mut self, sides: usize) -> Self {
        self.steps += sides * self.schedule.steps_of_side();
        self
    }

    /// Warms both sides up and measures them in turns.
    pub(crate) async fn compare(
        &mut self,
        case: &Case,
        ours: &mut dyn Side,
        baseline: &mut dyn Side,
    ) -> Result<(), BenchError> {
        self.compare_all(&mut [(case, ours)], baseline).await
    }

    /// The same with several sides, each a case of its own beside the same rounds of the baseline.
    pub(crate) async fn compare_all(
        &mut self,
        sides: &mut [(&Case, &mut dyn Side)],
        baseline: &mut dyn Side,
    ) -> Result<(), BenchError> {
        let Some(&(first, _)) = sides.first() else { return Ok(()) };
        self.step(first, baseline, self.schedule.warm_up).await?;
        for (case, side) in sides.iter_mut() {
            self.step(case, *side, self.schedule.warm_up).await?;
        }
        let mut base_rounds = Rounds::default();
        let mut side_rounds: Vec<Rounds> = sides.iter().map(|_| Rounds::default()).collect();
        for _ in 0..self.schedule.rounds {
            base_rounds.push(self.step(first, baseline, self.schedule.round).await?);
            for ((case, side), rounds) in sides.iter_mut().zip(&mut side_rounds) {
                rounds.push(self.step(case, *side, self.schedule.round).await?);
            }
        }
        for ((case, _), rounds) in sides.iter().zip(&side_rounds) {
            self.keep(case, rounds, &base_rounds);
        }
        Ok(())
    }

    /// Keeps the figures of a case.
    fn keep(&mut self, case: &Case, our_rounds: &Rounds, base_rounds: &Rounds) {
        let series = case.readings.first().map(|&(first, _)| {
            Arc::new(Series::new((case.bench, &case.name), first, our_rounds, base_rounds))
        });
        for &(reading, wanted) in &case.readings {
            let label =
                Label { bench: case.bench, case: &case.name, baseline_is: case.baseline_is, reading, wanted };
            if let Some(mut record) = Record::compare(label, our_rounds, base_rounds) {
                record.series.clone_from(&series);
                (self.observer)(Progress::Measured(record.clone()));
                self.records.push(record);
            }
        }
    }

    /// Leaves a case of two sides out, and says why.
    pub(crate) fn leave_out(&mut self, case: &Case, why: &'static str) {
        self.steps -= self.schedule.steps();
        for &(reading, wanted) in &case.readings {
            let named = Named {
                bench: case.bench,
                case: format!("{} {}", case.name, reading.name()),
                unit: reading.unit(),
                of_runs: OfRuns::Median,
                wanted,
                baseline_is: case.baseline_is,
            };
            let record = Record::without_figures(&named, why);
            (self.observer)(Progress::Measured(record.clone()));
            self.records.push(record);
        }
    }

    /// The figures of all cases so far.
    pub(crate) fn into_records(self) -> Vec<Record> {
        self.records
    }

    /// One round, and what it cost.
    async fn step(
        &mut self,
        case: &Case,
        side: &mut dyn Side,
        length: Duration,
    ) -> Result<(Sample, Usage), BenchError> {
        (self.observer)(Progress::Step { done: self.done, steps: self.steps, case: case.name.clone() });
        let after = length + Self::PATIENCE;
        let meter = Meter::start_of(side.processes());
        let sample =
            tokio::time::timeout(after, side.round(length)).await.map_err(|_| BenchError::Stuck(after))??;
        let usage = meter.stop();
        self.done += 1;
        Ok((sample, usage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says which side ran, and answers with a fixed number of messages.
    #[derive(Debug)]
    struct Scripted {
        name: &'static str,
        messages: u64,
        turns: Arc<std::sync::Mutex<Vec<&'static str>>>,
    }

    impl Side for Scripted {
        fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
            self.turns.lock().expect("one thread").push(self.name);
            let messages = self.messages;
            Box::pin(async move { Ok(Sample::Flow { messages, message_bytes: 1, elapsed: length }) })
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl Side for Silent {
        fn round(&mut self, _: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
            Box::pin(std::future::pending())
        }
    }

    fn case() -> Case {
        Case {
            bench: "transport",
            name: "memory 1 B".into(),
            baseline_is: "a script",
            readings: vec![(Reading::Messages, Some(Bound::AtLeast(0.5)))],
        }
    }

    fn schedule() -> Schedule {
        Schedule { warm_up: Duration::from_millis(1), round: Duration::from_millis(10), rounds: 2 }
    }

    #[tokio::test]
    async fn sides_are_warmed_up_and_measured_in_turns() {
        let turns = Arc::default();
        let side = |name, messages| Scripted { name, messages, turns: Arc::clone(&turns) };
        let mut seen = Vec::new();
        let mut observer = |progress| seen.push(progress);
        let mut harness = Harness::new(schedule(), 1, &mut observer).expect("a schedule that fits");
        harness.compare(&case(), &mut side("A", 4), &mut side("B", 5)).await.expect("scripted sides");
        let records = harness.into_records();

        assert_eq!(*turns.lock().expect("one thread"), ["B", "A", "B", "A", "B", "A"]);
        assert_eq!(records.len(), 1);
        assert!((records[0].ratio - 0.8).abs() < 1e-9);
        let series = records[0].series.as_ref().expect("its rounds");
        assert_eq!([&series.ours, &series.baseline].map(|side| side.rounds.len()), [2, 2]);
        let steps: Vec<usize> = seen
            .iter()
            .filter_map(|progress| match progress {
                Progress::Step { done, steps: 6, .. } => Some(*done),
                _ => None,
            })
            .collect();
        assert_eq!(steps, [0, 1, 2, 3, 4, 5]);
        assert!(matches!(seen.last(), Some(Progress::Measured(record)) if *record == records[0]));
    }

    #[tokio::test]
    async fn several_sides_take_turns_beside_the_same_rounds_of_the_baseline() {
        let turns = Arc::default();
        let side = |name, messages| Scripted { name, messages, turns: Arc::clone(&turns) };
        let mut steps = Vec::new();
        let mut observer = |progress| {
            if let Progress::Step { done, steps: all, .. } = progress {
                steps.push((done, all));
            }
        };
        let harness = Harness::new(schedule(), 1, &mut observer).expect("a schedule that fits");
        let mut harness = harness.with_more_sides(1);
        let (ours, other) = (case(), Case { name: "bare 1 B".into(), ..case() });
        let (mut a, mut c) = (side("A", 4), side("C", 10));
        let mut sides: [(&Case, &mut dyn Side); 2] = [(&ours, &mut a), (&other, &mut c)];
        harness.compare_all(&mut sides, &mut side("B", 5)).await.expect("scripted sides");
        let records = harness.into_records();

        assert_eq!(*turns.lock().expect("one thread"), ["B", "A", "C", "B", "A", "C", "B", "A", "C"]);
        assert_eq!(steps, (0..9).map(|done| (done, 9)).collect::<Vec<_>>());
        let found = records.iter().map(|record| (&*record.case, record.ratio)).collect::<Vec<_>>();
        assert_eq!(found, [("memory 1 B throughput", 0.8), ("bare 1 B throughput", 2.0)]);
        let base = |record: &Record| record.series.as_ref().expect("its rounds").baseline.clone();
        assert_eq!(base(&records[0]), base(&records[1]));
    }

    #[tokio::test]
    async fn a_case_that_is_left_out_takes_no_steps_and_says_why() {
        let mut steps = Vec::new();
        let mut observer = |progress| {
            if let Progress::Step { steps: all, .. } = progress {
                steps.push(all);
            }
        };
        let mut harness = Harness::new(schedule(), 2, &mut observer).expect("a schedule that fits");
        harness.leave_out(&case(), "there is none");
        let side = |name| Scripted { name, messages: 1, turns: Arc::default() };
        harness.compare(&case(), &mut side("A"), &mut side("B")).await.expect("scripted sides");
        let records = harness.into_records();
        assert_eq!(steps, [6; 6]);
        assert_eq!(records.len(), 2);
        assert_eq!(
            (records[0].case.as_str(), records[0].baseline_is),
            ("memory 1 B throughput", "there is none")
        );
        assert_eq!((records[0].value.is_nan(), records[0].holds), (true, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_without_an_end_is_given_up() {
        let mut observer = |_| ();
        let mut harness = Harness::new(schedule(), 1, &mut observer).expect("a schedule that fits");
        let result = harness.compare(&case(), &mut Silent, &mut Silent).await;
        assert!(matches!(result, Err(BenchError::Stuck(_))));
    }

    #[test]
    fn a_schedule_that_measures_nothing_is_refused() {
        let mut observer = |_| ();
        let nothing = Schedule { rounds: 0, ..schedule() };
        assert!(matches!(Harness::new(nothing, 1, &mut observer), Err(BenchError::Settings(_))));
    }
}
