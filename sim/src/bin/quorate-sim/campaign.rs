//! Runs seeds on several threads until one breaks a rule, and shows what there is to see of it.

use std::{
    fmt,
    ops::AddAssign,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use quorate_membership::Time;
use quorate_sim::{Schedule, Violation, shrink};

use crate::{
    Range,
    interrupt::Interrupt,
    pace::{Pace, Stopwatch},
};

/// How one seed ended.
pub(crate) struct Ran<T> {
    pub(crate) violation: Option<Violation>,
    pub(crate) at: Time,
    pub(crate) tally: T,
}

/// Something that runs from a seed and a schedule of faults.
pub(crate) trait Subject: Sync {
    /// What happened in runs, as a sentence.
    type Tally: AddAssign + Default + fmt::Debug + fmt::Display + PartialEq + Send;

    /// The faults that the seed decides.
    fn schedule(&self, seed: u64) -> Schedule;

    fn run(&self, seed: u64, schedule: &Schedule, trace: bool) -> Ran<Self::Tally>;

    /// What has to be typed behind the command to see this seed again.
    fn arguments(&self, seed: u64) -> String;
}

/// How a campaign ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// Every promise held.
    Held,
    /// One did not.
    Broken,
    /// Ctrl-C came before all seeds were run; until then every promise held.
    Interrupted,
}

/// What all runs together came to.
#[derive(Default)]
struct Sum<T> {
    tally: T,
    pace: Pace,
    seeds: u64,
}

/// Runs one seed; `None` if a core tripped over an assertion of its own.
fn attempt<S: Subject>(subject: &S, seed: u64, schedule: &Schedule) -> Option<Ran<S::Tally>> {
    catch_unwind(AssertUnwindSafe(|| subject.run(seed, schedule, false))).ok()
}

/// Runs the seeds until one fails, all are done, or Ctrl-C comes.
pub(crate) fn campaign<S: Subject>(subject: &S, range: &Range, interrupt: &Interrupt) -> Ended {
    let seeds = range.seeds();
    let count = seeds.end - seeds.start;
    println!("seeds {} to {}", seeds.start, seeds.end - 1);
    let bar = ProgressBar::new(count); // which shows itself on a terminal only
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} seeds, {eta} left {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let sum = Mutex::new(Sum::<S::Tally>::default());
    std::thread::scope(|scope| {
        for _ in 0..range.jobs.max(1) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX && !interrupt.came() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let watch = Stopwatch::start();
                    let ran = attempt(subject, seed, &subject.schedule(seed));
                    if ran.as_ref().is_none_or(|ran| ran.violation.is_some()) {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                    let Some(ran) = ran else { continue };
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.tally += ran.tally;
                    sum.pace += watch.stop(ran.at.since(Time::ZERO));
                    sum.seeds += 1;
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}\n{}", sum.tally, sum.pace);
    match failed.into_inner() {
        u64::MAX if sum.seeds < count => {
            println!("interrupted behind {} of {count} seeds; every promise held so far", sum.seeds);
            Ended::Interrupted
        }
        u64::MAX => {
            if range.trace {
                subject.run(seeds.start, &subject.schedule(seeds.start), true);
            }
            println!("every promise held");
            Ended::Held
        }
        seed => {
            show(subject, seed, range.trace, interrupt);
            Ended::Broken
        }
    }
}

/// Shows a failing seed, how to see it again, and the smallest schedule that fails the same way: on
/// Ctrl-C the smallest that was found by then.
fn show<S: Subject>(subject: &S, seed: u64, trace: bool, interrupt: &Interrupt) {
    let schedule = subject.schedule(seed);
    let arguments = subject.arguments(seed);
    println!("seed {seed} fails; replay: cargo run --release -p quorate-sim -- {arguments} --trace");
    let (Some(one), Some(two)) = (attempt(subject, seed, &schedule), attempt(subject, seed, &schedule))
    else {
        println!("violation: an assertion of the core, see above");
        return;
    };
    if one.tally != two.tally {
        println!("two runs of it differ, so something hidden decides: {:?}, {:?}", one.tally, two.tally);
    }
    let Some(violation) = one.violation else { return };
    println!("violation: {} at {}: {}", violation.property, one.at, violation.what);
    let smallest = shrink(&schedule, violation.property, |fewer| {
        if interrupt.came() { None } else { subject.run(seed, fewer, false).violation }
    });
    let (few, all) = (smallest.0.len(), schedule.0.len());
    println!("smallest schedule that breaks the same rule, {few} of {all} faults:");
    for (begin, end, fault) in &smallest.0 {
        println!("  {begin} to {end}: {fault}");
    }
    if trace {
        subject.run(seed, &smallest, true);
    }
}
