//! Links over a network with a rate, a delay and losses: goodput beside bare UDP, and groups that do not wait
//! for what others have lost beside one stream of TCP.

mod blast;
mod flow;
mod groups;
mod hold_ups;
mod host;
mod hosts;
mod link;
mod relay;
mod shaper;
mod side;
mod words;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use quorate_transport::Congestion;
use tokio::sync::Mutex as AsyncMutex;

pub use self::host::network_host;
use self::{
    hosts::Hosts,
    link::Opening,
    shaper::{Shape, Tally},
    side::Between,
    words::Work,
};
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule, TransportKind,
    measure::{Case, Harness, MESSAGE_BYTES_MAX, Reading, check_lost, check_mtus, check_sizes},
    places::on_own_thread,
};

/// What the benchmark of networks measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkArgs {
    /// The command `quorate`, which runs the hosts.
    pub program: PathBuf,
    /// Transports between the hosts. Default: QUIC and TCP.
    pub transports: Vec<TransportKind>,
    /// Round trips of the link, half of it each way. Default 1 ms and 25 ms.
    pub round_trips: Vec<Duration>,
    /// Of a hundred packets so many are lost, each way. Default none, then one.
    pub lost_percent: Vec<u8>,
    /// Megabits that the link carries in a second, each way. Default 1,000.
    pub megabits: u64,
    /// Bytes of the longest packet. Default 1500.
    pub mtu: u16,
    /// Bytes of the messages whose goodput is measured. Default 64 KiB.
    pub message_bytes: usize,
    /// Bytes of a lane that may be on the way, of QUIC. Default: what nodes have.
    pub lane_window_bytes: Option<u32>,
    /// Congestion control of QUIC. Default: what nodes have.
    pub congestion: Option<Congestion>,
    /// Groups whose messages share the link with the longest round trip. Default 8.
    pub groups: u32,
    /// Time from one message of a group to its next. Default 16 ms.
    pub every: Duration,
    /// How long and how often. Default 5 rounds of 3 s after 3 s, in which a sender finds the rate of the link.
    pub schedule: Schedule,
}

impl NetworkArgs {
    /// The default of all else.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let (warm_up, round) = (Duration::from_secs(3), Duration::from_secs(3));
        Self {
            program: program.into(),
            transports: vec![TransportKind::Quic, TransportKind::Tcp],
            round_trips: [1, 25].map(Duration::from_millis).into(),
            lost_percent: vec![0, 1],
            megabits: 1_000,
            mtu: 1500,
            message_bytes: 64 << 10,
            lane_window_bytes: None,
            congestion: None,
            groups: 8,
            every: Duration::from_millis(16),
            schedule: Schedule { warm_up, round, ..Schedule::default() },
        }
    }

    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if self.transports.contains(&TransportKind::Memory) {
            return refuse("memory reaches no other host: choose quic or tcp".into());
        }
        if let Some(long) = self.round_trips.iter().find(|it| it.is_zero() || **it > ROUND_TRIP_MAX) {
            return refuse(format!(
                "a round trip of {long:?} is not measured: choose up to {ROUND_TRIP_MAX:?}"
            ));
        }
        check_lost(&self.lost_percent)?;
        if !(1..=10_000).contains(&self.megabits) {
            return refuse(format!("{} Mbit/s are not measured: choose 1 to 10,000", self.megabits));
        }
        check_mtus(&[self.mtu])?;
        check_sizes([&self.message_bytes], 1..=MESSAGE_BYTES_MAX)?;
        if !(2..=GROUPS_MAX).contains(&self.groups) || self.every < Duration::from_millis(1) {
            return refuse(format!(
                "choose 2 to {GROUPS_MAX} groups, and at least 1 ms between two messages"
            ));
        }
        Ok(())
    }

    /// The link of a case.
    fn shape(&self, round_trip: Duration, lost_percent: u8) -> Shape {
        let bytes_per_second = self.megabits * 1_000_000 / 8;
        let product = u128::from(bytes_per_second) * round_trip.as_nanos() / 1_000_000_000;
        Shape {
            bytes_per_second,
            delay: round_trip / 2,
            lost_percent,
            queue_bytes: (product as u64).max(QUEUE_BYTES_LEAST),
        }
    }

    const fn opening(&self, kind: TransportKind) -> Opening {
        Opening { kind, lane_window_bytes: self.lane_window_bytes, congestion: self.congestion }
    }

    fn cases(&self) -> usize {
        let longest = self.round_trips.iter().max();
        let goodput = self.round_trips.len();
        let groups = self.round_trips.iter().filter(|it| Some(*it) == longest).count();
        self.transports.len() * self.lost_percent.len() * (goodput + groups)
    }
}

const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);
const GROUPS_MAX: u32 = 64;
/// A queue has room for a round trip of packets, but not for less than senders hand over together.
const QUEUE_BYTES_LEAST: u64 = 256 << 10;
/// Headers of IPv4 and UDP.
const UDP_OVERHEAD: u16 = 28;
/// What bare UDP sends of what the link carries, in percent.
const BLAST_PERCENT: u64 = 105;
/// The same packets are lost in each run, as far as the same are sent.
const SEED: u64 = 1;

const BARE_UDP: &str = "bare UDP through the same link, faster than it carries";
const ONE_STREAM: &str = "the same messages on one lane over TCP, a stream for all groups";

/// Measures links between two hosts of their own networks, each a process, that are joined by a link with a rate,
/// a delay each way, a queue and losses. Goodput of long messages beside bare UDP through the same link; and, on the
/// link with the longest round trip, latencies of messages of several groups beside the same messages on one stream
/// of TCP, without losses too, which shows what is the machine's. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer. [`BenchError::Missing`] where hosts
/// cannot be made: that needs root, and the commands `ip` and `unshare`.
pub fn network(
    args: &NetworkArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    let settings = format!(
        "a process per host, {} Mbit/s, packets of up to {} B, a queue of a round trip (at least {} KiB), TCP with \
         {}; {} groups, each with a message of {} B every {:?}, which counts as held up from a round trip on",
        args.megabits,
        args.mtu,
        QUEUE_BYTES_LEAST >> 10,
        control.trim(),
        args.groups,
        groups::MESSAGE_BYTES,
        args.every
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let harness = Harness::new(args.schedule, args.cases(), observer)?;
    let (records, Tally { arrived, lost, dropped }) = on_own_thread(|| measure(args, harness))?;
    let settings = format!(
        "{}; {arrived} packets arrived, {lost} were lost and for {dropped} there was no room",
        report.settings
    );
    Ok(Report { settings, records, ..report })
}

async fn measure(args: &NetworkArgs, mut harness: Harness<'_>) -> Result<(Vec<Record>, Tally), BenchError> {
    let mut tally = Tally::default();
    let longest = args.round_trips.iter().max();
    for round_trip in &args.round_trips {
        for &lost in &args.lost_percent {
            let hosts = Hosts::start(&args.program, args.shape(*round_trip, lost), args.mtu, SEED).await?;
            let hosts = Arc::new(AsyncMutex::new(hosts));
            goodput(args, (*round_trip, lost), &hosts, &mut harness).await?;
            if Some(round_trip) == longest {
                hold_ups(args, (*round_trip, lost), &hosts, &mut harness).await?;
            }
            let hosts = Arc::into_inner(hosts).expect("the sides are gone");
            tally += hosts.into_inner().end()?;
        }
    }
    Ok((harness.into_records(), tally))
}

async fn goodput(
    args: &NetworkArgs,
    way: (Duration, u8),
    hosts: &Arc<AsyncMutex<Hosts>>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let blast = Work::Blast {
        packet_bytes: usize::from(args.mtu - UDP_OVERHEAD),
        bytes_per_second: args.megabits * 1_000_000 / 8 * BLAST_PERCENT / 100,
    };
    let mut bare = Between::prepare(hosts, blast, way.0).await?;
    for &transport in &args.transports {
        let case = goodput_case(transport, way);
        let measured = async {
            let flow = Work::Flow { opening: args.opening(transport), message_bytes: args.message_bytes };
            let mut ours = Between::prepare(hosts, flow, way.0).await?;
            harness.compare(&case, &mut ours, &mut bare).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

async fn hold_ups(
    args: &NetworkArgs,
    way: (Duration, u8),
    hosts: &Arc<AsyncMutex<Hosts>>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let work = |transport, shared_lane| Work::Groups {
        opening: args.opening(transport),
        groups: args.groups,
        every: args.every,
        shared_lane,
    };
    let mut one_stream = Between::prepare(hosts, work(TransportKind::Tcp, true), way.0).await?;
    for &transport in &args.transports {
        let case = groups_case(transport, way, args.groups);
        let measured = async {
            let mut ours = Between::prepare(hosts, work(transport, false), way.0).await?;
            harness.compare(&case, &mut ours, &mut one_stream).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

/// What QUIC is to carry of a link without losses.
fn goodput_case(transport: TransportKind, way: (Duration, u8)) -> Case {
    let wanted = (transport == TransportKind::Quic && way.1 == 0).then_some(Bound::AtLeast(0.9));
    Case {
        bench: "network",
        name: format!("{transport}, {}", shown(way)),
        baseline_is: BARE_UDP,
        readings: vec![(Reading::Bytes, wanted)],
    }
}

/// That over QUIC nobody waits for what another group has lost.
fn groups_case(transport: TransportKind, way: (Duration, u8), groups: u32) -> Case {
    let wanted = |bound| (transport == TransportKind::Quic && way.1 > 0).then_some(Bound::ValueBelow(bound));
    Case {
        bench: "network",
        name: format!("{transport}, {}, {groups} groups", shown(way)),
        baseline_is: ONE_STREAM,
        readings: vec![
            (Reading::Quantile(0.5), None),
            (Reading::Quantile(0.99), None),
            (Reading::ByOthers, wanted(1.0)),
            (Reading::GroupsAtATime, wanted(2.0)),
        ],
    }
}

fn shown((round_trip, lost): (Duration, u8)) -> String {
    format!("{round_trip:?} round trip, {lost} % lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_a_round_trip_but_not_less_than_is_handed_over_together() {
        let args = NetworkArgs::new("x");
        let long = args.shape(Duration::from_millis(24), 1);
        assert_eq!((long.bytes_per_second, long.queue_bytes, long.lost_percent), (125_000_000, 3_000_000, 1));
        assert_eq!(long.delay, Duration::from_millis(12));
        assert_eq!(args.shape(Duration::from_millis(1), 0).queue_bytes, QUEUE_BYTES_LEAST);
    }

    #[test]
    fn of_quic_goodput_is_wanted_without_losses_and_with_them_that_no_group_waits_for_another() {
        let way = |lost| (Duration::from_millis(25), lost);
        let goodput = |kind, lost| goodput_case(kind, way(lost)).readings;
        assert_eq!(goodput(TransportKind::Quic, 0), [(Reading::Bytes, Some(Bound::AtLeast(0.9)))]);
        assert_eq!(goodput(TransportKind::Quic, 1), [(Reading::Bytes, None)]);
        assert_eq!(goodput(TransportKind::Tcp, 0), [(Reading::Bytes, None)]);

        let wanted = |kind, lost| {
            let readings = groups_case(kind, way(lost), 8).readings;
            readings.into_iter().filter(|(_, wanted)| wanted.is_some()).collect::<Vec<_>>()
        };
        let alone = [
            (Reading::ByOthers, Some(Bound::ValueBelow(1.0))),
            (Reading::GroupsAtATime, Some(Bound::ValueBelow(2.0))),
        ];
        assert_eq!(wanted(TransportKind::Quic, 1), alone);
        assert_eq!([wanted(TransportKind::Quic, 0), wanted(TransportKind::Tcp, 1)], [[], []]);
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        let usual = || NetworkArgs::new("x");
        for refused in [
            NetworkArgs { transports: vec![TransportKind::Memory], ..usual() },
            NetworkArgs { round_trips: vec![Duration::ZERO], ..usual() },
            NetworkArgs { round_trips: vec![Duration::from_secs(2)], ..usual() },
            NetworkArgs { lost_percent: vec![51], ..usual() },
            NetworkArgs { megabits: 0, ..usual() },
            NetworkArgs { mtu: 1279, ..usual() },
            NetworkArgs { message_bytes: 0, ..usual() },
            NetworkArgs { groups: 1, ..usual() },
            NetworkArgs { every: Duration::ZERO, ..usual() },
        ] {
            assert!(matches!(network(&refused, &mut |_| ()), Err(BenchError::Settings(_))), "{refused:?}");
        }
    }
}
