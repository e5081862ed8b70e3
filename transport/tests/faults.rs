//! Each fault does what it says, and nothing is done where no rule is set.

use std::{net::SocketAddr, num::NonZeroU64, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, ready};
use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{
    CloseReason, ConnectError, Endpoint, Frame, Hello, Lane, LaneReceiver, LaneSender, Link, LinkError,
    MemoryConfig, MemoryNetwork, MemoryTransport, Role, Transport,
    conformance::{self, Factory, Profile},
    faults::{FaultTiming, Faults, FaultyTransport, Rule},
};
use tokio::time::{Instant, timeout};

const A: NodeId = NodeId::new(1);
const B: NodeId = NodeId::new(2);

struct Wrapped(MemoryNetwork, Faults);

impl Factory for Wrapped {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let Profile { node, role, hello, frames, .. } = profile;
        let config = MemoryConfig { frames, ..MemoryConfig::default() };
        let inner = MemoryTransport::new(&self.0, node, role, hello, config).expect("any port");
        let transport = FaultyTransport::new(node, Arc::new(inner), self.1.clone());
        Box::pin(ready(Arc::new(transport) as _))
    }
}

#[tokio::test]
async fn without_a_rule_every_promise_is_kept() {
    let faults = Faults::new(1, FaultTiming::default());
    conformance::run(&Wrapped(MemoryNetwork::default(), faults)).await;
}

/// Two nodes, a link between them, and what may befall it. Timing: lost after 2 s, connect within 1 s.
struct World {
    faults: Faults,
    a: FaultyTransport,
    b: FaultyTransport,
    at_a: Arc<dyn Link>,
    at_b: Arc<dyn Link>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let (network, faults) = (MemoryNetwork::default(), Faults::new(seed, FaultTiming::default()));
        let node = |id| {
            let hello = Hello {
                versions: (1, 1),
                features: 0,
                cluster: "test".to_owned(),
                incarnation: Incarnation::new(1),
                listens: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            };
            let inner = MemoryTransport::new(&network, id, Role::Node, hello, MemoryConfig::default());
            FaultyTransport::new(id, Arc::new(inner.expect("any port")), faults.clone())
        };
        let (a, b) = (node(A), node(B));
        let (at_a, at_b) = link(&a, &b).await;
        Self { faults, a, b, at_a, at_b }
    }

    /// Sets the rule for what goes from A to B.
    fn set(&self, rule: Rule) {
        self.faults.set(Some(A), Some(B), rule);
    }

    async fn lane(&self, lane: Lane) -> (Box<dyn LaneSender>, Box<dyn LaneReceiver>) {
        let sender = self.at_a.open(lane).await.expect("the link stands");
        let (_, receiver) = self.at_b.accept().await.expect("the link stands");
        (sender, receiver)
    }

    /// How many of so many datagrams arrive, and which.
    async fn datagrams(&self, sent: u32) -> Vec<u32> {
        for number in 0..sent {
            self.at_a.send_datagram(number.to_be_bytes().to_vec().into()).expect("the link stands");
        }
        let mut got = Vec::new();
        while let Ok(datagram) = timeout(Duration::from_secs(1), self.at_b.recv_datagram()).await {
            let datagram = datagram.expect("the link stands");
            got.push(u32::from_be_bytes(datagram[..].try_into().expect("four bytes")));
        }
        got
    }
}

async fn link(from: &FaultyTransport, to: &FaultyTransport) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let there = Endpoint { node: Some(B), addr: to.local_addr() };
    let (ours, theirs) = tokio::join!(from.connect(&there), to.accept());
    (ours.expect("it listens"), theirs.expect("it is not closed"))
}

fn frame(number: usize, bytes: usize) -> Frame {
    Frame { header: number.to_string().into(), body: vec![vec![0; bytes].into()].into() }
}

async fn send(sender: &mut dyn LaneSender, frames: impl IntoIterator<Item = Frame>) {
    sender.send(&mut frames.into_iter().collect()).await.expect("the link stands");
}

async fn receive(receiver: &mut dyn LaneReceiver, frames: usize) -> Vec<Frame> {
    let mut got = Vec::new();
    while got.len() < frames {
        assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended");
    }
    got
}

fn lost(error: &LinkError) -> bool {
    matches!(error, LinkError::Lost(_))
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn some_datagrams_are_lost_the_same_for_the_same_seed_and_frames_are_not() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let world = World::new(seed).await;
        world.set(Rule { datagrams_lost_percent: 30, ..Rule::default() });
        let got = world.datagrams(1000).await;
        assert!((600..800).contains(&got.len()), "{} of 1000", got.len());
        assert!(got.is_sorted(), "nothing was to be reordered");
        let (mut sender, mut receiver) = world.lane(Lane::Data(1)).await;
        send(&mut *sender, (0..100).map(|n| frame(n, 1))).await;
        assert_eq!(receive(&mut *receiver, 100).await.len(), 100);
        runs.push(got);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn some_datagrams_arrive_twice() {
    let world = World::new(1).await;
    world.set(Rule { datagrams_doubled_percent: 100, ..Rule::default() });
    assert_eq!(world.datagrams(3).await, [0, 0, 1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_rule_that_names_more_holds() {
    let world = World::new(1).await;
    world.faults.set(None, None, Rule { datagrams_lost_percent: 100, ..Rule::default() });
    assert_eq!(world.datagrams(3).await, []);
    world.set(Rule::default());
    assert_eq!(world.datagrams(3).await, [0, 1, 2]);
    world.faults.heal(Some(A), Some(B));
    assert_eq!(world.datagrams(3).await, []);
    world.faults.heal_all();
    assert_eq!(world.datagrams(3).await, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn everything_is_late_by_the_delay_and_batches_do_not_add_up() {
    let world = World::new(1).await;
    let (mut sender, mut receiver) = world.lane(Lane::Data(1)).await;
    world.set(Rule { delay: 100 * MS, ..Rule::default() });
    let begin = Instant::now();
    let sending = async {
        for number in 0..10 {
            send(&mut *sender, [frame(number, 10)]).await;
            tokio::time::sleep(10 * MS).await;
        }
    };
    let ((), got) = tokio::join!(sending, receive(&mut *receiver, 10));
    assert_eq!(got, (0..10).map(|n| frame(n, 10)).collect::<Vec<_>>());
    let took = begin.elapsed();
    assert!((190 * MS..195 * MS).contains(&took), "the last was sent after 90 ms, and came after {took:?}");
    let begin = Instant::now();
    world.at_a.send_datagram("late".into()).expect("the link stands");
    world.at_b.recv_datagram().await.expect("the link stands");
    assert!((100 * MS..105 * MS).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn jitter_reorders_datagrams_and_lanes_but_no_lane_in_itself() {
    let world = World::new(1).await;
    let (mut first, mut of_first) = world.lane(Lane::Data(1)).await;
    let (mut second, mut of_second) = world.lane(Lane::Data(2)).await;
    world.set(Rule { delay: MS, jitter: 50 * MS, ..Rule::default() });
    let mut arrivals = Vec::new();
    for number in 0..50 {
        send(&mut *first, [frame(number, 1)]).await;
        send(&mut *second, [frame(number, 1)]).await;
        let first_arrival = async { (receive(&mut *of_first, 1).await, Instant::now()) };
        let second_arrival = async { (receive(&mut *of_second, 1).await, Instant::now()) };
        let (one, two) = tokio::join!(first_arrival, second_arrival);
        assert_eq!((one.0, two.0), (vec![frame(number, 1)], vec![frame(number, 1)]));
        arrivals.push(one.1 < two.1);
    }
    assert!(arrivals.contains(&true) && arrivals.contains(&false), "no lane ever overtook the other");
    let got = world.datagrams(100).await;
    assert_eq!(got.len(), 100);
    assert!(!got.is_sorted(), "no datagram overtook another");
    send(&mut *first, (0..100).map(|n| frame(n, 1))).await;
    assert_eq!(receive(&mut *of_first, 100).await, (0..100).map(|n| frame(n, 1)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_network_takes_its_time_and_holds_the_sender_back() {
    let world = World::new(1).await;
    let (mut sender, mut receiver) = world.lane(Lane::Bulk).await;
    world.set(Rule { bytes_per_s: NonZeroU64::new(10 << 20), ..Rule::default() });
    let begin = Instant::now();
    let sending = async {
        send(&mut *sender, (0..20).map(|_| frame(0, 1 << 20))).await;
        begin.elapsed()
    };
    let (all_taken, _) = tokio::join!(sending, receive(&mut *receiver, 20));
    let took = begin.elapsed();
    assert!((1999 * MS..2100 * MS).contains(&took), "20 MiB at 10 MiB/s took {took:?}");
    assert!(all_taken > Duration::from_secs(1), "all was taken after {all_taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_loses_datagrams_and_makes_streams_wait() {
    let world = World::new(1).await;
    let (mut sender, mut receiver) = world.lane(Lane::Data(1)).await;
    world.faults.cut(Some(A), Some(B));
    assert_eq!(world.datagrams(5).await, []);
    send(&mut *sender, [frame(1, 5)]).await;
    assert!(timeout(500 * MS, receive(&mut *receiver, 1)).await.is_err(), "the network was cut");
    world.faults.heal(Some(A), Some(B));
    assert_eq!(receive(&mut *receiver, 1).await, [frame(1, 5)]);
    assert_eq!(world.datagrams(2).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_long_cut_both_ends_have_lost_the_link_and_nobody_connects() {
    let world = World::new(1).await;
    let begin = Instant::now();
    world.faults.partition(&[A], &[B]);
    let there = Endpoint { node: Some(B), addr: world.b.local_addr() };
    let refused = world.a.connect(&there).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable(addr)) if addr == there.addr), "{refused:?}");
    assert_eq!(begin.elapsed().as_secs(), 1, "connecting was given up");
    let (at_a, at_b) = tokio::join!(world.at_a.closed(), world.at_b.closed());
    assert!(lost(&at_a) && lost(&at_b), "{at_a:?}, {at_b:?}");
    assert_eq!(begin.elapsed().as_secs(), 2, "both had lost it");
    world.faults.heal_all();
    let (again, _at_b) = link(&world.a, &world.b).await;
    again.open(Lane::Control).await.expect("the network is healed");
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_cut_one_way_still_carries_the_other() {
    let world = World::new(1).await;
    world.faults.cut_one_way(Some(B), Some(A));
    assert_eq!(world.datagrams(2).await, [0, 1]);
    world.at_b.send_datagram("unheard".into()).expect("it never waits");
    let heard = timeout(500 * MS, world.at_a.recv_datagram()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(lost(&world.at_a.closed().await) && lost(&world.at_b.closed().await));
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_through_a_cut_that_a_link_is_closed() {
    for healed in [true, false] {
        let world = World::new(1).await;
        world.faults.cut(Some(A), Some(B));
        world.at_a.close(CloseReason::Superseded);
        assert_eq!(world.at_a.closed().await, LinkError::ClosedHere(CloseReason::Superseded));
        assert!(timeout(500 * MS, world.at_b.closed()).await.is_err(), "it was heard through the cut");
        if healed {
            world.faults.heal_all();
            assert_eq!(world.at_b.closed().await, LinkError::ClosedByPeer(CloseReason::Superseded));
        } else {
            assert!(lost(&world.at_b.closed().await));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_is_lost_at_both_ends_and_another_can_be_opened() {
    let world = World::new(1).await;
    let (mut sender, mut receiver) = world.lane(Lane::Data(1)).await;
    let begin = Instant::now();
    world.faults.break_links(B, A);
    assert!(lost(&world.at_a.closed().await) && lost(&world.at_b.closed().await));
    assert!(receiver.recv(&mut Vec::new()).await.is_err());
    assert!(sender.send(&mut [frame(1, 1)].into()).await.is_err());
    link(&world.a, &world.b).await;
    assert!(begin.elapsed() < 10 * MS);
}
