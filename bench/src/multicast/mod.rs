//! Groups beside bare quinn: throughput of multicast messages, and their latency at low load.

mod cases;
pub(crate) mod flow;
pub(crate) mod latency;
mod senders;

use std::{sync::Arc, time::Duration};

use quorate::protocols::Order;
use serde::{Deserialize, Serialize};

pub use self::senders::{NotSenders, Senders};
pub(crate) use self::{
    cases::{Following, latency_case, throughput_case},
    flow::GroupFlow,
};
use self::{
    cases::{exchange_case, is_total, together_case},
    latency::GroupLatency,
};
use crate::{
    BenchError, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, MESSAGE_BYTES_MAX, Side, check_latency_sizes, check_pace, check_sizes},
    places::{Cluster, Stage, in_system},
    raw::{RawEcho, RawExchange, RawSpread},
};

/// What the benchmark of groups measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MulticastArgs {
    /// Members of a group. Default 3.
    pub members: Vec<usize>,
    /// Orders of delivery. Default uniform.
    pub orders: Vec<Order>,
    /// Who sends. Default one member, then all, and then all beside one.
    pub senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured. Default 64, 1 KiB, 64 KiB.
    pub sizes: Vec<usize>,
    /// Batches that each sender has handed over and that are not accepted yet, at most. They are as long as those
    /// of the baseline. Default 4.
    pub batches: usize,
    /// Bytes of the messages whose latency is measured, at a pace and then one after the other. Default 64.
    pub latency_sizes: Vec<usize>,
    /// Time from one of those to the next. Default 2 ms.
    pub pace: Duration,
    /// How long and how often.
    pub schedule: Schedule,
}

impl Default for MulticastArgs {
    fn default() -> Self {
        Self {
            members: vec![3],
            orders: vec![Order::Uniform],
            senders: Senders::ALL.into(),
            sizes: vec![64, 1 << 10, 64 << 10],
            batches: 4,
            latency_sizes: vec![64],
            pace: Duration::from_millis(2),
            schedule: Schedule::default(),
        }
    }
}

/// More members in one process measure the process.
const MEMBERS_MAX: usize = 32;

impl MulticastArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if let Some(members) = self.members.iter().find(|members| !(2..=MEMBERS_MAX).contains(*members)) {
            return Err(BenchError::Settings(format!(
                "{members} members are not measured: choose 2 to {MEMBERS_MAX}"
            )));
        }
        check_sizes(&self.sizes, 1..=MESSAGE_BYTES_MAX)?;
        check_latency_sizes(&self.latency_sizes, MESSAGE_BYTES_MAX)?;
        check_pace(self.batches, self.pace)
    }

    fn cases(&self) -> usize {
        let throughput = (self.senders.len() + usize::from(self.compares_senders())) * self.sizes.len();
        let latency = Following::ALL.len() * self.latency_sizes.len();
        self.members.len() * self.orders.len() * (throughput + latency)
    }

    /// Cases of latency beside which bare quinn exchanges as many messages.
    fn exchanges(&self) -> usize {
        let orders = self.orders.iter().filter(|order| is_total(**order)).count();
        self.members.len() * orders * Following::ALL.len() * self.latency_sizes.len()
    }

    /// Whether groups with all members sending are measured beside the same with one.
    fn compares_senders(&self) -> bool {
        Senders::ALL.iter().all(|senders| self.senders.contains(senders))
    }

    /// Time from one message whose latency is measured to the next, if it does not wait for the one before.
    const fn every(&self, following: Following) -> Option<Duration> {
        match following {
            Following::AtAPace => Some(self.pace),
            Following::AtOnce => None,
        }
    }
}

/// Measures groups over QUIC, all members in this process and each on a thread of its own, beside
/// bare quinn between as many threads. Blocks the calling thread until all is measured; the work is
/// done on threads of its own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn multicast(
    args: &MulticastArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "a thread per member, {} batches handed over at a time; latency with a message every {:?}, and with one after \
         the other",
        args.batches, args.pace
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let harness = Harness::new(args.schedule, args.cases(), observer)?.with_more_sides(args.exchanges());
    let stages: Vec<Arc<Stage>> = args
        .members
        .iter()
        .map(|&members| Stage::thread_each(members).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let records = in_system(|| measure(args, &stages, harness))?;
    Ok(report.with(records))
}

async fn measure(
    args: &MulticastArgs,
    stages: &[Arc<Stage>],
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for (&members, stage) in args.members.iter().zip(stages) {
        for &order in &args.orders {
            let cluster = Arc::new(Cluster::start(members, order, None).await?);
            let measured = measure_group(args, order, stage, &cluster, &mut harness).await;
            cluster.stop().await;
            measured?;
        }
    }
    Ok(harness.into_records())
}

async fn measure_group(
    args: &MulticastArgs,
    order: Order,
    stage: &Arc<Stage>,
    cluster: &Arc<Cluster>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let members = cluster.members();
    for &senders in &args.senders {
        for &bytes in &args.sizes {
            let case = throughput_case(members, order, senders, bytes);
            let (load, sending) = (Load::new(bytes), senders.among(members));
            let measured = async {
                let mut raw = RawSpread::new(stage, members, sending, load.clone()).await?;
                let mut ours = GroupFlow::new(cluster, sending, load, args.batches);
                harness.compare(&case, &mut ours, &mut raw).await
            };
            measured.await.map_err(|error| error.in_case(&case.name))?;
        }
    }
    for &bytes in args.sizes.iter().filter(|_| args.compares_senders()) {
        let (case, load) = (together_case(members, order, bytes), Load::new(bytes));
        let measured = async {
            let mut one = GroupFlow::new(cluster, 1, load.clone(), args.batches);
            let mut all = GroupFlow::new(cluster, members, load, args.batches);
            harness.compare(&case, &mut all, &mut one).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    for &bytes in &args.latency_sizes {
        for following in Following::ALL {
            let case = latency_case(members, order, bytes, following);
            let bare = exchange_case(members, order, bytes, following);
            let (load, every) = (Load::new(bytes), args.every(following));
            let measured = async {
                let mut raw = RawEcho::new(stage, load.clone(), every).await?;
                let mut ours = GroupLatency::new(cluster, load.clone(), every).await?;
                let mut sides: Vec<(&Case, &mut dyn Side)> = vec![(&case, &mut ours)];
                let mut exchange;
                if let Some(bare) = &bare {
                    exchange = RawExchange::new(stage, members, load, every).await?;
                    sides.push((bare, &mut exchange));
                }
                harness.compare_all(&mut sides, &mut raw).await
            };
            measured.await.map_err(|error| error.in_case(&case.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(orders: &[Order]) -> MulticastArgs {
        MulticastArgs {
            orders: orders.into(),
            sizes: vec![64, 64 << 10],
            schedule: Schedule {
                warm_up: Duration::from_millis(5),
                round: Duration::from_millis(10),
                rounds: 1,
            },
            ..MulticastArgs::default()
        }
    }

    #[test]
    fn one_and_all_members_send_and_every_case_gives_its_figures() {
        let (mut measured, mut left) = (Vec::new(), 0);
        let mut observer = |progress| match progress {
            Progress::Measured(record) => measured.push(record),
            Progress::Step { done, steps, .. } => left = steps - done,
            Progress::Begins(_) => {}
        };
        let report = multicast(&tiny(&[Order::Uniform]), &mut observer).expect("a group works");
        assert_eq!(measured, report.records);
        assert_eq!(left, 1, "the last step was announced as the last");
        // Two sizes from one, from all and from all beside one; and two quantiles of the latency at a pace and of
        // messages one after the other, each of a group and of bare quinn.
        let cases: Vec<&str> = report.records.iter().map(|record| record.case.as_str()).collect();
        assert_eq!(cases.len(), 14);
        assert_eq!(cases[0], "3 members, uniform, one sending, 64 B throughput");
        assert_eq!(cases[5], "3 members, uniform, all sending beside one, 64 KiB throughput");
        assert_eq!(cases[7], "3 members, uniform, 64 B latency p99");
        assert_eq!(cases[9], "3 members, bare quinn exchanging as in uniform order, 64 B latency p99");
        assert_eq!(cases[11], "3 members, uniform, 64 B latency, one after the other, p99");
        for record in &report.records {
            assert!(record.value > 0.0 && record.baseline > 0.0, "{record:?}");
            serde_json::from_str::<serde_json::Value>(&record.to_json()).expect("valid JSON");
        }
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        let args = tiny(&[Order::Fifo]);
        for refused in [
            MulticastArgs { members: vec![1], ..args.clone() },
            MulticastArgs { sizes: vec![0], ..args.clone() },
            MulticastArgs { latency_sizes: vec![1], ..args.clone() },
            MulticastArgs { batches: 0, ..args },
        ] {
            assert!(matches!(multicast(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
        }
    }
}
