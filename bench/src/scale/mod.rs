//! What a member more, and a group more, cost.

mod departures;
mod groups;
mod members;
mod mesh;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BenchError, Machine, Progress, Record, Report, Schedule, places::in_system};

/// What the benchmark of scale measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleArgs {
    /// Members of a group, of which the first is what the others are beside; none to measure groups alone. Default 3, 5,
    /// 7, 9.
    pub members: Vec<usize>,
    /// Groups of three over five nodes; none to measure members alone. Default 1, 100, 1,000, 10,000.
    pub groups: Vec<usize>,
    /// For how long idle nodes are watched, without groups and with them. Default 5 s.
    pub idle: Duration,
    /// How long and how often. Default 3 rounds of 500 ms; each has nodes of its own.
    pub schedule: Schedule,
}

impl Default for ScaleArgs {
    fn default() -> Self {
        Self {
            members: vec![3, 5, 7, 9],
            groups: vec![1, 100, 1_000, 10_000],
            idle: Duration::from_secs(5),
            schedule: Schedule { rounds: 3, ..Schedule::default() },
        }
    }
}

impl ScaleArgs {
    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        self.schedule.check()?;
        if self.members.is_empty() && self.groups.is_empty() {
            return refuse("name members, groups or both to measure".into());
        }
        if let Some(members) = self.members.iter().find(|members| !(3..=32).contains(*members)) {
            return refuse(format!(
                "{members} members are not measured: choose 3 to 32, of which a majority goes on"
            ));
        }
        if let Some(groups) = self.groups.iter().find(|groups| !(1..=100_000).contains(*groups)) {
            return refuse(format!("{groups} groups are not measured: choose 1 to 100,000"));
        }
        if !(Duration::from_millis(50)..=Duration::from_hours(1)).contains(&self.idle) {
            return refuse("watch idle nodes for 50 ms to an hour".into());
        }
        Ok(())
    }

    /// Each round of a number of members has three steps, and one of a number of groups four.
    fn steps(&self) -> usize {
        self.schedule.rounds * (3 * self.members.len() + 4 * self.groups.len())
    }
}

/// Takes the rounds and keeps the figures.
struct Run<'a> {
    args: &'a ScaleArgs,
    observer: &'a mut (dyn FnMut(Progress) + Send),
    done: usize,
    records: Vec<Record>,
}

impl Run<'_> {
    /// A step begins.
    fn step(&mut self, case: String) {
        (self.observer)(Progress::Step { done: self.done, steps: self.args.steps(), case });
        self.done += 1;
    }

    fn keep(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            (self.observer)(Progress::Measured(record.clone()));
            self.records.push(record);
        }
    }
}

/// Measures nodes over QUIC, all in this process and each on a thread of its own: what a message costs and how long a
/// view change takes with more members, and what more groups cost five nodes. Blocks the calling thread until all is
/// measured.
///
/// A node that dies is cut off first, so that the others find it silent as if its host were gone.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn scale(args: &ScaleArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "all nodes in this process, a thread each; groups over {} nodes; idle for {:?}; every round has nodes of its \
         own, and sides do not take turns; memory is what the process has grown by, in the round in which it grew most: \
         what was freed before is used again, uncounted",
        groups::NODES,
        args.idle
    );
    let report = Report::begin(machine, None, settings, observer);
    let run = Run { args, observer, done: 0, records: Vec::new() };
    let records = in_system(|| measure(run))?;
    Ok(report.with(records))
}

async fn measure(mut run: Run<'_>) -> Result<Vec<Record>, BenchError> {
    members::measure(&mut run).await?;
    groups::measure(&mut run).await?;
    Ok(run.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let usual = ScaleArgs::default;
        for args in [
            ScaleArgs { members: vec![3, 2], ..usual() },
            ScaleArgs { members: vec![], groups: vec![], ..usual() },
            ScaleArgs { groups: vec![0], ..usual() },
            ScaleArgs { idle: Duration::ZERO, ..usual() },
            ScaleArgs { schedule: Schedule { rounds: 0, ..Schedule::default() }, ..usual() },
        ] {
            assert!(matches!(scale(&args, &mut |_| ()), Err(BenchError::Settings(_))), "{args:?}");
        }
    }

    #[test]
    fn members_and_groups_are_measured_beside_the_fewest() {
        let short = Duration::from_millis(50);
        let schedule = Schedule { warm_up: Duration::from_millis(10), round: short, rounds: 1 };
        let args = ScaleArgs { members: vec![3, 4], groups: vec![1, 20], idle: short, schedule };
        let mut steps = 0;
        let report =
            scale(&args, &mut |progress| steps += usize::from(matches!(progress, Progress::Step { .. })))
                .expect("loopback carries it");
        assert_eq!(steps, args.steps());
        let cases: Vec<&str> = report.records.iter().map(|record| record.case.as_str()).collect();
        assert_eq!(
            cases,
            [
                "3 members: processor time per delivered message of 1 KiB",
                "3 members: one leaves, until the others have the next view",
                "3 members: one dies, until the others have the next view",
                "4 members: processor time per delivered message of 1 KiB",
                "4 members: one leaves, until the others have the next view",
                "4 members: one dies, until the others have the next view",
                "1 group: until all are founded",
                "1 group: an idle node, busy",
                "1 group: an idle node, sent",
                "1 group: a node dies, until all have the next view",
                "20 groups: until all are founded",
                "20 groups: memory per member of a group, at least",
                "20 groups: an idle node, busy",
                "20 groups: an idle node, sent",
                "20 groups: a node dies, until all have the next view",
            ]
        );
        for record in &report.records {
            // Memory may be there from before.
            let may_be_none = record.case.contains("memory");
            assert!(record.value > 0.0 || may_be_none, "{record:?}");
        }
        // Nobody can know of a death that it was one before the time that nodes wait for.
        let death = report.records.iter().filter(|record| record.case.contains("dies"));
        for record in death {
            assert!(record.value > 300_000.0, "{record:?}");
        }
    }
}
