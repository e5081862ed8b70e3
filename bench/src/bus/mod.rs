//! The bus. For subscribers on the same node: publishers on threads of their own, which read where their
//! messages go, beside the same whose messages all go through the bus actor. For those on other nodes: one
//! publisher, and requests, beside bare quinn.

mod asking;
mod cases;
mod fan;
mod flow;
mod target;

use std::sync::Arc;

use quorate::{GroupSettings, Subject};
use serde::{Deserialize, Serialize};

#[cfg(feature = "zenoh")]
use self::cases::{asking_beside_zenoh, fan_beside_zenoh};
pub use self::target::{NotATarget, Target};
use self::{
    asking::BusAsking,
    cases::{asking_case, fan_case, here_case},
    fan::BusFan,
    flow::BusFlow,
};
pub(crate) use self::{
    asking::{answer, ask_until},
    fan::{counting, publish_until},
    flow::receive,
};
#[cfg(feature = "zenoh")]
use crate::rivals::{ZenohAsking, ZenohFan};
use crate::{
    BenchError, Machine, Progress, Record, Report, Schedule,
    measure::{Harness, Load, MESSAGE_BYTES_MAX, check_sizes},
    places::{Cluster, Stage, Trouble, in_system},
    raw::{RawEcho, RawSpread},
};

/// What the benchmark of the bus measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusArgs {
    /// Publishers for subscribers on the same node, each on a thread of its own. Default 1, 2 and 4.
    pub publishers: Vec<usize>,
    /// For whom the messages are. Default nobody, a subscriber on the same node, a group of one node,
    /// subscribers on two other nodes, and requests.
    pub targets: Vec<Target>,
    /// Bytes of the messages that stay on the node, and of requests. Default 64.
    pub sizes: Vec<usize>,
    /// Bytes of the messages to other nodes. Default 64, 1 KiB, 16 KiB.
    pub remote_sizes: Vec<usize>,
    /// Messages of each publisher on the node that are not acknowledged yet, at most. Default 256.
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
            remote_sizes: vec![64, 1 << 10, 16 << 10],
            callers: 256,
            schedule: Schedule::default(),
        }
    }
}

/// More threads measure the scheduler.
const PUBLISHERS_MAX: usize = 64;

impl BusArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if let Some(count) = self.publishers.iter().find(|count| !(1..=PUBLISHERS_MAX).contains(*count)) {
            return refuse(format!("{count} publishers are not measured: choose 1 to {PUBLISHERS_MAX}"));
        }
        check_sizes(self.sizes.iter().chain(&self.remote_sizes), 1..=MESSAGE_BYTES_MAX)?;
        if self.callers == 0 {
            return refuse("at least one message must be on its way".into());
        }
        Ok(())
    }

    fn cases(&self) -> usize {
        let rivals = 1 + usize::from(cfg!(feature = "zenoh"));
        let of = |target: &Target| match target {
            Target::Nobody | Target::Local | Target::Group => self.publishers.len() * self.sizes.len(),
            Target::Remote => self.remote_sizes.len() * rivals,
            Target::Request => self.sizes.len() * rivals,
        };
        self.targets.iter().map(of).sum()
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
    let settings = format!(
        "a thread per node, publisher and subscriber, {} messages on their way per publisher",
        args.callers
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let harness = Harness::new(args.schedule, args.cases(), observer)?;
    let stages = args.publishers.iter().map(|count| Ok(Arc::new(Stage::thread_each(count + 1)?)));
    let stages = stages.collect::<Result<Vec<_>, BenchError>>()?;
    let raw = Arc::new(Stage::thread_each(Target::Remote.nodes())?);
    let records = in_system(|| measure(args, &stages, &raw, harness))?;
    Ok(report.with(records))
}

async fn measure(
    args: &BusArgs,
    stages: &[Arc<Stage>],
    raw: &Arc<Stage>,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &target in &args.targets {
        let bound = |group: GroupSettings| group.bind("bound.>");
        let cluster = Arc::new(Cluster::start_with(target.nodes(), Trouble::Nothing, bound).await?);
        let measured = match target {
            Target::Nobody | Target::Local | Target::Group => {
                measure_here(args, target, stages, &cluster, &mut harness).await
            }
            Target::Remote => measure_fan(args, raw, &cluster, &mut harness).await,
            Target::Request => measure_requests(args, raw, &cluster, &mut harness).await,
        };
        cluster.stop().await;
        measured?;
    }
    Ok(harness.into_records())
}

async fn measure_here(
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
            let case = here_case(target, publishers, bytes);
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

async fn measure_fan(
    args: &BusArgs,
    stage: &Arc<Stage>,
    cluster: &Arc<Cluster>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for &bytes in &args.remote_sizes {
        let case = fan_case(bytes);
        let measured = async {
            let subject = format!("fan.{bytes}").parse().map_err(BenchError::ours)?;
            let mut ours = BusFan::new(cluster, subject, Load::new(bytes)).await?;
            let mut raw = RawSpread::new(stage, cluster.members(), 1, Load::new(bytes)).await?;
            harness.compare(&case, &mut ours, &mut raw).await?;
            #[cfg(feature = "zenoh")]
            {
                drop(raw);
                let beside = fan_beside_zenoh(bytes);
                let mut zenoh = ZenohFan::new(stage, cluster.members() - 1, Load::new(bytes)).await?;
                harness.compare(&beside, &mut ours, &mut zenoh).await?;
            }
            Ok(())
        };
        measured.await.map_err(|error: BenchError| error.in_case(&case.name))?;
    }
    Ok(())
}

async fn measure_requests(
    args: &BusArgs,
    stage: &Arc<Stage>,
    cluster: &Arc<Cluster>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for &bytes in &args.sizes {
        let case = asking_case(bytes);
        let measured = async {
            let subject = format!("ask.{bytes}").parse().map_err(BenchError::ours)?;
            let mut ours = BusAsking::new(cluster, subject, Load::new(bytes)).await?;
            let mut raw = RawEcho::new(stage, Load::new(bytes), None).await?;
            harness.compare(&case, &mut ours, &mut raw).await?;
            #[cfg(feature = "zenoh")]
            {
                let beside = asking_beside_zenoh(bytes);
                let mut zenoh = ZenohAsking::new(stage, Load::new(bytes)).await?;
                harness.compare(&beside, &mut ours, &mut zenoh).await?;
            }
            Ok(())
        };
        measured.await.map_err(|error: BenchError| error.in_case(&case.name))?;
    }
    Ok(())
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
                "to subscribers at two other nodes, 64 B throughput",
                "to subscribers at two other nodes, 1 KiB throughput",
                "to subscribers at two other nodes, 16 KiB throughput",
                "request and answer, 64 B p50",
                "request and answer, 64 B p99",
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
