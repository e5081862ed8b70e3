//! Closed process groups of Corosync beside our groups, on the same hosts and the same link.

mod bare;
mod cases;
mod daemon;
mod host;
mod hosts;
mod ours;
mod side;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use quorate::protocols::Order;
use tokio::sync::Mutex as AsyncMutex;

pub use self::host::corosync_host;
use self::{
    cases::{Comparison, comparisons},
    hosts::Hosts,
    side::Spread,
    words::Whose,
};
use crate::{
    BenchError, Machine, Progress, Record, Report, Schedule, Senders,
    measure::{Case, Harness, Side, check_latency_sizes, check_mtus, check_pace, check_sizes},
    places::on_own_thread,
};

/// What the benchmark of groups beside Corosync measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CorosyncArgs {
    /// The command `quorate`, which runs the hosts.
    pub program: PathBuf,
    /// Bytes of the longest packet of the link. Default 1500 and 65535.
    pub mtus: Vec<u16>,
    /// Orders of delivery of our group, beside Corosync's agreed one. Default uniform.
    pub orders: Vec<Order>,
    /// Who sends. Default one member, then all.
    pub senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured. Default 64, 1 KiB, 64 KiB.
    pub sizes: Vec<usize>,
    /// Batches that a sender of ours has handed over and that are not accepted yet, at most. Default 4.
    pub batches: usize,
    /// Bytes of the messages whose latency is measured. Default 64.
    pub latency_sizes: Vec<usize>,
    /// Time from one of those to the next. Default 2 ms.
    pub pace: Duration,
    /// How long and how often. Default 5 rounds of 1 s.
    pub schedule: Schedule,
}

impl CorosyncArgs {
    /// The default of all else.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            mtus: vec![1500, u16::MAX],
            orders: vec![Order::Uniform],
            senders: Senders::ALL.into(),
            sizes: vec![64, 1 << 10, 64 << 10],
            batches: 4,
            latency_sizes: vec![64],
            pace: Duration::from_millis(2),
            schedule: Schedule { round: Duration::from_secs(1), ..Schedule::default() },
        }
    }

    fn check(&self) -> Result<(), BenchError> {
        check_mtus(&self.mtus)?;
        check_sizes(&self.sizes, 1..=MESSAGE_BYTES_MAX)?;
        check_latency_sizes(&self.latency_sizes, MESSAGE_BYTES_MAX)?;
        check_pace(self.batches, self.pace)
    }
}

/// Hosts, and members of the group.
const MEMBERS: usize = 3;
/// What Corosync carries in one message, less what it puts before it.
const MESSAGE_BYTES_MAX: usize = 512 << 10;

const BARE: &str = "bare quinn, in the processes of ours and a thread each: the longest packets of the link up to 6500 \
                    bytes, 4 MiB socket buffers, AES-128-GCM, one stream per receiver";

/// Measures a group of ours beside a closed process group of Corosync: three members, each on a host of its own, that
/// are joined by a bridge. What the link carries of one sender's bytes at most is measured with bare quinn, to each of
/// the others, in the same turns and beside Corosync, too. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer. [`BenchError::Missing`] where Corosync or
/// its client's library is not installed, or hosts cannot be made: that needs root, and `ip` and `unshare`.
pub fn corosync(
    args: &CorosyncArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "three hosts on a bridge; of ours a process each, which links the library, {} batches handed over at a time; \
         of Corosync a daemon and a client each; latency with a message every {:?}; {BARE}",
        args.batches, args.pace
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let of_link = |&mtu| args.orders.iter().flat_map(move |&order| comparisons(args, mtu, order));
    let all: Vec<Comparison> = args.mtus.iter().flat_map(of_link).collect();
    let beside_bare = all.iter().filter(|each| each.bare.is_some()).count();
    let harness = Harness::new(args.schedule, all.len(), observer)?.with_more_sides(beside_bare);
    let records = on_own_thread(|| measure(args, harness))?;
    Ok(report.with(records))
}

async fn measure(args: &CorosyncArgs, mut harness: Harness<'_>) -> Result<Vec<Record>, BenchError> {
    for &mtu in &args.mtus {
        let hosts = Arc::new(AsyncMutex::new(Hosts::start(&args.program, mtu).await?));
        for &order in &args.orders {
            hosts.lock().await.found(order).await?;
            measure_group(args, (mtu, order), &hosts, &mut harness).await?;
            hosts.lock().await.leave().await?;
        }
    }
    Ok(harness.into_records())
}

async fn measure_group(
    args: &CorosyncArgs,
    (mtu, order): (u16, Order),
    hosts: &Arc<AsyncMutex<Hosts>>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for Comparison { case, work, beside: (whose, its_work), bare } in comparisons(args, mtu, order) {
        let mut ours = Spread::new(hosts, Whose::Ours, work).await;
        let mut baseline = Spread::new(hosts, whose, its_work).await;
        let measured = async {
            let Some(bare_case) = &bare else {
                return harness.compare(&case, &mut ours, &mut baseline).await;
            };
            hosts.lock().await.reach(mtu).await?;
            let mut bare = Spread::new(hosts, Whose::Quinn, work).await;
            let mut sides: [(&Case, &mut dyn Side); 2] = [(&case, &mut ours), (bare_case, &mut bare)];
            harness.compare_all(&mut sides, &mut baseline).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_refused() {
        let usual = || CorosyncArgs::new("x");
        for refused in [
            CorosyncArgs { mtus: vec![1279], ..usual() },
            CorosyncArgs { sizes: vec![0], ..usual() },
            CorosyncArgs { sizes: vec![1 << 20], ..usual() },
            CorosyncArgs { latency_sizes: vec![8], ..usual() },
            CorosyncArgs { batches: 0, ..usual() },
            CorosyncArgs { pace: Duration::ZERO, ..usual() },
        ] {
            assert!(matches!(corosync(&refused, &mut |_| ()), Err(BenchError::Settings(_))), "{refused:?}");
        }
    }
}
