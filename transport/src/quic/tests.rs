//! What is waited for when a transport is closed, and what is not.

use std::net::UdpSocket;

use bytes::Bytes;
use futures_util::FutureExt;
use quorate_membership::{Incarnation, NodeId};
use tokio::time::{Instant, pause, resume};

use super::*;
use crate::{ClusterCa, ConnectionSettings, Frame, Lane, LinkError, Validity};

fn transport(ca: &ClusterCa, number: u64) -> QuicTransport {
    lossy(ca, number, None)
}

fn lossy(ca: &ClusterCa, number: u64, loss: Option<PacketLoss>) -> QuicTransport {
    let hello = Hello {
        versions: (1, 1),
        features: 0,
        cluster: ca.cluster().to_string(),
        incarnation: Incarnation::new(1),
        listens: Some(([127, 0, 0, 1], 0).into()),
    };
    let credentials = ca.issue_node(NodeId::new(number), Validity::days(1)).expect("it makes sense");
    let config = ConnectionSettings::default().try_into().expect("it makes sense");
    QuicTransport::bind_to(credentials, hello, config, loss).expect("any port")
}

fn ca() -> ClusterCa {
    ClusterCa::create("prod", Validity::days(2)).expect("a good name")
}

async fn link(from: &QuicTransport, to: &QuicTransport) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let there = Endpoint { node: None, addr: to.local_addr() };
    let (ours, theirs) = tokio::join!(from.connect(&there), to.accept());
    (ours.expect("it belongs here"), theirs.expect("it is open"))
}

#[tokio::test]
async fn a_dial_to_a_dead_address_is_not_waited_for() {
    let dialer = transport(&ca(), 1);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("any port");
    let there = Endpoint { node: None, addr: silent.local_addr().expect("it is bound") };
    let dialling = dialer.connect(&there);
    let closing = async {
        while dialer.inner.endpoint.open_connections() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(dialer.inner.departures.pending(), 0, "it is no link");
        // While the clock stands still, it moves on only when something is waited for.
        pause();
        let before = Instant::now();
        dialer.close(CloseReason::Stopping).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        resume();
        assert_eq!(dialer.inner.endpoint.open_connections(), 1, "it still ends in its own time");
    };
    let (dialled, ()) = tokio::join!(dialling, closing);
    assert!(matches!(dialled, Err(ConnectError::Closed)), "{dialled:?}");
}

#[tokio::test]
async fn peers_know_of_the_end_when_a_transport_is_closed() {
    let ca = ca();
    let (dialer, listener) = (transport(&ca, 1), transport(&ca, 2));
    let (_ours, theirs) = link(&dialer, &listener).await;
    dialer.close(CloseReason::Superseded).await;
    let known = theirs.closed().now_or_never();
    assert_eq!(known, Some(LinkError::ClosedByPeer(CloseReason::Superseded)));
    assert_eq!(dialer.inner.departures.pending(), 0);
}

#[tokio::test]
async fn a_link_that_was_dropped_just_before_counts_as_well() {
    let ca = ca();
    let (dialer, listener) = (transport(&ca, 1), transport(&ca, 2));
    let (ours, theirs) = link(&dialer, &listener).await;
    drop(ours);
    assert_eq!(dialer.inner.departures.pending(), 1);
    dialer.close(CloseReason::Superseded).await;
    assert_eq!(theirs.closed().now_or_never(), Some(LinkError::ClosedByPeer(CloseReason::Stopping)));
}

#[tokio::test]
async fn a_peer_that_has_closed_the_link_itself_is_not_waited_for() {
    let ca = ca();
    let (dialer, listener) = (transport(&ca, 1), transport(&ca, 2));
    let (ours, theirs) = link(&dialer, &listener).await;
    theirs.close(CloseReason::Duplicate);
    assert_eq!(ours.closed().await, LinkError::ClosedByPeer(CloseReason::Duplicate));
    drop(ours);
    assert_eq!(dialer.inner.departures.pending(), 0);
}

#[test]
fn a_peer_that_confirms_nothing_is_given_up() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (here, there) = (runtime(), runtime());
    let ca = ca();
    let listener = there.block_on(async { transport(&ca, 2) });
    let to = Endpoint { node: None, addr: listener.local_addr() };
    let dialer = here.block_on(async { transport(&ca, 1) });
    let accepting = there.spawn(async move { (listener.accept().await, listener) });
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| there.block_on(accepting).expect("it is not aborted"));
        let ours = here.block_on(dialer.connect(&to)).expect("it belongs here");
        (ours, theirs.join().expect("it does not panic"))
    });
    // Nobody drives the listener any more.
    here.block_on(async {
        ours.close(CloseReason::Stopping);
        assert_eq!(dialer.inner.departures.pending(), 1);
        pause();
        let before = Instant::now();
        dialer.inner.departures.over().await;
        assert!(before.elapsed() >= LINGER, "nothing was confirmed");
    });
    drop((theirs, ours, dialer));
}

#[tokio::test]
async fn what_links_have_sent_is_counted_until_they_end() {
    let ca = ca();
    let (dialer, listener) = (transport(&ca, 1), transport(&ca, 2));
    assert_eq!(dialer.traffic(), Traffic::default());
    let (ours, theirs) = link(&dialer, &listener).await;
    let before = dialer.traffic();
    assert!(before.packets > 0 && before.bytes > before.packets, "a handshake was sent: {before:?}");
    ours.send_datagram(Bytes::from_static(&[7; 1000])).expect("it fits");
    assert_eq!(theirs.recv_datagram().await.expect("on loopback").len(), 1000);
    let after = dialer.traffic();
    assert!(after.packets > before.packets && after.bytes >= before.bytes + 1000, "{before:?} {after:?}");
    drop((ours, theirs));
    assert_eq!(dialer.traffic(), Traffic::default());
}

#[tokio::test]
async fn what_is_lost_below_a_link_is_sent_again_and_counted() {
    let ca = ca();
    let loss = |seed| Some(PacketLoss { percent: 10, seed });
    let (dialer, listener) = (lossy(&ca, 1, loss(1)), lossy(&ca, 2, loss(2)));
    let (ours, theirs) = link(&dialer, &listener).await;
    let payload = Bytes::from(vec![7; 4 << 20]);
    let sent = async {
        let mut lane = ours.open(Lane::Bulk).await.expect("it is open");
        let frame = Frame { header: Bytes::new(), body: vec![payload.clone()].into() };
        lane.send(&mut [frame].into()).await.expect("it is open");
        lane.finish().await.expect("it arrives");
    };
    let received = async {
        let (_, mut lane) = theirs.accept().await.expect("it is open");
        let mut frames = Vec::new();
        while lane.recv(&mut frames).await.expect("nothing is lost above") {}
        frames
    };
    let ((), frames) = tokio::join!(sent, received);
    let bodies: Vec<Bytes> = frames.into_iter().map(Frame::into_body).collect();
    assert!(bodies == [payload], "{} frames", bodies.len());
    assert!(dialer.traffic().lost > 0, "{:?}", dialer.traffic());
}
