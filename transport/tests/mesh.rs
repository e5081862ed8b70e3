//! One link to every peer, whatever happens.

#[allow(clippy::unused_async, reason = "what other tests need is shared as they need it")]
mod common;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, pending, ready},
};
use quorate_membership::{Incarnation, Member, NodeId};
use quorate_transport::{
    CloseReason, ConnectError, Endpoint, Frame, FrameConfig, Hello, Lane, LaneReceiver, Link, LinkError,
    MemoryConfig, MemoryNetwork, MemoryTransport, Mesh, MeshConfig, MeshEvent, MeshSettings, OutboxError,
    Role, SendError, Transport,
    faults::{FaultTiming, Faults, FaultyTransport, Rule},
};
use tokio::{
    sync::mpsc,
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

use self::common::counters::Counters;

const MS: Duration = Duration::from_millis(1);

/// All nodes of a test, and what may befall their network.
struct World {
    network: MemoryNetwork,
    faults: Faults,
}

impl World {
    fn new() -> Self {
        Self { network: MemoryNetwork::default(), faults: Faults::new(1, FaultTiming::default()) }
    }

    fn transport(&self, member: Member, role: Role) -> Arc<dyn Transport> {
        let hello = Hello {
            versions: (1, 1),
            features: 0,
            cluster: "test".to_owned(),
            incarnation: member.incarnation,
            listens: (role == Role::Node).then(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let (node, config) = (member.node, MemoryConfig::default());
        let inner = MemoryTransport::new(&self.network, node, role, hello, config).expect("any port");
        Arc::new(FaultyTransport::new(node, Arc::new(inner), self.faults.clone()))
    }

    fn node(&self, number: u64) -> Node {
        self.node_with(member(number, 1), MeshSettings::default())
    }

    fn node_with(&self, member: Member, settings: MeshSettings) -> Node {
        let transport = self.transport(member, Role::Node);
        let addr = transport.local_addr();
        let config = MeshConfig::try_from(settings).expect("it makes sense");
        let (mesh, events) = Mesh::start(transport, member, config);
        Node { mesh, events, me: member.node, addr }
    }

    /// Two nodes, of which the first dials the second.
    async fn linked(&self) -> (Node, Node) {
        let (mut a, mut b) = (self.node(1), self.node(2));
        a.watch(&b);
        a.up(2).await;
        b.up(1).await;
        (a, b)
    }
}

fn member(number: u64, life: u64) -> Member {
    Member::new(NodeId::new(number), Incarnation::new(life))
}

struct Node {
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    me: NodeId,
    addr: SocketAddr,
}

impl Node {
    fn watch(&self, other: &Self) {
        self.mesh.watch(Endpoint { node: Some(other.me), addr: other.addr });
    }

    async fn event(&mut self) -> MeshEvent {
        self.events.recv().await.expect("the mesh lives")
    }

    async fn up(&mut self, number: u64) {
        let event = self.event().await;
        let MeshEvent::Up(peer) = event else { panic!("{event:?}") };
        assert_eq!(peer.info().member.node, NodeId::new(number));
    }

    async fn down(&mut self) -> LinkError {
        let event = self.event().await;
        let MeshEvent::Down { error, .. } = event else { panic!("{event:?}") };
        error
    }

    async fn lane(&mut self) -> (Lane, Box<dyn LaneReceiver>) {
        let event = self.event().await;
        let MeshEvent::Lane { lane, receiver, .. } = event else { panic!("{event:?}") };
        (lane, receiver)
    }

    async fn unreachable(&mut self) -> ConnectError {
        let event = self.event().await;
        let MeshEvent::Unreachable { error, .. } = event else { panic!("{event:?}") };
        error
    }

    /// What happens within some time.
    async fn events_within(&mut self, span: Duration) -> Vec<MeshEvent> {
        sleep(span).await;
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        events
    }

    fn is_linked(&self, to: &Self) -> bool {
        self.mesh.peer(to.me).is_some()
    }
}

fn frame(number: usize, bytes: usize) -> Frame {
    Frame { header: number.to_string().into(), body: vec![vec![0; bytes].into()].into() }
}

async fn receive(receiver: &mut dyn LaneReceiver, frames: usize) -> Vec<Frame> {
    let mut got = Vec::new();
    while got.len() < frames {
        assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended");
    }
    got
}

/// Runs a test as an actor's arbiter would, on one thread.
async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn links_that_cross_become_one() {
    // The lower node begins after so many ms: before the other, or when the other's link, which
    // takes 200 ms, is nearly there. In the second case that link is up and then replaced.
    for (begins_after, replaced) in [(0, 0), (200, 1)] {
        local(async {
            let world = World::new();
            world.faults.set(None, None, Rule { delay: 100 * MS, ..Rule::default() });
            let (mut a, mut b) = (world.node(1), world.node(2));
            b.watch(&a);
            sleep(begins_after * MS).await;
            a.watch(&b);
            sleep(Duration::from_secs(5)).await;
            for node in [&mut a, &mut b] {
                let events = node.events_within(MS).await;
                let ups = events.iter().filter(|event| matches!(event, MeshEvent::Up(_))).count();
                let downs = events.iter().filter(|event| matches!(event, MeshEvent::Down { .. })).count();
                assert_eq!((ups, downs), (replaced + 1, replaced), "{events:?}");
            }
            let (at_a, at_b) = (a.mesh.peer(b.me).expect("linked"), b.mesh.peer(a.me).expect("linked"));
            assert!(!at_a.info().dialed_us && at_b.info().dialed_us, "the lower node's link is kept");
            a.mesh.send(b.me, Lane::Control, frame(1, 1)).expect("linked");
            let (_, mut receiver) = b.lane().await;
            assert_eq!(receive(&mut *receiver, 1).await, [frame(1, 1)]);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_start_together_do_not_cross_their_links() {
    local(async {
        let world = World::new();
        let mut nodes: Vec<_> = (1..=5).map(|number| world.node(number)).collect();
        for node in &nodes {
            for other in &nodes {
                node.watch(other);
            }
        }
        for node in &mut nodes {
            let events = node.events_within(Duration::from_secs(1)).await;
            assert_eq!(events.len(), 4, "{events:?}");
            assert!(events.iter().all(|event| matches!(event, MeshEvent::Up(_))), "{events:?}");
            assert_eq!(node.mesh.peers().len(), 4);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_is_opened_again() {
    local(async {
        let world = World::new();
        let (mut a, mut b) = world.linked().await;
        for _ in 0..3 {
            world.faults.break_links(a.me, b.me);
            assert!(matches!(a.down().await, LinkError::Lost(_)));
            assert!(matches!(b.down().await, LinkError::Lost(_)));
            timeout(Duration::from_secs(1), a.up(2)).await.expect("it is dialled again");
            b.up(1).await;
        }
        b.mesh.send(a.me, Lane::Data(7), frame(1, 1)).expect("linked");
        let (lane, mut receiver) = a.lane().await;
        assert_eq!((lane, receive(&mut *receiver, 1).await), (Lane::Data(7), vec![frame(1, 1)]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_behind_a_cut_is_reported_once_and_found_when_it_is_healed() {
    local(async {
        let world = World::new();
        let (mut a, mut b) = world.linked().await;
        world.faults.cut(Some(a.me), Some(b.me));
        assert!(matches!(a.down().await, LinkError::Lost(_)));
        assert!(matches!(b.down().await, LinkError::Lost(_)));
        assert!(matches!(a.unreachable().await, ConnectError::Unreachable(addr) if addr == b.addr));
        let more = a.events_within(Duration::from_mins(1)).await;
        assert!(more.is_empty(), "{more:?}");
        world.faults.heal_all();
        timeout(Duration::from_secs(4), a.up(2)).await.expect("pauses are bounded");
        b.up(1).await;
    })
    .await;
}

/// A transport that reaches nobody, and notes when it tried.
#[derive(Debug, Default)]
struct Nowhere(Mutex<Vec<Instant>>);

impl Transport for Nowhere {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        self.0.lock().expect("nobody panics").push(Instant::now());
        Box::pin(ready(Err(ConnectError::Unreachable(to.addr))))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(pending())
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn close(&self, _: CloseReason) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_begin_anew_with_another_address() {
    local(async {
        let transport = Arc::new(Nowhere::default());
        let config = MeshConfig::default();
        let (mesh, mut events) = Mesh::start(Arc::clone(&transport) as _, member(1, 1), config);
        let watch = |port| {
            mesh.watch(Endpoint { node: Some(NodeId::new(2)), addr: SocketAddr::from(([127, 0, 0, 1], port)) });
        };
        for port in [5, 6] {
            watch(port);
            watch(port); // changes nothing
            sleep(Duration::from_secs(10)).await;
            let tries = std::mem::take(&mut *transport.0.lock().expect("nobody panics"));
            let mut span = 50 * MS;
            for pair in tries.windows(2) {
                let pause = pair[1] - pair[0];
                assert!((span / 2..=span + 2 * MS).contains(&pause), "{pause:?} of {span:?}");
                span = (span * 2).min(Duration::from_secs(2));
            }
            assert_eq!(span, Duration::from_secs(2), "it was tried too seldom");
            let event = events.recv().await;
            assert!(
                matches!(&event, Some(MeshEvent::Unreachable { endpoint, .. }) if endpoint.addr.port() == port),
                "{event:?}"
            );
            assert!(events.try_recv().is_err(), "it was reported twice");
        }
        mesh.forget(NodeId::new(2));
        sleep(Duration::from_secs(3)).await;
        let so_far = transport.0.lock().expect("nobody panics").len();
        sleep(Duration::from_mins(1)).await;
        assert_eq!(transport.0.lock().expect("nobody panics").len(), so_far, "a forgotten node was dialled");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn back_pressure_is_awaited_and_nothing_is_lost() {
    local(async {
        let world = World::new();
        let settings = MeshSettings { outbox_bytes_max: 1 << 20, ..MeshSettings::default() };
        let (mut a, mut b) = (world.node_with(member(1, 1), settings), world.node(2));
        a.watch(&b);
        a.up(2).await;
        b.up(1).await;
        let mut sent = 0;
        // The writer gets its turn between two frames, as it does while an actor works.
        while let Ok(()) = a.mesh.send(b.me, Lane::Data(1), frame(sent, 10_000)) {
            sent += 1;
            tokio::task::yield_now().await;
            assert!(sent < 10_000, "nobody reads, and yet all was taken");
        }
        let outbox = a.mesh.peer(b.me).expect("linked").outbox(Lane::Data(1));
        assert!(outbox.is_crowded() && outbox.bytes() <= 1 << 20);
        let full = a.mesh.send(b.me, Lane::Data(1), frame(sent, 10_000));
        let Err(OutboxError::Full(again)) = full else { panic!("{full:?}") };
        a.mesh.send(b.me, Lane::Control, frame(0, 1)).expect("another lane has room");
        let (lane, mut stuck) = b.lane().await;
        assert_eq!((lane, b.lane().await.0), (Lane::Data(1), Lane::Control));
        let mut waiting = Box::pin(a.mesh.send_waiting(b.me, Lane::Data(1), again));
        let early = timeout(100 * MS, &mut waiting).await;
        assert!(early.is_err(), "nobody reads, and yet it was taken");
        let (taken, got) = tokio::join!(waiting, receive(&mut *stuck, sent + 1));
        taken.expect("linked");
        assert_eq!(got, (0..=sent).map(|number| frame(number, 10_000)).collect::<Vec<_>>());
        outbox.eased().await;
        assert_eq!(outbox.bytes(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_link_that_breaks_is_given_up() {
    local(async {
        let world = World::new();
        let (mut a, b) = world.linked().await;
        let peer = a.mesh.peer(b.me).expect("linked");
        let outbox = peer.outbox(Lane::Data(1));
        let full = (0..1000).find(|_| outbox.push(frame(0, 100_000)).is_err());
        assert!(full.is_some(), "nobody reads, and yet all was taken");
        let waiting = outbox.push_waiting(frame(0, 100_000));
        world.faults.break_links(a.me, b.me);
        let (waited, error) = tokio::join!(waiting, a.down());
        assert!(matches!(waited, Err(OutboxError::NotLinked)), "{waited:?}");
        assert!(matches!(error, LinkError::Lost(_)));
        assert_eq!(outbox.bytes(), 0);
        outbox.eased().await;
        for lane in [Lane::Data(1), Lane::Data(2)] {
            assert!(matches!(peer.send(lane, frame(0, 1)), Err(OutboxError::NotLinked)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_too_large_and_a_node_not_linked_are_told_at_once() {
    local(async {
        let world = World::new();
        let (a, b) = world.linked().await;
        let limit = FrameConfig::default().payload_bytes_max();
        let refused = a.mesh.send(b.me, Lane::Bulk, frame(0, limit + 1));
        let Err(OutboxError::TooLarge(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error, SendError::TooLarge { bytes: limit + 1, limit });
        let nobody = NodeId::new(9);
        assert!(matches!(a.mesh.send(nobody, Lane::Bulk, frame(0, 1)), Err(OutboxError::NotLinked)));
        let waited = a.mesh.send_waiting(nobody, Lane::Bulk, frame(0, 1)).await;
        assert!(matches!(waited, Err(OutboxError::NotLinked)));
        assert_eq!(a.mesh.send_datagram(nobody, "lost".into()), Ok(false));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn datagrams_tell_who_sent_them() {
    local(async {
        let world = World::new();
        let (a, mut b) = world.linked().await;
        assert_eq!(a.mesh.send_datagram(b.me, "alive".into()), Ok(true));
        let event = b.event().await;
        let MeshEvent::Datagram { peer, datagram } = event else { panic!("{event:?}") };
        assert_eq!((peer.info().member, &datagram[..]), (member(1, 1), &b"alive"[..]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_reader_was_dropped_is_opened_anew() {
    local(async {
        let world = World::new();
        let (a, mut b) = world.linked().await;
        a.mesh.send(b.me, Lane::Data(1), frame(1, 1)).expect("linked");
        drop(b.lane().await);
        a.mesh.send(b.me, Lane::Data(1), frame(2, 1)).expect("linked"); // finds out, and is lost
        sleep(MS).await;
        a.mesh.send(b.me, Lane::Data(1), frame(3, 1)).expect("linked");
        let (_, mut receiver) = b.lane().await;
        assert_eq!(receive(&mut *receiver, 1).await, [frame(3, 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_life_supersedes_the_older() {
    local(async {
        let world = World::new();
        let mut b = world.node(2);
        let mut old = world.node(1);
        old.watch(&b);
        old.up(2).await;
        b.up(1).await;
        let mut new = world.node_with(member(1, 2), MeshSettings::default());
        new.watch(&b);
        new.up(2).await;
        assert_eq!(b.down().await, LinkError::ClosedHere(CloseReason::Superseded));
        let event = b.event().await;
        let MeshEvent::Up(peer) = event else { panic!("{event:?}") };
        assert_eq!(peer.info().member, member(1, 2));
        assert_eq!(old.down().await, LinkError::ClosedByPeer(CloseReason::Superseded));
        // The older life goes on dialling, and is sent away each time.
        let events = old.events_within(Duration::from_secs(10)).await;
        let refused = |event: &MeshEvent| match event {
            MeshEvent::Down { error, .. } => *error == LinkError::ClosedByPeer(CloseReason::Superseded),
            event => matches!(event, MeshEvent::Up(_)),
        };
        assert!(events.len() < 30 && events.iter().all(refused), "{events:?}");
        assert!(b.events.try_recv().is_err(), "the newer life was disturbed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_node_is_not_dialled_again() {
    local(async {
        let world = World::new();
        let (mut a, b) = world.linked().await;
        a.mesh.forget(b.me);
        assert!(a.is_linked(&b), "a link that stands is left as it is");
        world.faults.break_links(a.me, b.me);
        assert!(matches!(a.down().await, LinkError::Lost(_)));
        let more = a.events_within(Duration::from_mins(1)).await;
        assert!(more.is_empty(), "{more:?}");
        a.watch(&b);
        a.up(2).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_place_leads_to_whoever_is_there() {
    local(async {
        let world = World::new();
        let (mut a, mut b) = (world.node(1), world.node(2));
        for addr in [a.addr, b.addr] {
            a.mesh.watch(Endpoint { node: None, addr });
        }
        a.up(2).await;
        b.up(1).await;
        world.faults.break_links(a.me, b.me);
        assert!(matches!(a.down().await, LinkError::Lost(_)));
        a.up(2).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_node_at_the_address_is_told_and_left_alone() {
    local(async {
        let world = World::new();
        let (mut a, mut b) = (world.node(1), world.node(2));
        a.mesh.watch(Endpoint { node: Some(NodeId::new(3)), addr: b.addr });
        let error = a.unreachable().await;
        assert!(matches!(error, ConnectError::WrongNode { found, .. } if found == b.me), "{error:?}");
        let (c, mut moved) = (world.node(3), b.events_within(Duration::from_secs(1)).await);
        assert!(moved.pop().is_none(), "{moved:?}");
        a.watch(&c);
        timeout(10 * MS, a.up(3)).await.expect("a new address is tried at once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_process_with_this_nodes_id_is_refused() {
    local(async {
        let world = World::new();
        let mut a = world.node(1);
        let double = world.transport(member(1, 9), Role::Node);
        let there = Endpoint { node: None, addr: a.addr };
        let link = double.connect(&there).await.expect("the transport lets it in");
        let ended = link.closed().await;
        assert!(
            matches!(&ended, LinkError::ClosedByPeer(CloseReason::Refused(why)) if why.contains("own id")),
            "{ended:?}"
        );
        let more = a.events_within(MS).await;
        assert!(more.is_empty(), "{more:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clients_are_taken_up_to_their_number_and_answered() {
    local(async {
        let world = World::new();
        let settings = MeshSettings { clients_max: 2, ..MeshSettings::default() };
        let mut a = world.node_with(member(1, 1), settings);
        let there = Endpoint { node: Some(a.me), addr: a.addr };
        let mut clients = Vec::new();
        for number in [7, 8, 9] {
            let transport = world.transport(member(number, 1), Role::Client);
            let link = transport.connect(&there).await.expect("the transport lets it in");
            clients.push((transport, link));
        }
        for _ in 0..2 {
            let event = a.event().await;
            let MeshEvent::Up(peer) = event else { panic!("{event:?}") };
            assert_eq!(peer.info().role, Role::Client);
            peer.send(Lane::Data(1), frame(peer.info().member.node.get() as usize, 1)).expect("linked");
        }
        assert!(a.mesh.peers().is_empty(), "clients are no nodes");
        let (_, third) = clients.pop().expect("three");
        let ended = third.closed().await;
        assert!(matches!(ended, LinkError::ClosedByPeer(CloseReason::Refused(_))), "{ended:?}");
        for (number, (_, link)) in [7, 8].into_iter().zip(&clients) {
            let (_, mut receiver) = link.accept().await.expect("the link stands");
            assert_eq!(receive(&mut *receiver, 1).await, [frame(number, 1)]);
        }
        clients.clear();
        for _ in 0..2 {
            assert!(matches!(a.down().await, LinkError::ClosedByPeer(_)));
        }
        let again = world.transport(member(7, 1), Role::Client);
        let _link = again.connect(&there).await.expect("there is room again");
        assert!(matches!(a.event().await, MeshEvent::Up(_)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_mesh_reports_the_ends_and_a_dropped_one_leaves_nothing_behind() {
    local(async {
        let world = World::new();
        let (mut a, mut b) = world.linked().await;
        b.watch(&a);
        a.mesh.close(CloseReason::Stopping).await;
        assert_eq!(a.down().await, LinkError::ClosedHere(CloseReason::Stopping));
        assert_eq!(b.down().await, LinkError::ClosedByPeer(CloseReason::Stopping));
        assert!(matches!(b.unreachable().await, ConnectError::Unreachable(_)));
        let more = a.events_within(Duration::from_secs(5)).await;
        assert!(more.is_empty(), "{more:?}");
        drop(a.mesh);
        assert!(a.events.recv().await.is_none(), "a task of the mesh lives on");

        let (c, mut d) = (world.node(3), world.node(4));
        c.watch(&d);
        d.up(3).await;
        let Node { mesh, mut events, .. } = c;
        drop(mesh);
        assert!(matches!(d.down().await, LinkError::ClosedByPeer(CloseReason::Stopping)));
        while let Some(event) = events.recv().await {
            assert!(matches!(event, MeshEvent::Up(_) | MeshEvent::Down { .. }), "{event:?}");
        }
        assert!(d.events.recv().now_or_never().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_through_and_what_does_not_is_counted() {
    let (counters, _guard) = Counters::install();
    local(async {
        let world = World::new();
        let (mut a, mut b) = world.linked().await;
        a.mesh.send(b.me, Lane::Data(1), frame(1, 99)).expect("linked");
        let (_, mut receiver) = b.lane().await;
        receive(&mut *receiver, 1).await;
        for direction in ["sent", "received"] {
            assert_eq!(counters.get(&format!("quorate_frames_{direction}_total data")), 1);
            assert_eq!(counters.get(&format!("quorate_frame_bytes_{direction}_total data")), 100);
        }
        let outbox = a.mesh.peer(b.me).expect("linked").outbox(Lane::Bulk);
        outbox.push(frame(1, 1)).expect("linked");
        world.faults.break_links(a.me, b.me);
        assert!(matches!(a.down().await, LinkError::Lost(_)));
        sleep(MS).await;
        assert_eq!(counters.get("quorate_outbox_dropped_frames_total link_gone"), 1);
        world.faults.cut(Some(a.me), Some(b.me));
        while !matches!(a.event().await, MeshEvent::Unreachable { .. }) {}
        assert_eq!(counters.get("quorate_connects_failed_total unreachable"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_last_leaves_before_a_mesh_closes_unless_nobody_reads() {
    local(async {
        let world = World::new();
        let (a, mut b) = world.linked().await;
        for number in 0..100 {
            a.mesh.send(b.me, Lane::Data(1), frame(number, 50_000)).expect("linked");
        }
        let begin = Instant::now();
        let receiving = async {
            let (_, mut receiver) = b.lane().await;
            let mut got = Vec::new();
            while let Ok(true) = receiver.recv(&mut got).await {}
            got
        };
        let ((), got) = tokio::join!(a.mesh.close(CloseReason::Stopping), receiving);
        assert_eq!(got, (0..100).map(|number| frame(number, 50_000)).collect::<Vec<_>>());
        assert!(begin.elapsed() < 100 * MS, "nothing was to be waited for");

        let (c, mut d) = (world.node(3), world.node(4));
        c.watch(&d);
        d.up(3).await;
        for number in 0..100 {
            c.mesh.send(d.me, Lane::Data(1), frame(number, 50_000)).expect("linked");
        }
        let begin = Instant::now();
        c.mesh.close(CloseReason::Stopping).await;
        assert_eq!(begin.elapsed().as_secs(), 1, "a peer that does not read holds up the stop");
    })
    .await;
}
