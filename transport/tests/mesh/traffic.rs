//! What goes over the links of a mesh.

use quorate_membership::NodeId;
use quorate_transport::{
    CloseReason, FrameConfig, Lane, LinkError, MeshEvent, MeshSettings, OutboxError, SendError,
};
use tokio::time::{Instant, sleep, timeout};

use super::{common::counters::Counters, world::*};

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
        assert!(outbox.crowd().is_crowded() && outbox.bytes() <= 1 << 20);
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
        outbox.crowd().eased().await;
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
        outbox.crowd().eased().await;
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
