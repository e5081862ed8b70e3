//! Scenarios S8 and S11 over QUIC: two nodes that cannot reach each other while both reach a third, and
//! nodes that start together while datagrams are lost.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use crate::common::{MANY, in_view, messages, soon};
use futures_util::future::join_all;
use quorate::{
    Group, GroupEvents, GroupSettings, Life, Node, NodeConfig, NodeSettings,
    membership::{Change, NodeId},
    transport::{
        ClusterCa, ConnectionConfig, QuicTransport, Transport, Validity,
        faults::{FaultTiming, Faults, FaultyTransport, Rule},
    },
};

const fn n(node: u64) -> NodeId {
    NodeId::new(node)
}

/// A cut lasts for so many detection times: long after all that follows from it has happened.
const CUT_DETECTIONS: u32 = 16;
/// The default.
const DETECT: Duration = Duration::from_millis(500);

/// Nodes over QUIC on loopback with faults between them, and their group.
struct World {
    faults: Faults,
    nodes: Vec<Node>,
    groups: Vec<Group>,
    readers: Vec<GroupEvents>,
}

impl World {
    /// Starts nodes 1 to `count` at the same moment.
    async fn start(count: u64, detect: Duration, rule: Rule) -> Self {
        let ca = ClusterCa::create("test", Validity::days(1)).unwrap();
        let faults = Faults::new(count, FaultTiming::default());
        faults.set(None, None, rule);
        let seats = (1..=count).map(|number| Seat::take(&ca, number)).collect::<Vec<_>>();
        let addrs: Vec<SocketAddr> = seats.iter().map(|seat| seat.quic.local_addr()).collect();
        let starting = seats.into_iter().map(|seat| seat.start(&addrs, detect, faults.clone()));
        let nodes = join_all(starting).await;
        let (mut groups, mut readers) = (Vec::new(), Vec::new());
        for node in &nodes {
            let group = node.group("g").await.unwrap();
            in_view(&group, &(1..=count).collect::<Vec<_>>()).await;
            readers.push(group.events(MANY).await.unwrap());
            groups.push(group);
        }
        Self { faults, nodes, groups, readers }
    }

    /// The removals in the history of a node.
    async fn removals(&self, node: u64) -> usize {
        let history = self.groups[node as usize - 1].history().await.unwrap();
        let changes = history.iter().flat_map(|record| &record.view.changes);
        changes.filter(|(_, change)| *change == Change::Unreachable).count()
    }
}

/// A node that has its address and does not run yet.
struct Seat {
    life: Life,
    quic: QuicTransport,
}

/// The others are told of it before the node listens there.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap()
}

impl Seat {
    fn take(ca: &ClusterCa, number: u64) -> Self {
        let settings = NodeSettings::new(number, "test", free_address());
        let config = NodeConfig::try_from(settings).unwrap();
        let life = config.begin_life().unwrap();
        let credentials = ca.issue_node(n(number), Validity::days(1)).unwrap();
        let quic = QuicTransport::bind(credentials, config.hello(&life), ConnectionConfig::default());
        Self { life, quic: quic.unwrap() }
    }

    async fn start(self, addrs: &[SocketAddr], detect: Duration, faults: Faults) -> Node {
        let node = self.life.member().node;
        let addr = self.quic.local_addr();
        let mut settings = NodeSettings::new(node.get(), "test", addr)
            .detect_within(detect)
            .group(GroupSettings::new("g", 1..=addrs.len() as u64));
        settings.seeds = addrs.iter().copied().filter(|seed| *seed != addr).collect();
        let config = NodeConfig::try_from(settings).unwrap();
        let transport = FaultyTransport::new(node, Arc::new(self.quic), faults);
        Node::start(config, self.life, Arc::new(transport)).await.unwrap()
    }
}

#[actix::test]
async fn a_cut_between_two_that_reach_a_third_costs_one_view_and_nobody_flaps() {
    let mut world = World::start(3, DETECT, Rule::default()).await;
    world.faults.cut(Some(n(1)), Some(n(2)));
    // The third, which everybody reaches, is served all the time.
    let begun = tokio::time::Instant::now();
    let mut sent = Vec::new();
    while begun.elapsed() < DETECT * CUT_DETECTIONS {
        let message = format!("{}", sent.len());
        soon(world.groups[2].multicast(message.clone())).await.unwrap();
        sent.push(message);
        tokio::time::sleep(DETECT / 5).await;
    }
    // The junior of the two had to go, once, and stays out.
    assert_eq!(world.removals(3).await, 1);
    let view = world.groups[2].view().await.unwrap().unwrap();
    let members: Vec<u64> = view.members.iter().map(|member| member.node.get()).collect();
    assert!(members == [1, 3] || members == [3, 1], "{view}");

    world.faults.heal_all();
    for group in &world.groups {
        in_view(group, &[1, 2, 3]).await;
    }
    soon(world.groups[1].multicast("healed")).await.unwrap();
    sent.push("healed".to_owned());
    for reader in [0, 2] {
        assert_eq!(messages(&mut world.readers[reader], sent.len()).await, sent);
    }
    assert_eq!(world.removals(3).await, 1, "healing costs nobody's place");
    for node in world.nodes {
        node.stop().await;
    }
}

#[actix::test]
async fn a_cut_that_heals_before_it_counts_costs_nothing() {
    let mut world = World::start(3, DETECT * 2, Rule::default()).await;
    for _ in 0..3 {
        world.faults.cut(Some(n(1)), Some(n(2)));
        // Both have noticed; nobody else has, so nobody has to go yet.
        let mut look = tokio::time::interval(Duration::from_millis(5));
        soon(async {
            while world.groups[0].waits().await.unwrap().is_empty() {
                look.tick().await;
            }
        })
        .await;
        world.faults.heal_all();
        soon(async {
            while !world.groups[0].waits().await.unwrap().is_empty() {
                look.tick().await;
            }
        })
        .await;
    }
    soon(world.groups[0].multicast("as if nothing had been")).await.unwrap();
    for reader in &mut world.readers {
        assert_eq!(messages(reader, 1).await, ["as if nothing had been"]);
    }
    assert_eq!(world.removals(1).await, 0);
    for node in world.nodes {
        node.stop().await;
    }
}

#[actix::test]
async fn nodes_that_start_together_found_one_view_with_all_of_them_though_datagrams_are_lost() {
    let jitter = DETECT / 25;
    let rule = Rule { datagrams_lost_percent: 10, datagrams_doubled_percent: 5, jitter, ..Rule::default() };
    for nodes in [3, 5, 7] {
        let world = World::start(nodes, DETECT * 2, rule).await;
        let all: Vec<u64> = (1..=nodes).collect();
        for group in &world.groups {
            let history = group.history().await.unwrap();
            let first = &history[0].view;
            let mut members: Vec<u64> = first.members.iter().map(|member| member.node.get()).collect();
            members.sort_unstable();
            assert_eq!((first.id.epoch, &members), (1, &all), "{first}");
        }
        for node in world.nodes {
            node.stop().await;
        }
    }
}
