//! Long runs: whether what a group does and takes stays the same while it works at full load.

mod counters;
mod disturbance;
mod exported;
mod figures;
mod numbered;
mod run;
mod tally;

use std::{num::NonZeroU64, ops::Range, time::Duration};

use quorate::{GroupSettings, protocols::Order};

pub use self::disturbance::{Disturbance, NotADisturbance};
use self::{figures::figures, numbered::NUMBERED_BYTES_MIN, run::Plan};
use crate::{
    BenchError, Machine, Progress, Report,
    measure::{Load, MESSAGE_BYTES_MAX, check_sizes},
    places::{GROUP, in_system},
    results::Size,
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
/// The pieces that are compared.
const THIRDS: [Range<usize>; 2] = [1..1 + PIECES_COMPARED, PIECES - PIECES_COMPARED..PIECES];
const LENGTH_MAX: Duration = Duration::from_hours(24 * 30);
const LENGTH_MIN: Duration = Duration::from_millis(PIECES as u64 * 10);

impl SoakArgs {
    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if !(3..=9).contains(&self.members) {
            return refuse(format!("{} members are not run: choose 3 to 9", self.members));
        }
        check_sizes([&self.message_bytes], NUMBERED_BYTES_MIN..=MESSAGE_BYTES_MAX)?;
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
            churn_every: self.churn_every,
        }
    }
}

/// Lets a group work at full load for long, all members in this process and each on a thread of its own, and
/// compares the last third of the run with the first: throughput, latency, memory; and counts live members that
/// were taken for dead, and the processor cores that were busy. Where members leave, return, or are set aside,
/// throughput and latency are those of seconds with the same members in the view throughout: those that were in it for
/// the longest time in both thirds. Of too few such seconds there are no figures, and the record says so.
///
/// Messages are numbered. Members that stay must deliver each of them once and in turn, and what they count themselves
/// must be what was sent; one that leaves or is set aside may lack what was sent meanwhile, and must get nothing twice
/// or out of turn. Blocks the calling thread until all runs are over.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer. A message that is lost, doubled or out of turn
/// is an error, and so is a counter that disagrees.
pub fn soak(args: &SoakArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings =
        format!("{} members, a thread each, one of which sends for {:?}", args.members, args.length);
    let report = Report::begin(machine, None, settings, observer);
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
    Ok(report.with(records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

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
        let lines = |records: &[Record]| records.iter().map(Record::to_json).collect::<Vec<_>>();
        assert_eq!(lines(&measured), lines(&report.records));
        // What was lost; for how long the view was alike where it changes, and who was in it.
        assert_eq!(report.records.len(), 9 * Disturbance::ALL.len() + 1 + 3 * 3);
        assert_eq!(report.records[0].case, "uniform, 1 KiB, undisturbed throughput");
        for record in &report.records {
            let unasked = ["p99", "set aside", "members then", "compared", "process"];
            let asked = !record.value.is_nan() && !unasked.iter().any(|what| record.case.ends_with(what));
            // How many cores there are depends on the machine.
            let depends = record.case.ends_with("machine");
            assert!(record.holds.is_some() == asked || depends, "{record:?}");
            let changes = ["joins", "demote", "evict"].iter().any(|how| record.case.contains(how));
            assert!(changes || !record.value.is_nan(), "{record:?}");
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
            SoakArgs { message_bytes: 16, ..tiny() },
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
