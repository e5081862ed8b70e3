//! Peers and clients that belong to the cluster and talk nonsense: they lose their links, and nobody
//! else notices.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
};

use crate::common::{
    quic::{client, three},
    soon,
};
use quorate::{
    SubscribeOptions,
    membership::{Incarnation, NodeId},
    transport::{
        CloseReason, ClusterCa, ConnectionConfig, Credentials, Endpoint, Frame, Hello, Lane, LinkError,
        QuicTransport, Transport, Validity,
    },
};

/// A transport in the hands of somebody who belongs here and says what he likes.
fn liar(credentials: Credentials, life: u64) -> QuicTransport {
    let hello = Hello {
        versions: (1, 1),
        features: 0,
        cluster: "test".to_owned(),
        incarnation: Incarnation::new(life),
        listens: None,
    };
    QuicTransport::bind(credentials, hello, ConnectionConfig::default()).unwrap()
}

/// Numbers that look like chance and are the same in each run.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(byte).collect()
}

/// Frames of noise, among them empty ones and one whose header is as long as headers may be.
fn nonsense(seed: u64) -> VecDeque<Frame> {
    let frame = |(header, body): (usize, usize)| Frame {
        header: noise(seed, header).into(),
        body: bytes::Bytes::from(noise(seed + 1, body)).into(),
    };
    [(40, 7), (0, 40), (200 << 10, 0), (3, 200_000), (0, 0)].map(frame).into()
}

/// Talks nonsense on a lane of a new link until it is closed, and returns why it was.
async fn talk(transport: &dyn Transport, to: SocketAddr, lane: Lane, seed: u64) -> LinkError {
    let link = soon(transport.connect(&Endpoint { addr: to, node: None })).await.expect("it belongs here");
    let mut sender = link.open(lane).await.expect("the link stands");
    let _ = sender.send(&mut nonsense(seed)).await;
    soon(link.closed()).await
}

#[actix::test]
async fn who_talks_nonsense_loses_its_link_and_nobody_else_notices() {
    const LINES: usize = 300;
    let ca = ClusterCa::create("test", Validity::days(1)).unwrap();
    let (nodes, addrs) = three(&ca).await;
    let view = nodes[&1].group("log").await.unwrap().view().await.unwrap().expect("a view").id;
    let (publisher, reader) =
        (client(&ca, 104, vec![addrs[0]]).await, client(&ca, 101, vec![addrs[0]]).await);
    let options = SubscribeOptions::default().backpressure();
    let mut subscription = reader.bus().subscribe("log.>", options).await.unwrap();

    let bus = publisher.bus();
    let publishing = async {
        for k in 0..LINES {
            soon(bus.publish("log.app", format!("line {k}"))).await.unwrap();
        }
    };
    let lying = async {
        // Control, bulk, the bus and lanes of groups there are and there are none of.
        let lanes = [Lane::Control, Lane::Bulk, Lane::Data(1), Lane::Data(1 << 63 | 5)];
        for (number, lane) in (9..).zip(lanes) {
            let credentials = ca.issue_node(NodeId::new(number), Validity::days(1)).unwrap();
            let closed = talk(&liar(credentials, 1), addrs[0], lane, number).await;
            let violation = matches!(&closed, LinkError::ClosedByPeer(CloseReason::Violation(_)));
            assert!(violation, "{lane}: {closed:?}");
        }
        let credentials = ca.issue_node(NodeId::new(8), Validity::days(1)).unwrap();
        let transport = liar(credentials, 1);
        let link = soon(transport.connect(&Endpoint { addr: addrs[0], node: None })).await.unwrap();
        link.send_datagram([&[0xff], &noise(1, 30)[..]].concat().into()).unwrap();
        let closed = soon(link.closed()).await;
        assert!(matches!(&closed, LinkError::ClosedByPeer(CloseReason::Violation(_))), "{closed:?}");
        let credentials = ca.issue_client(NodeId::new(200), "liar", Validity::days(1)).unwrap();
        let closed = talk(&liar(credentials, 1), addrs[0], Lane::Data(1 << 62), 3).await;
        assert!(matches!(&closed, LinkError::ClosedByPeer(CloseReason::Violation(_))), "{closed:?}");
        // And from outside, without any certificate.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for seed in 0..200 {
            socket.send_to(&noise(seed, 20 + 6 * seed as usize), addrs[0]).unwrap();
        }
    };
    tokio::join!(publishing, lying);
    for k in 0..LINES {
        let delivery = soon(subscription.next()).await.expect("the subscription goes on");
        assert_eq!((delivery.payload, delivery.missed), (format!("line {k}").into(), None));
    }
    for node in nodes.values() {
        let group = node.group("log").await.unwrap();
        assert_eq!(group.view().await.unwrap().expect("a view").id, view, "nobody was lost");
    }
    publisher.close().await;
    reader.close().await;
    for node in nodes.into_values() {
        node.stop().await;
    }
}
