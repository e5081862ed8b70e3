//! Long runs: whether what a group does and takes stays the same while it works at full load.

mod disturbance;
mod run;

use std::{num::NonZeroU64, time::Duration};

use quorate::{GroupSettings, protocols::Order};

pub use self::disturbance::{Disturbance, NotADisturbance};
use self::run::{LOST_PERCENT, Plan, Run, Window};
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Unit,
    limits::{MESSAGE_BYTES_MAX, check_sizes},
    load::{Load, STAMPED_BYTES_MIN},
    place::GROUP,
    record::Named,
    sample::{Latencies, Reading},
    size::Size,
    stage::in_system,
};

/// What the long runs are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SoakArgs {
    /// Members of the group. Default 3.
    pub members: usize,
    /// Orders of delivery. Default all.
    pub orders: Vec<Order>,
    /// What goes on beside the load, each in a run of its own. Default nothing.
    pub disturbances: Vec<Disturbance>,
    /// Bytes of the messages. Default 1 KiB.
    pub message_bytes: usize,
    /// How long each run lasts. Default ten minutes.
    pub length: Duration,
    /// From one change to the next, where a member leaves and joins. Default 10 s.
    pub churn_every: Duration,
    /// What a slow member gets in a second, of all that is sent. Default 32 MiB.
    pub slow_bytes_per_s: NonZeroU64,
    /// For how long a slow member lags before it is demoted or evicted. Default 2 s.
    pub lag_for: Duration,
}

impl Default for SoakArgs {
    fn default() -> Self {
        Self {
            members: 3,
            orders: Order::ALL.into(),
            disturbances: vec![Disturbance::Nothing],
            message_bytes: 1 << 10,
            length: Duration::from_mins(10),
            churn_every: Duration::from_secs(10),
            slow_bytes_per_s: NonZeroU64::new(32 << 20).expect("it is not zero"),
            lag_for: Duration::from_secs(2),
        }
    }
}

/// Pieces of a run. The first is a warm-up; the last third is compared with the third after that.
const PIECES: usize = 31;
const PIECES_COMPARED: usize = (PIECES - 1) / 3;
const LENGTH_MAX: Duration = Duration::from_hours(24 * 30);
const LENGTH_MIN: Duration = Duration::from_millis(PIECES as u64 * 10);
const BASELINE_IS: &str = "the first third of the same run";

/// What still counts as flat: how much the last third may differ from the first. Memory is what one run
/// of an allocator differs from the next.
const THROUGHPUT_KEPT: Bound = Bound::AtLeast(0.9);
const LATENCY_KEPT: Bound = Bound::AtMost(1.2);
const MEMORY_KEPT: Bound = Bound::AtMost(1.1);
/// Of the packets that are lost a good part is sent again: all but those that only acknowledge.
const LOSS_SEEN: Bound = Bound::AtLeast(0.25);
const LOSS_IS: &str = "packets that are lost";

impl SoakArgs {
    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if !(3..=9).contains(&self.members) {
            return refuse(format!("{} members are not run: choose 3 to 9", self.members));
        }
        check_sizes([&self.message_bytes], STAMPED_BYTES_MIN..=MESSAGE_BYTES_MAX)?;
        if self.length < LENGTH_MIN {
            return refuse(format!("a run of {:?} is none: choose {LENGTH_MIN:?} or more", self.length));
        }
        if self.length > LENGTH_MAX {
            return refuse(format!("a run of {:?} is too long: choose {LENGTH_MAX:?} or less", self.length));
        }
        if self.churn_every.is_zero() {
            return refuse("between two changes there must be some time".into());
        }
        if self.disturbances.contains(&Disturbance::Churn) && self.length < self.churn_every * 4 {
            return refuse(format!(
                "in {:?} no member leaves and joins: choose {:?} or more",
                self.length,
                self.churn_every * 4
            ));
        }
        let slow = |it: &Disturbance| matches!(it, Disturbance::Slow(_));
        if self.disturbances.iter().any(slow) && self.length < self.lag_for * 2 {
            return refuse(format!(
                "in {:?} no slow member is set aside: choose {:?} or more",
                self.length,
                self.lag_for * 2
            ));
        }
        Ok(())
    }

    fn plan(&self, order: Order, disturbance: Disturbance) -> Plan {
        let settings = GroupSettings::new(GROUP, 1..=self.members as u64).order(order);
        let settings = match disturbance {
            Disturbance::Slow(policy) => settings.slow(policy, self.lag_for),
            _ => settings,
        };
        Plan {
            settings,
            members: self.members,
            disturbance,
            load: Load::new(self.message_bytes),
            slow_bytes_per_s: self.slow_bytes_per_s,
            window: self.length / PIECES as u32,
            windows: PIECES,
            churn_every: self.churn_every,
        }
    }
}

/// Lets a group work at full load for long, all members in this process and each on a thread of its own, and
/// compares the last third of the run with the first: throughput, latency, memory; and counts live members that
/// were taken for dead. All that was sent must be delivered at all members that stay, once. Blocks the calling
/// thread until all runs are over.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn soak(args: &SoakArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let mut records = Vec::new();
    let steps = args.orders.len() * args.disturbances.len() * PIECES;
    let mut done = 0;
    for &disturbance in &args.disturbances {
        for &order in &args.orders {
            let plan = args.plan(order, disturbance);
            let case = format!("{order}, {}, {}", Size(args.message_bytes), disturbance.case());
            let tick = |number: usize| {
                observer(Progress::Step { done: done + number, steps, case: case.clone() });
            };
            let ran = in_system(|| run::run(&plan, tick)).map_err(|error| error.in_case(&case))?;
            done += PIECES;
            for record in figures(&case, &plan, &ran) {
                observer(Progress::Measured(record.clone()));
                records.push(record);
            }
        }
    }
    let settings =
        format!("{} members, a thread each, one of which sends for {:?}", args.members, args.length);
    Ok(Report { machine, schedule: None, settings, records })
}

/// The last third beside the first.
fn figures(case: &str, plan: &Plan, run: &Run) -> Vec<Record> {
    let first = 1..1 + PIECES_COMPARED;
    let last = PIECES - PIECES_COMPARED..PIECES;
    let record = |what: String, unit: Unit, wanted: Option<Bound>, figures: [Vec<f64>; 2]| {
        let case = format!("{case} {what}");
        let named = Named { bench: "soak", case, unit, worst: false, wanted, baseline_is: BASELINE_IS };
        let [ours, baseline] = figures;
        Record::beside(&named, ours, baseline)
    };
    let members = |range: &std::ops::Range<usize>, of: &dyn Fn(&Window) -> f64| -> Vec<f64> {
        run.windows.iter().flat_map(|windows| windows[range.clone()].iter().map(of)).collect()
    };
    let both = |of: &dyn Fn(&Window) -> f64| [members(&last, of), members(&first, of)];
    let seconds = plan.window.as_secs_f64();
    let mut records = vec![record(
        "throughput".into(),
        Unit::MessagesPerSecond,
        Some(THROUGHPUT_KEPT),
        both(&|window| window.messages as f64 / seconds),
    )];
    for (share, wanted) in [(0.5, Some(LATENCY_KEPT)), (0.99, None)] {
        let reading = Reading::Quantile(share);
        let merged = |range: &std::ops::Range<usize>| -> Vec<f64> {
            let mut all = Latencies::new();
            run.windows.iter().flat_map(|it| &it[range.clone()]).for_each(|it| all.add(&it.latencies));
            all.into_sample().read(reading).into_iter().collect()
        };
        records.push(record(reading.name(), Unit::Microseconds, wanted, [merged(&last), merged(&first)]));
    }
    let resident = |range: std::ops::Range<usize>| -> Vec<f64> {
        run.resident.get(range).unwrap_or_default().iter().map(|bytes| *bytes as f64).collect()
    };
    records.push(record(
        "resident".into(),
        Unit::Bytes,
        Some(MEMORY_KEPT),
        [resident(last.clone()), resident(first.clone())],
    ));
    let counted = |what: &str, count: u64, wanted| {
        record(what.into(), Unit::Count, wanted, [vec![count as f64], vec![0.0]])
    };
    records.push(counted("members that left or were set aside", run.departures, None));
    records.push(counted("live members taken for dead", run.suspicions, Some(Bound::ValueBelow(1.0))));
    if plan.disturbance == Disturbance::Loss {
        let case = format!("{case} packets sent again");
        let named = Named {
            bench: "soak",
            case,
            unit: Unit::Percent,
            worst: false,
            wanted: Some(LOSS_SEEN),
            baseline_is: LOSS_IS,
        };
        records.push(Record::beside(&named, vec![run.lost_percent], vec![LOST_PERCENT.into()]));
    }
    records.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> SoakArgs {
        SoakArgs {
            orders: vec![Order::Uniform],
            disturbances: Disturbance::ALL.into(),
            length: Duration::from_millis(1_860),
            churn_every: Duration::from_millis(50),
            slow_bytes_per_s: NonZeroU64::new(4 << 20).expect("it is not zero"),
            lag_for: Duration::from_millis(600),
            ..SoakArgs::default()
        }
    }

    #[test]
    fn all_is_delivered_whatever_goes_on_and_each_run_gives_its_figures() {
        let mut measured = Vec::new();
        let mut observer = |progress| {
            if let Progress::Measured(record) = progress {
                measured.push(record);
            }
        };
        let report = soak(&tiny(), &mut observer).expect("a group works");
        assert_eq!(measured, report.records);
        assert_eq!(report.records.len(), 6 * Disturbance::ALL.len() + 1);
        assert_eq!(report.records[0].case, "uniform, 1 KiB, undisturbed throughput");
        for record in &report.records {
            let asked = !record.case.ends_with("p99") && !record.case.ends_with("set aside");
            assert_eq!(record.holds.is_some(), asked, "{record:?}");
            let goes = ["joins", "demote", "evict"]
                .iter()
                .any(|how| record.case.ends_with(&format!("{how} members that left or were set aside")));
            assert!(!goes || record.value > 0.0, "{record:?}");
            assert!(!record.case.ends_with("sent again") || record.value > 0.0, "{record:?}");
            serde_json::from_str::<serde_json::Value>(&record.to_json()).expect("valid JSON");
        }
    }

    #[test]
    fn what_is_not_run_is_refused() {
        for refused in [
            SoakArgs { members: 2, ..tiny() },
            SoakArgs { message_bytes: 1, ..tiny() },
            SoakArgs { length: Duration::from_millis(1), ..tiny() },
            SoakArgs { length: Duration::MAX, ..tiny() },
            SoakArgs { churn_every: Duration::ZERO, ..tiny() },
            SoakArgs { churn_every: Duration::from_secs(1), ..tiny() },
            SoakArgs { lag_for: Duration::from_secs(1), ..tiny() },
        ] {
            assert!(matches!(soak(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
        }
    }

    #[test]
    fn every_disturbance_is_named_by_its_word() {
        for disturbance in Disturbance::ALL {
            assert_eq!(disturbance.to_string().parse(), Ok(disturbance));
        }
        assert!("rain".parse::<Disturbance>().is_err());
    }
}
