//! Closed process groups of Corosync beside our groups, on the same hosts and the same link.

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
    hosts::Hosts,
    side::Spread,
    words::{Pace, Whose, Work},
};
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule, Senders,
    harness::{Case, Harness},
    limits::{check_latency_sizes, check_mtus, check_pace, check_sizes},
    sample::Reading,
    size::Size,
    stage::on_own_thread,
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

    fn cases(&self) -> usize {
        let together = self.collapses().count();
        let each = self.senders.len() * self.sizes.len() + together + self.latency_sizes.len();
        self.mtus.len() * self.orders.len() * each
    }

    /// The sizes of messages with which Corosync collapses when all send.
    fn collapses(&self) -> impl Iterator<Item = usize> {
        let all = self.senders.contains(&Senders::All);
        self.sizes.iter().copied().filter(move |bytes| all && *bytes >= LONG_MESSAGES)
    }
}

/// Hosts, and members of the group.
const MEMBERS: usize = 3;
/// Packets from here on are jumbo.
const JUMBO: u16 = 8_000;
/// What Corosync carries in one message, less what it puts before it.
const MESSAGE_BYTES_MAX: usize = 512 << 10;
const LONG_MESSAGES: usize = 64 << 10;

const COROSYNC: &str = "Corosync's closed process groups, agreed order, knet with AES-256 and SHA-256";
const ONE_SENDING: &str = "our group with one member sending";

/// Measures a group of ours beside a closed process group of Corosync: three members, each on a host of its own, that
/// are joined by a bridge. Blocks the calling thread until all is measured.
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
    let harness = Harness::new(args.schedule, args.cases(), observer)?;
    let records = on_own_thread(|| measure(args, harness))?;
    let settings = format!(
        "three hosts on a bridge; of ours a process each, which links the library, {} batches handed over at a time; \
         of Corosync a daemon and a client each; latency with a message every {:?}",
        args.batches, args.pace
    );
    Ok(Report { machine, schedule: Some(args.schedule), settings, records })
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
    let full = |bytes, senders: Senders| Work {
        message_bytes: bytes,
        senders: senders.among(MEMBERS),
        pace: Pace::Full { batches: args.batches },
    };
    let mut cases = Vec::new();
    for &senders in &args.senders {
        for &bytes in &args.sizes {
            let case = throughput_case(mtu, order, senders, bytes);
            cases.push((case, full(bytes, senders), (Whose::Corosync, full(bytes, senders))));
        }
    }
    for bytes in args.collapses() {
        let case = together_case(mtu, order, bytes);
        cases.push((case, full(bytes, Senders::All), (Whose::Ours, full(bytes, Senders::One))));
    }
    for &bytes in &args.latency_sizes {
        let work = Work { message_bytes: bytes, senders: 1, pace: Pace::Every(args.pace) };
        cases.push((latency_case(mtu, order, bytes), work, (Whose::Corosync, work)));
    }
    for (case, work, (whose, beside)) in cases {
        let mut ours = Spread::new(hosts, Whose::Ours, work).await;
        let mut baseline = Spread::new(hosts, whose, beside).await;
        let measured = harness.compare(&case, &mut ours, &mut baseline).await;
        measured.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

fn throughput_case(mtu: u16, order: Order, senders: Senders, bytes: usize) -> Case {
    let long = bytes >= LONG_MESSAGES;
    let wanted = match (long, mtu >= JUMBO) {
        (false, _) => (bytes <= 1 << 10).then_some(Bound::AtLeast(20.0)),
        (true, false) => Some(Bound::AtLeast(6.0)),
        (true, true) => Some(Bound::AtLeast(3.0)),
    };
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, {senders} sending, {}", Size(bytes)),
        baseline_is: COROSYNC,
        readings: vec![(if long { Reading::Bytes } else { Reading::Messages }, wanted)],
    }
}

/// That nothing collapses when all send.
fn together_case(mtu: u16, order: Order, bytes: usize) -> Case {
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, all sending beside one, {}", Size(bytes)),
        baseline_is: ONE_SENDING,
        readings: vec![(Reading::Bytes, Some(Bound::AtLeast(0.5)))],
    }
}

fn latency_case(mtu: u16, order: Order, bytes: usize) -> Case {
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, {} latency", Size(bytes)),
        baseline_is: COROSYNC,
        readings: vec![(Reading::Quantile(0.5), Some(Bound::AtMost(1.0))), (Reading::Quantile(0.99), None)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_depends_on_the_message_and_on_the_link() {
        let wanted = |mtu, bytes| throughput_case(mtu, Order::Uniform, Senders::One, bytes).readings[0].1;
        assert_eq!(wanted(1500, 64), Some(Bound::AtLeast(20.0)));
        assert_eq!(wanted(1500, 64 << 10), Some(Bound::AtLeast(6.0)));
        assert_eq!(wanted(9000, 64 << 10), Some(Bound::AtLeast(3.0)));
        assert_eq!(wanted(1500, 16 << 10), None);
    }

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
