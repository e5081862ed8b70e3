//! The mesh, and faults, over real sockets.

#[allow(clippy::unused_async, reason = "what other tests need is shared as they need it")]
mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, ready};
use quorate_membership::{Incarnation, Member, NodeId};
use quorate_transport::{
    CloseReason, ClusterCa, ConnectionConfig, Endpoint, Frame, Lane, LinkError, Mesh, MeshConfig, MeshEvent,
    QuicTransport, Transport,
    conformance::{self, Factory, Profile},
    faults::{FaultTiming, Faults, FaultyTransport},
};
use tokio::{sync::mpsc, task::LocalSet, time::timeout};

use self::common::{Authorities, settings};

struct Wrapped(Authorities, Faults);

impl Factory for Wrapped {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let credentials = self.0.credentials(&profile);
        let config = settings(|settings| settings.handshake_timeout_ms = 1_000).with_frames(profile.frames);
        let inner = QuicTransport::bind(credentials, profile.hello, config).expect("any port");
        let transport = FaultyTransport::new(profile.node, Arc::new(inner), self.1.clone());
        Box::pin(ready(Arc::new(transport) as _))
    }
}

#[tokio::test]
async fn quic_without_a_fault_keeps_every_promise_under_the_wrapper() {
    let faults = Faults::new(1, FaultTiming::default());
    conformance::run(&Wrapped(Authorities::default(), faults)).await;
}

struct Node {
    mesh: Mesh,
    events: mpsc::Receiver<MeshEvent>,
    member: Member,
    addr: SocketAddr,
}

impl Node {
    fn start(ca: &ClusterCa, faults: &Faults, number: u64, life: u64) -> Self {
        Self::start_with(ca, faults, (number, life), common::config())
    }

    fn start_with(
        ca: &ClusterCa,
        faults: &Faults,
        (number, life): (u64, u64),
        config: ConnectionConfig,
    ) -> Self {
        let credentials = common::node(ca, number);
        let mut hello = common::hello(&credentials);
        hello.incarnation = Incarnation::new(life);
        let member = Member::new(NodeId::new(number), hello.incarnation);
        let inner = QuicTransport::bind(credentials, hello, config).expect("a free port");
        let addr = inner.local_addr();
        let transport = FaultyTransport::new(member.node, Arc::new(inner), faults.clone());
        let (mesh, events) = Mesh::start(Arc::new(transport), member, MeshConfig::default());
        Self { mesh, events, member, addr }
    }

    fn watch(&self, other: &Self) {
        self.mesh.watch(Endpoint { node: Some(other.member.node), addr: other.addr });
    }

    /// Takes events until one is of this kind.
    async fn until<T>(&mut self, mut wanted: impl FnMut(MeshEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.events.recv().await.expect("the mesh lives")) {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(20), found).await.expect("it happens in time")
    }

    async fn until_up(&mut self, member: Member) {
        self.until(|event| {
            matches!(event, MeshEvent::Up(peer) if peer.info().member == member).then_some(())
        })
        .await;
    }

    async fn until_down(&mut self, member: Member) -> LinkError {
        self.until(|event| match event {
            MeshEvent::Down { peer, error } if peer.info().member == member => Some(error),
            _ => None,
        })
        .await
    }
}

/// Sends frames from one to the other and back until one way has carried them.
async fn exchange(from: &Node, to: &mut Node) {
    let frames: Vec<_> = (0..50)
        .map(|number: usize| Frame {
            header: number.to_string().into(),
            body: vec![vec![7; 50_000].into()].into(),
        })
        .collect();
    for frame in frames.clone() {
        from.mesh.send_waiting(to.member.node, Lane::Data(1), frame).await.expect("linked");
    }
    let mut receiver = to
        .until(|event| match event {
            MeshEvent::Lane { peer, lane: Lane::Data(1), receiver } => {
                (peer.info().member == from.member).then_some(receiver)
            }
            _ => None,
        })
        .await;
    let mut got = Vec::new();
    while got.len() < frames.len() {
        assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended");
    }
    assert!(got == frames, "frames were changed or reordered");
}

#[tokio::test]
async fn three_nodes_lose_and_find_each_other() {
    LocalSet::new()
        .run_until(async {
            let ca = common::authority("mesh");
            let faults = Faults::new(1, FaultTiming::default());
            let [mut a, mut b, mut c] = [1, 2, 3].map(|number| Node::start(&ca, &faults, number, 1));
            for (one, other) in [(&a, &b), (&b, &c), (&c, &a)] {
                one.watch(other);
                other.watch(one);
            }
            let (of_a, of_b, of_c) = (a.member, b.member, c.member);
            for (node, peers) in [(&mut a, [of_b, of_c]), (&mut b, [of_a, of_c]), (&mut c, [of_a, of_b])] {
                while !peers.iter().all(|peer| node.mesh.peer(peer.node).is_some()) {
                    node.until(|event| matches!(event, MeshEvent::Up(_)).then_some(())).await;
                }
            }
            exchange(&a, &mut b).await;
            exchange(&c, &mut a).await;

            faults.break_links(of_a.node, of_b.node);
            assert!(matches!(a.until_down(of_b).await, LinkError::Lost(_)));
            a.until_up(of_b).await;
            b.until_up(of_a).await;
            exchange(&b, &mut a).await;

            drop(c);
            assert!(matches!(a.until_down(of_c).await, LinkError::ClosedByPeer(_)));
            assert!(matches!(b.until_down(of_c).await, LinkError::ClosedByPeer(_)));
            let mut c = Node::start(&ca, &faults, 3, 2);
            a.watch(&c);
            b.watch(&c);
            a.until_up(c.member).await;
            b.until_up(c.member).await;
            exchange(&a, &mut c).await;
        })
        .await;
}

/// A node that has dialled another and then vanishes, as by a power cut: without a close.
async fn vanish_after_dialling(ca: &ClusterCa, number: u64, life: u64, to: &mut Node) {
    let credentials = common::node(ca, number);
    let mut hello = common::hello(&credentials);
    hello.incarnation = Incarnation::new(life);
    let there = Endpoint { node: Some(to.member.node), addr: to.addr };
    let (seen, wait) = tokio::sync::oneshot::channel::<()>();
    let doomed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let held = runtime.block_on(async {
            let transport = QuicTransport::bind(credentials, hello, common::config()).expect("any port");
            let link = transport.connect(&there).await.expect("it belongs here");
            let _ = wait.await;
            (transport, link)
        });
        // The sockets go first, so that nothing can be said any more.
        drop(runtime);
        drop(held);
    });
    to.until_up(Member::new(NodeId::new(number), Incarnation::new(life))).await;
    seen.send(()).expect("it is waited for");
    let joined = tokio::task::spawn_blocking(move || doomed.join()).await.expect("it is not aborted");
    joined.expect("it does not panic");
}

#[tokio::test]
async fn a_peer_that_vanished_and_dials_again_has_one_link() {
    // In the same life, as after a broken network, and in the next, as after a power cut.
    for (life, why) in [(1, CloseReason::Duplicate), (2, CloseReason::Superseded)] {
        LocalSet::new()
            .run_until(async {
                let ca = common::authority("mesh");
                let faults = Faults::new(1, FaultTiming::default());
                let mut a = Node::start(&ca, &faults, 1, 1);
                vanish_after_dialling(&ca, 2, 1, &mut a).await;
                let half_open = a.mesh.peer(NodeId::new(2)).expect("nobody has noticed");

                let mut b = Node::start(&ca, &faults, 2, life);
                b.watch(&a);
                // Long before the half-open link runs into its idle time-out.
                assert_eq!(a.until_down(half_open.info().member).await, LinkError::ClosedHere(why));
                a.until_up(b.member).await;
                b.until_up(a.member).await;
                assert_eq!(a.mesh.peers().len(), 1);
                exchange(&b, &mut a).await;
                exchange(&a, &mut b).await;
            })
            .await;
    }
}

#[tokio::test]
async fn a_dial_that_was_under_way_ends_when_the_other_has_dialled() {
    LocalSet::new()
        .run_until(async {
            let ca = common::authority("mesh");
            let faults = Faults::new(1, FaultTiming::default());
            let mut a = Node::start(&ca, &faults, 1, 1);
            // What a sends is lost for now: it dials, and would reach b with what it sends a second later.
            let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("any port");
            let addr = silent.local_addr().expect("it is bound");
            a.mesh.watch(Endpoint { node: Some(NodeId::new(2)), addr });
            timeout(Duration::from_secs(5), async {
                silent.set_nonblocking(true).expect("a socket");
                let silent = tokio::net::UdpSocket::from_std(silent).expect("a socket");
                silent.recv(&mut [0; 2000]).await.expect("it dials");
            })
            .await
            .expect("it dials at once");
            let config = settings(|settings| settings.bind = Some(addr));
            let mut b = Node::start_with(&ca, &faults, (2, 1), config);
            b.watch(&a);
            a.until_up(b.member).await;
            b.until_up(a.member).await;
            let first = a.mesh.peer(b.member.node).expect("linked");
            let replaced = timeout(Duration::from_millis(2500), first.closed()).await;
            assert!(replaced.is_err(), "{replaced:?}");
        })
        .await;
}
