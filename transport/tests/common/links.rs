//! What links over sockets promise beyond what all links do.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use quorate_membership::NodeId;
use quorate_transport::{
    CloseReason, Frame, Lane, LaneReceiver, LinkError, Transport, Validity, conformance,
};
use tokio::{sync::oneshot, time::timeout};

use super::{Conforming, Kind, authority, bind, config, frame, link, node, settings, to};

/// Watched for what never happens.
const A_WHILE: Duration = Duration::from_millis(50);

pub(crate) async fn all_promises_of_a_transport_are_kept(kind: &dyn Kind) {
    conformance::run(&Conforming::new(kind)).await;
}

async fn receive(receiver: &mut dyn LaneReceiver) -> Vec<Frame> {
    let mut got = Vec::new();
    while receiver.recv(&mut got).await.expect("the link stands") {}
    got
}

pub(crate) async fn a_link_outlives_the_runtime_that_dialled_it(kind: &dyn Kind) {
    let ca = authority("prod");
    let (dialer, listener) = (bind(kind, node(&ca, 1), config()), bind(kind, node(&ca, 2), config()));
    let there = to(&*listener);
    let (done, dialled) = oneshot::channel();
    let elsewhere = std::thread::spawn(move || {
        let short_lived = tokio::runtime::Builder::new_current_thread().build().expect("no I/O of its own");
        let link = short_lived.block_on(dialer.connect(&there)).expect("it belongs here");
        let lane = short_lived.block_on(link.open(Lane::Control)).expect("the link stands");
        drop(short_lived);
        done.send((dialer, link, lane)).expect("it is waited for");
    });
    let (dialled, theirs) = tokio::join!(dialled, listener.accept());
    let ((_dialer, _link, mut lane), theirs) =
        (dialled.expect("it was dialled"), theirs.expect("it is open"));
    elsewhere.join().expect("it does not panic");
    lane.send(&mut [frame("here")].into()).await.expect("somebody drives it");
    lane.finish().await.expect("somebody drives it");
    let (_, mut receiver) = theirs.accept().await.expect("the link stands");
    assert_eq!(receive(&mut *receiver).await, [frame("here")]);
}

pub(crate) async fn a_node_opens_lanes_to_a_client(kind: &dyn Kind) {
    let ca = authority("prod");
    let client = ca.issue_client(NodeId::new(9), "reports", Validity::days(1)).unwrap();
    let (client, listener) = (bind(kind, client, config()), bind(kind, node(&ca, 2), config()));
    let (ours, theirs) = link(&*client, &*listener).await;
    for text in ["one", "two"] {
        let mut sender = theirs.open(Lane::Data(1)).await.expect("the link stands");
        sender.send(&mut [frame(text)].into()).await.expect("the link stands");
        sender.finish().await.expect("the link stands");
    }
    for text in ["one", "two"] {
        let (lane, mut receiver) = ours.accept().await.expect("the link stands");
        assert_eq!((lane, receive(&mut *receiver).await), (Lane::Data(1), vec![frame(text)]));
    }
}

pub(crate) async fn one_lane_more_than_allowed_waits_for_another_to_end(kind: &dyn Kind) {
    let ca = authority("prod");
    let few = settings(|settings| settings.lanes_max = 3);
    let (dialer, listener) = (bind(kind, node(&ca, 1), few), bind(kind, node(&ca, 2), few));
    let (ours, theirs) = link(&*dialer, &*listener).await;
    for (from, at) in [(&ours, &theirs), (&theirs, &ours)] {
        let mut lanes = Vec::new();
        for number in 0..3 {
            lanes.push(from.open(Lane::Data(number)).await.expect("the link stands"));
        }
        assert!(timeout(A_WHILE, from.open(Lane::Control)).await.is_err(), "it was one lane too many");
        let mut first = lanes.remove(0);
        first.send(&mut [frame("last")].into()).await.expect("the link stands");
        first.finish().await.expect("the link stands");
        drop(first);
        let (_, mut receiver) = at.accept().await.expect("the link stands");
        assert_eq!(receive(&mut *receiver).await, [frame("last")]);
        drop(receiver);
        from.open(Lane::Control).await.expect("there is room now");
    }
}

pub(crate) async fn lanes_given_up_while_they_are_opened_do_no_harm(kind: &dyn Kind) {
    let ca = authority("prod");
    let (dialer, listener) = (bind(kind, node(&ca, 1), config()), bind(kind, node(&ca, 2), config()));
    let (ours, theirs) = link(&*dialer, &*listener).await;
    for (from, at) in [(&ours, &theirs), (&theirs, &ours)] {
        for polls in 0..12 {
            // Given up after so many turns of everything else.
            let mut opening = from.open(Lane::Data(1));
            for _ in 0..polls {
                if (&mut opening).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let mut sender = from.open(Lane::Data(2)).await.expect("the link stands");
        sender.send(&mut [frame("after all")].into()).await.expect("the link stands");
        sender.finish().await.expect("the link stands");
        loop {
            let (lane, mut receiver) = at.accept().await.expect("the link stands");
            let got = receive(&mut *receiver).await;
            if lane == Lane::Data(2) {
                assert_eq!(got, [frame("after all")]);
                break;
            }
            assert_eq!((lane, got), (Lane::Data(1), vec![]), "nothing was sent on it");
        }
    }
}

pub(crate) async fn a_quiet_link_stays(kind: &dyn Kind) {
    let ca = authority("prod");
    let hasty = settings(|settings| settings.idle_timeout_ms = 500);
    let (dialer, listener) = (bind(kind, node(&ca, 1), hasty), bind(kind, node(&ca, 2), hasty));
    let (ours, theirs) = link(&*dialer, &*listener).await;
    let quiet = Duration::from_millis(1200); // More than twice as long as it may be silent.
    assert!(timeout(quiet, ours.closed()).await.is_err(), "signs of life were not sent or not heard");
    assert!(theirs.closed().now_or_never().is_none());
}

pub(crate) async fn a_vanished_peer_is_noticed(kind: &dyn Kind) {
    let ca = authority("prod");
    let hasty = settings(|settings| settings.idle_timeout_ms = 300);
    let listener = bind(kind, node(&ca, 2), hasty);
    let theirs = {
        let (stay, stayed) = oneshot::channel::<()>();
        // A runtime that is dropped takes its sockets with it and says goodbye to nobody.
        let doomed = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dialer = {
            let _within = doomed.enter();
            bind(kind, node(&ca, 1), hasty)
        };
        let there = to(&*listener);
        let driver = std::thread::spawn(move || {
            let link = doomed.block_on(async {
                let link = dialer.connect(&there).await.expect("it belongs here");
                let _ = stayed.await;
                link
            });
            drop(doomed);
            (dialer, link)
        });
        let theirs = listener.accept().await.expect("it is open");
        stay.send(()).expect("it is waited for");
        tokio::task::spawn_blocking(move || driver.join().map(drop).expect("it does not panic"));
        theirs
    };
    let ended = timeout(Duration::from_secs(5), theirs.closed()).await.expect("it is noticed");
    assert!(matches!(ended, LinkError::Lost(_)), "{ended:?}");
    let late = theirs.open(Lane::Control).await.map(drop);
    assert!(matches!(late, Err(LinkError::Lost(_))), "{late:?}");
}

pub(crate) async fn a_link_that_is_closed_amid_its_traffic_says_why(kind: &dyn Kind) {
    let ca = authority("prod");
    let (dialer, listener) = (bind(kind, node(&ca, 1), config()), bind(kind, node(&ca, 2), config()));
    for turns in 0..8 {
        let (ours, theirs) = link(&*dialer, &*listener).await;
        let mut sender = ours.open(Lane::Bulk).await.expect("the link stands");
        // More than a new connection may have on the way, and less than makes the sender wait.
        let payload = Frame { header: "h".into(), body: vec![vec![7; 1_000_000].into()].into() };
        let mut payload = [payload].into();
        let sent = timeout(A_WHILE, sender.send(&mut payload));
        let close = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            ours.close(CloseReason::Superseded);
        };
        let _ = tokio::join!(sent, close);
        assert_eq!(theirs.closed().await, LinkError::ClosedByPeer(CloseReason::Superseded), "after {turns}");
    }
}

pub(crate) async fn what_was_sent_before_the_transport_closed_arrives(kind: &dyn Kind) {
    let ca = authority("prod");
    let (dialer, listener) = (bind(kind, node(&ca, 1), config()), bind(kind, node(&ca, 2), config()));
    let (ours, theirs) = link(&*dialer, &*listener).await;
    let mut sender = ours.open(Lane::Data(1)).await.expect("the link stands");
    sender.send(&mut [frame("first")].into()).await.expect("the link stands");
    let (_, mut receiver) = theirs.accept().await.expect("the link stands");
    let last: Vec<_> =
        (0..20).map(|_| Frame { header: "h".into(), body: vec![vec![7; 9000].into()].into() }).collect();
    sender.send(&mut last.into()).await.expect("the link stands");
    let mut got = Vec::new();
    let receiving = async {
        loop {
            match receiver.recv(&mut got).await {
                Ok(more) => assert!(more, "the lane was not finished"),
                Err(error) => break error,
            }
        }
    };
    let transport: Arc<dyn Transport> = Arc::clone(&dialer);
    let ((), error) = tokio::join!(transport.close(CloseReason::Stopping), receiving);
    assert_eq!(error, LinkError::ClosedByPeer(CloseReason::Stopping));
    assert_eq!(got.len(), 21, "a tail was lost although the transport was closed in good order");
}
