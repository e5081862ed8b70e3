//! Exactly one link to every peer, whatever happens.

use std::{net::SocketAddr, sync::Arc, sync::Mutex, time::Duration};

use futures_util::{FutureExt, future::BoxFuture, future::pending, future::ready};
use quorate_membership::NodeId;
use quorate_transport::{
    CloseReason, ConnectError, Endpoint, Lane, Link, LinkError, Mesh, MeshConfig, MeshEvent, MeshSettings,
    Role, Transport, faults::Rule,
};
use tokio::time::{Instant, sleep, timeout};

use super::world::*;

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
