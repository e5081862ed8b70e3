//! How links and transports end.

use super::{Factory, Pair, frame, send};
use crate::{CloseReason, ConnectError, DatagramError, Endpoint, Lane, LinkError, SendError};

fn reason() -> CloseReason {
    CloseReason::Refused("for the sake of it".to_owned())
}

pub(super) async fn both_ends_learn_why(factory: &dyn Factory) {
    for reason in [
        CloseReason::Stopping,
        CloseReason::Duplicate,
        CloseReason::Superseded,
        CloseReason::Violation("a lie".to_owned()),
        reason(),
    ] {
        let pair = Pair::new(factory).await;
        pair.theirs.close(reason.clone());
        assert_eq!(pair.theirs.closed().await, LinkError::ClosedHere(reason.clone()));
        assert_eq!(pair.ours.closed().await, LinkError::ClosedByPeer(reason));
    }
}

pub(super) async fn closing_twice_changes_nothing(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    pair.ours.close(reason());
    pair.ours.close(CloseReason::Stopping);
    assert_eq!(pair.ours.closed().await, LinkError::ClosedHere(reason()));
    assert_eq!(pair.theirs.closed().await, LinkError::ClosedByPeer(reason()));
    pair.theirs.close(CloseReason::Stopping);
    assert_eq!(pair.theirs.closed().await, LinkError::ClosedByPeer(reason()));
}

pub(super) async fn whoever_waits_learns_of_the_end(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut stuck, mut receiver) = pair.lane(Lane::Data(1)).await;
    let (mut other, mut unread) = pair.lane(Lane::Data(2)).await;
    let long = super::numbered(0, 200 << 10);
    let mut frames = vec![long; 150].into();
    let mut none = Vec::new();
    let close = async {
        tokio::task::yield_now().await;
        pair.theirs.close(reason());
    };
    let (sent, got, lane, datagram, ()) = tokio::join!(
        stuck.send(&mut frames),
        unread.recv(&mut none),
        pair.ours.accept(),
        pair.ours.recv_datagram(),
        close
    );
    let (here, by_peer) = (LinkError::ClosedHere(reason()), LinkError::ClosedByPeer(reason()));
    assert_eq!(sent, Err(SendError::Link(by_peer.clone())));
    assert_eq!(got, Err(here.clone()));
    assert_eq!(lane.map(|(lane, _)| lane).unwrap_err(), by_peer);
    assert_eq!(datagram, Err(by_peer.clone()));
    assert_eq!(pair.ours.open(Lane::Bulk).await.map(drop), Err(by_peer.clone()));
    let datagram = pair.theirs.send_datagram("late".into());
    assert_eq!(datagram, Err(DatagramError::Link(here.clone())));
    assert_eq!(other.send(&mut [frame("late")].into()).await, Err(SendError::Link(by_peer)));
    // What had come before the end may still be there; then comes the end.
    while let Ok(more) = receiver.recv(&mut none).await {
        assert!(more, "the lane was not finished");
    }
}

pub(super) async fn dropping_the_last_handle_closes(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (sender, receiver) = pair.lane(Lane::Data(1)).await;
    let Pair { ours, theirs, dialer: _dialer, listener: _listener } = pair;
    drop((ours, sender));
    let ended = theirs.closed().await;
    assert!(matches!(ended, LinkError::ClosedByPeer(_)), "{ended:?}");
    drop(receiver);
}

pub(super) async fn a_closed_transport_closes_its_links(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, _receiver) = pair.lane(Lane::Data(1)).await;
    send(&mut *sender, [frame("before")]).await;
    let ((), accepted) = tokio::join!(pair.listener.close(reason()), pair.listener.accept());
    assert!(accepted.is_none(), "a closed transport accepts nobody");
    assert!(pair.listener.accept().await.is_none(), "nor does it later");
    assert_eq!(pair.theirs.closed().await, LinkError::ClosedHere(reason()));
    assert_eq!(pair.ours.closed().await, LinkError::ClosedByPeer(reason()));
    let to = Endpoint { node: None, addr: pair.dialer.local_addr() };
    let refused = pair.listener.connect(&to).await;
    assert!(matches!(refused, Err(ConnectError::Closed)), "{refused:?}");
}

pub(super) async fn dropping_a_transport_closes_it(factory: &dyn Factory) {
    let Pair { ours, theirs, dialer, listener } = Pair::new(factory).await;
    drop(listener);
    let ended = ours.closed().await;
    assert!(matches!(ended, LinkError::ClosedByPeer(_)), "{ended:?}");
    assert!(matches!(theirs.closed().await, LinkError::ClosedHere(_)));
    drop(dialer);
}

pub(super) async fn what_was_sent_before_a_transport_closes_arrives(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Data(1)).await;
    let frames: Vec<_> = (0..20).map(|n| super::numbered(n, 5000)).collect();
    send(&mut *sender, frames.clone()).await;
    let mut late = pair.ours.open(Lane::Data(2)).await.expect("the link stands");
    send(&mut *late, [frame("farewell")]).await;
    let receiving = async {
        let mut got = Vec::new();
        while let Ok(more) = receiver.recv(&mut got).await {
            assert!(more, "the lane was not finished");
        }
        let (_, mut receiver) = pair.theirs.accept().await.expect("it came before the end");
        assert_eq!(super::receive(&mut *receiver, 1).await, [frame("farewell")]);
        got
    };
    let ((), got) = tokio::join!(pair.dialer.close(reason()), receiving);
    assert!(got == frames, "{} of {} frames came before the end", got.len(), frames.len());
    assert_eq!(pair.theirs.closed().await, LinkError::ClosedByPeer(reason()));
}
