//! Links, groups and the bus between machines: some answer, another one measures.

mod bus;
mod groups;
mod link;
mod member;
mod party;
mod raw;
mod serve;
mod talk;
mod words;

use std::{net::SocketAddr, sync::Arc};

use quorate_transport::{ConnectionConfig, Credentials, Endpoint, Lane, Transport};

pub use self::{
    bus::bus_to,
    groups::multicast_to,
    serve::{ServeArgs, serve},
};
use self::{
    link::{FarEcho, FarFlow, Near},
    raw::{RawFarEcho, RawFarSpread, RawNear},
};
use crate::{
    BenchError, Machine, Progress, Record, Report, TransportArgs, TransportKind,
    measure::{Case, Harness, Load},
    places::{Stage, on_own_thread},
    raw::RAW_QUINN,
    transport::{self, framings, round_trip_case, throughput_case},
};

/// Other machines on which `quorate bench serve` runs, and what this one shows to it.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Where they listen.
    pub addrs: Vec<SocketAddr>,
    /// Of a node of the cluster of which all are.
    pub credentials: Credentials,
}

impl Peers {
    /// Refuses what is not between machines.
    fn check(&self) -> Result<(), BenchError> {
        if self.addrs.is_empty() {
            return Err(BenchError::Settings("choose at least one peer".into()));
        }
        Ok(())
    }
}

/// What a lane or a stream of a peer does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Service {
    /// Counts what comes until the last message of a round, and says how many there were.
    Count,
    /// The same with bundles. Bare streams have none.
    CountBundles,
    /// Sends back what comes.
    Echo,
}

impl Service {
    const ALL: [Self; 3] = [Self::Count, Self::CountBundles, Self::Echo];

    const fn number(self) -> u8 {
        match self {
            Self::Count => 1,
            Self::CountBundles => 2,
            Self::Echo => 3,
        }
    }

    fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|it| u64::from(it.number()) == number)
    }

    fn lane(self) -> Lane {
        Lane::Data(u64::from(self.number()))
    }
}

/// What both sides bind: the transport under test, on any port if none is given.
fn bind(
    kind: TransportKind,
    credentials: Credentials,
    listen: SocketAddr,
) -> Result<Arc<dyn Transport>, BenchError> {
    let hello = transport::hello(credentials.identity().cluster.as_str(), Some(listen));
    transport::bind(kind, credentials, hello, ConnectionConfig::default())
}

/// Measures links to other machines on which [`serve`] runs, beside bare quinn to the same. Memory is no
/// transport between machines and is left out. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn transport_to(
    peers: &Peers,
    args: &TransportArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let kinds: Vec<TransportKind> =
        args.transports.iter().copied().filter(|kind| *kind != TransportKind::Memory).collect();
    peers.check()?;
    if kinds.is_empty() {
        return Err(BenchError::Settings("memory reaches no other machine: choose quic or tcp".into()));
    }
    let machine = Machine::here();
    let workers = machine.cores.max(2);
    let settings = format!("{workers} threads on this machine, batches of up to 64 KiB");
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stage = Arc::new(Stage::shared(workers)?);
    let framed: usize = args.sizes.iter().map(|&bytes| framings(bytes).len()).sum();
    let cases = peers.addrs.len() * kinds.len() * (framed + args.round_trip_sizes.len());
    let harness = Harness::new(args.schedule, cases, observer)?;
    let records = on_own_thread(|| measure(peers, &kinds, args, &stage, harness))?;
    Ok(report.with(records))
}

async fn measure(
    peers: &Peers,
    kinds: &[TransportKind],
    args: &TransportArgs,
    stage: &Arc<Stage>,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &addr in &peers.addrs {
        for &kind in kinds {
            let to = |mut case: Case| {
                case.name = format!("{addr} {}", case.name);
                case.baseline_is = RAW_QUINN;
                case
            };
            let near = Near::new(stage, kind, peers, addr).await?;
            let raw = RawNear::new(stage, peers, addr).await?;
            for &bytes in &args.sizes {
                for &framing in framings(bytes) {
                    let case = to(throughput_case(kind, bytes, framing));
                    let measured = async {
                        let mut ours = FarFlow::new(&near, Load::new(bytes), framing).await?;
                        let mut base =
                            RawFarSpread::new(std::slice::from_ref(&raw), Load::new(bytes)).await?;
                        harness.compare(&case, &mut ours, &mut base).await
                    };
                    measured.await.map_err(|error| error.in_case(&case.name))?;
                }
            }
            for &bytes in &args.round_trip_sizes {
                let case = to(round_trip_case(kind, bytes, "this machine asks"));
                let measured = async {
                    let mut ours = FarEcho::new(&near, Load::new(bytes)).await?;
                    let mut base = RawFarEcho::new(&raw, Load::new(bytes), None).await?;
                    harness.compare(&case, &mut ours, &mut base).await
                };
                measured.await.map_err(|error| error.in_case(&case.name))?;
            }
        }
    }
    Ok(harness.into_records())
}

fn endpoint(addr: SocketAddr) -> Endpoint {
    Endpoint { node: None, addr }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::mpsc, thread, time::Duration};

    use quorate::protocols::Order;
    use quorate_membership::NodeId;
    use quorate_transport::{ClusterCa, Validity};

    use super::*;
    use crate::{BusArgs, MulticastArgs, Schedule, Target};

    /// Other machines, which are threads here, and what this one shows to them.
    fn peers(count: u64) -> Peers {
        let ca = ClusterCa::create("demo", Validity::days(1)).expect("an authority");
        let credentials = |number| ca.issue_node(NodeId::new(number), Validity::days(1)).expect("it may");
        let serving = (1..=count).map(|number| {
            let (ready, addr) = mpsc::channel();
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let args = ServeArgs { listen, credentials: credentials(number) };
            // It serves until the process ends.
            thread::spawn(move || serve(args, |addr| ready.send(addr).expect("somebody waits")));
            addr.recv_timeout(Duration::from_secs(20)).expect("it listens")
        });
        Peers { addrs: serving.collect(), credentials: credentials(count + 1) }
    }

    fn brief() -> Schedule {
        Schedule { warm_up: Duration::from_millis(2), round: Duration::from_millis(5), rounds: 2 }
    }

    #[test]
    fn a_group_and_the_bus_reach_nodes_of_all_peers_one_after_the_other() {
        let peers = peers(2);
        let orders = vec![Order::Uniform, Order::Total];
        let args =
            MulticastArgs { orders, sizes: vec![1 << 10], schedule: brief(), ..MulticastArgs::default() };
        let report = multicast_to(&peers, &args, &mut |_| ()).expect("the peers are members");
        // Of each order the throughput, and two quantiles of the latency.
        assert_eq!(report.records.len(), 2 * 3);
        assert!(report.records.iter().all(|record| record.value > 0.0 && record.baseline > 0.0));

        let args = BusArgs {
            targets: vec![Target::Request, Target::Remote],
            remote_sizes: vec![64],
            schedule: brief(),
            ..BusArgs::default()
        };
        let report = bus_to(&peers, &args, &mut |_| ()).expect("the peers subscribe");
        assert_eq!(report.records.len(), 3);
        assert_eq!(report.records[2].case, "to subscribers on 2 other machines, 64 B throughput");
        assert!(report.records.iter().all(|record| record.value > 0.0 && record.baseline > 0.0));

        let stays = BusArgs { targets: vec![Target::Local], ..args };
        assert!(matches!(bus_to(&peers, &stays, &mut |_| ()), Err(BenchError::Settings(_))));
        let nobody = Peers { addrs: Vec::new(), ..peers };
        let nothing = multicast_to(&nobody, &MulticastArgs::default(), &mut |_| ());
        assert!(matches!(nothing, Err(BenchError::Settings(_))));
    }

    #[test]
    fn a_peer_counts_and_echoes_over_every_transport_beside_bare_quinn() {
        let peers = peers(1);
        let args = TransportArgs { sizes: vec![64, 64 << 10], schedule: brief(), ..TransportArgs::default() };
        let report = transport_to(&peers, &args, &mut |_| ()).expect("the peer works");
        // Two ways for short messages, one for long ones, and two quantiles of round trips.
        assert_eq!(report.records.len(), 2 * 5);
        assert!(report.records[0].case.ends_with(" quic 64 B throughput"), "{}", report.records[0].case);
        assert!(report.records.iter().all(|record| record.value > 0.0 && record.baseline > 0.0));

        let memory = TransportArgs { transports: vec![TransportKind::Memory], ..args };
        assert!(matches!(transport_to(&peers, &memory, &mut |_| ()), Err(BenchError::Settings(_))));
    }
}
