//! Publishers on threads of their own, which read where their messages go, beside the same whose
//! messages all go through the bus actor.

mod flow;
mod target;

use std::sync::Arc;

use quorate::{GroupSettings, Subject};
use serde::{Deserialize, Serialize};

use self::flow::BusFlow;
pub use self::target::{NotATarget, Target};
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule,
    cluster::Cluster,
    harness::{Case, Harness},
    load::Load,
    sample::Reading,
    size::Size,
    stage::{Stage, in_system},
};

/// What the benchmark of the bus measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusArgs {
    /// Publishers at one node, each on a thread of its own. Default 1, 2 and 4.
    pub publishers: Vec<usize>,
    /// For whom the messages are. Default nobody, a subscriber on the same node, a group of one node,
    /// a subscriber on another node.
    pub targets: Vec<Target>,
    /// Bytes of the messages. Default 64.
    pub sizes: Vec<usize>,
    /// Messages of each publisher that are not acknowledged yet, at most. Default 256.
    pub callers: usize,
    /// How long and how often.
    pub schedule: Schedule,
}

impl Default for BusArgs {
    fn default() -> Self {
        Self {
            publishers: vec![1, 2, 4],
            targets: Target::ALL.into(),
            sizes: vec![64],
            callers: 256,
            schedule: Schedule::default(),
        }
    }
}

/// More threads measure the scheduler.
const PUBLISHERS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const BASELINE_IS: &str = "the same with every message through the bus actor";
/// What it has to gain to be worth its code.
const WANTED: Bound = Bound::AtLeast(1.2);

impl BusArgs {
    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if let Some(count) = self.publishers.iter().find(|count| !(1..=PUBLISHERS_MAX).contains(*count)) {
            return refuse(format!("{count} publishers are not measured: choose 1 to {PUBLISHERS_MAX}"));
        }
        if let Some(bytes) = self.sizes.iter().find(|bytes| !(1..=MESSAGE_BYTES_MAX).contains(*bytes)) {
            return refuse(format!("{bytes} bytes are not measured: choose 1 to {MESSAGE_BYTES_MAX}"));
        }
        if self.callers == 0 {
            return refuse("at least one message must be on its way".into());
        }
        Ok(())
    }
}

/// Measures what threads outside a node publish on its bus, all in this process: through the table of
/// targets that they read, beside the same through the bus actor. Blocks the calling thread until all
/// is measured; the work is done on threads of its own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn bus(args: &BusArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let cases = args.targets.len() * args.publishers.len() * args.sizes.len();
    let harness = Harness::new(args.schedule, cases, observer)?;
    let stages = args.publishers.iter().map(|count| Ok(Arc::new(Stage::thread_each(count + 1)?)));
    let stages = stages.collect::<Result<Vec<_>, BenchError>>()?;
    let records = in_system(|| measure(args, &stages, harness))?;
    let settings = format!(
        "a thread per node, publisher and subscriber, {} messages on their way per publisher",
        args.callers
    );
    Ok(Report { machine, schedule: args.schedule, settings, records })
}

async fn measure(
    args: &BusArgs,
    stages: &[Arc<Stage>],
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &target in &args.targets {
        let bound = |group: GroupSettings| group.bind("bound.>");
        let cluster = Cluster::start_with(target.nodes(), None, bound).await?;
        let measured = measure_target(args, target, stages, &cluster, &mut harness).await;
        cluster.stop().await;
        measured?;
    }
    Ok(harness.into_records())
}

async fn measure_target(
    args: &BusArgs,
    target: Target,
    stages: &[Arc<Stage>],
    cluster: &Cluster,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let prefix = if target == Target::Group { "bound" } else { "unbound" };
    let subject = |side: &str| format!("{prefix}.{side}").parse::<Subject>().map_err(BenchError::ours);
    for (&publishers, stage) in args.publishers.iter().zip(stages) {
        for &bytes in &args.sizes {
            let case = case(target, publishers, bytes);
            let side = |handle, subject| {
                let load = Load::new(bytes);
                BusFlow::new(cluster, stage, target, (handle, subject), publishers, load, args.callers)
            };
            let bus = cluster.node(0).bus();
            let measured = async {
                let mut slow = side(bus.clone().through_actor(), subject("actor")?).await?;
                let mut ours = side(bus, subject("table")?).await?;
                harness.compare(&case, &mut ours, &mut slow).await
            };
            measured.await.map_err(|error| error.in_case(&case.name))?;
        }
    }
    Ok(())
}

fn case(target: Target, publishers: usize, bytes: usize) -> Case {
    let threads = if publishers == 1 { "thread" } else { "threads" };
    // Messages to other nodes go through the actor in any case, which has their lanes.
    let wanted = (target != Target::Remote).then_some(WANTED);
    Case {
        bench: "bus",
        name: format!("{publishers} {threads}, {}, {}", target.case(), Size(bytes)),
        baseline_is: BASELINE_IS,
        readings: vec![(Reading::Messages, wanted)],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tiny() -> BusArgs {
        BusArgs {
            publishers: vec![2],
            schedule: Schedule {
                warm_up: Duration::from_millis(5),
                round: Duration::from_millis(20),
                rounds: 1,
            },
            ..BusArgs::default()
        }
    }

    #[test]
    fn every_target_gets_what_is_published_for_it_both_ways() {
        let mut measured = Vec::new();
        let mut observer = |progress| {
            if let Progress::Measured(record) = progress {
                measured.push(record);
            }
        };
        let report = bus(&tiny(), &mut observer).expect("the bus works");
        assert_eq!(measured, report.records);
        let cases: Vec<&str> = report.records.iter().map(|record| record.case.as_str()).collect();
        assert_eq!(
            cases,
            [
                "2 threads, nobody subscribes, 64 B throughput",
                "2 threads, a subscriber here, 64 B throughput",
                "2 threads, bound to a group of one, 64 B throughput",
                "2 threads, a subscriber at another node, 64 B throughput",
            ]
        );
        for record in &report.records {
            assert!(record.value > 0.0 && record.baseline > 0.0, "{record:?}");
            serde_json::from_str::<serde_json::Value>(&record.to_json()).expect("valid JSON");
        }
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        for refused in [
            BusArgs { publishers: vec![0], ..tiny() },
            BusArgs { sizes: vec![0], ..tiny() },
            BusArgs { callers: 0, ..tiny() },
        ] {
            assert!(matches!(bus(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
        }
    }
}
