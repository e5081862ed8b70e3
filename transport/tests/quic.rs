//! Links over QUIC keep what every transport promises, and let nobody in who does not belong.

mod common;
#[path = "quic/mtu.rs"]
mod mtu;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use quinn::crypto::rustls::QuicClientConfig;
use quorate_transport::{
    BindError, CloseReason, ClusterCa, ConnectionConfig, Credentials, Frame, Hello, Lane, LinkError,
    QuicTransport, Transport,
    codec::{decode_close, encode_hello, encode_lane},
};

use self::common::{
    Kind, Replace,
    by_hand::{ByHand, Insider},
    replaceable, strangers,
};

struct Quic;

impl Kind for Quic {
    fn bind_replaceable(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<(Arc<dyn Transport>, Replace), BindError> {
        let transport = QuicTransport::bind(credentials, hello, config)?;
        Ok(replaceable(transport, QuicTransport::replace_credentials))
    }

    fn dial_as_stranger(
        &self,
        tls: rustls::ClientConfig,
        to: SocketAddr,
        says: Vec<u8>,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).expect("any port");
            let tls = QuicClientConfig::try_from(tls).expect("it is TLS 1.3");
            let config = quinn::ClientConfig::new(Arc::new(tls));
            let connecting = endpoint.connect_with(config, to, "prod.quorate.internal").expect("a good name");
            let Ok(connection) = connecting.await else { return };
            let Ok((mut send, mut receive)) = connection.open_bi().await else { return };
            if !says.is_empty() && send.write_all(&says).await.is_err() {
                return;
            }
            // Until it hangs up or answers.
            let _ = receive.read(&mut [0; 64]).await;
            let _ = connection.closed().await;
        })
    }

    fn throw(&self, bytes: Vec<u8>, to: SocketAddr) -> BoxFuture<'_, ()> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("any port");
        socket.send_to(&bytes, to).expect("it fits");
        Box::pin(async { tokio::task::yield_now().await })
    }

    fn insider<'a>(&'a self, ca: &'a ClusterCa, to: SocketAddr) -> BoxFuture<'a, Box<dyn Insider>> {
        Box::pin(async move { Box::new(Speaker::new(ca, to).await) as _ })
    }
}

kind_tests! { Quic }

/// A connection of n5.
struct Speaker {
    connection: quinn::Connection,
    _greeting: (quinn::SendStream, quinn::RecvStream),
    _endpoint: quinn::Endpoint,
}

impl Speaker {
    async fn new(ca: &ClusterCa, to: SocketAddr) -> Self {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).expect("any port");
        let tls = QuicClientConfig::try_from(strangers::tls_of_node(ca, 5)).expect("it is TLS 1.3");
        let config = quinn::ClientConfig::new(Arc::new(tls));
        let connecting = endpoint.connect_with(config, to, "prod.quorate.internal").expect("a good name");
        let connection = connecting.await.expect("it belongs here");
        let hello = encode_hello(&common::greeting(&common::node(ca, 5))).expect("it is short");
        let mut greeting = connection.open_bi().await.expect("it is allowed");
        greeting.0.write_all(&hello).await.expect("it is read");
        Self { connection, _greeting: greeting, _endpoint: endpoint }
    }

    /// Sends a stream with these bytes and ends it.
    async fn stream(&self, bytes: &[&[u8]]) {
        let mut lane = self.connection.open_uni().await.expect("the link stands");
        lane.write_all(&bytes.concat()).await.expect("the link stands");
        lane.finish().expect("it was open");
    }
}

impl Insider for Speaker {
    fn lane<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.stream(&[&encode_lane(Lane::Bulk), bytes]).await })
    }

    fn told(&mut self) -> BoxFuture<'_, CloseReason> {
        Box::pin(async {
            match self.connection.closed().await {
                quinn::ConnectionError::ApplicationClosed(close) => decode_close(&close.reason),
                other => panic!("{other:?}"),
            }
        })
    }
}

async fn by_hand() -> ByHand<Speaker> {
    ByHand::new(&Quic, Speaker::new).await
}

#[tokio::test]
async fn streams_that_are_no_lanes_end_the_link() {
    for name in [&[9; 9][..], &[0, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 0]] {
        let mut by_hand = by_hand().await;
        by_hand.insider.stream(&[name]).await;
        let refused = by_hand.link.accept().await.map(|(lane, _)| lane);
        assert!(matches!(refused, Err(LinkError::Violation(_))), "{refused:?}");
        assert!(matches!(by_hand.link.closed().await, LinkError::Violation(_)));
        assert!(matches!(by_hand.insider.told().await, CloseReason::Violation(_)));
    }
}

#[tokio::test]
async fn a_stream_that_is_given_up_before_it_has_a_name_is_no_lane_and_no_harm() {
    let by_hand = by_hand().await;
    by_hand.insider.stream(&[]).await;
    let mut given_up = by_hand.insider.connection.open_uni().await.expect("the link stands");
    given_up.write_all(&[1]).await.expect("the link stands");
    given_up.reset(7u32.into()).expect("it was open");
    by_hand.insider.stream(&[&encode_lane(Lane::Bulk), b"\0\x01\0\0\x07\0\0\0hpayload"]).await;
    let (lane, mut receiver) = by_hand.link.accept().await.expect("the link stands");
    let mut got = Vec::new();
    while receiver.recv(&mut got).await.expect("the link stands") {}
    assert_eq!(
        (lane, got),
        (Lane::Bulk, vec![Frame { header: "h".into(), body: vec!["payload".into()].into() }])
    );
}

#[tokio::test]
async fn a_lane_that_ends_amid_a_frame_ends_the_link() {
    let mut by_hand = by_hand().await;
    by_hand.insider.stream(&[&encode_lane(Lane::Bulk), b"\0\x01\0\0\x07\0\0\0hpay"]).await;
    let (_, mut receiver) = by_hand.link.accept().await.expect("the link stands");
    let refused = receiver.recv(&mut Vec::new()).await;
    assert!(matches!(refused, Err(LinkError::Violation(_))), "{refused:?}");
    let CloseReason::Violation(why) = by_hand.insider.told().await else { panic!("it was a violation") };
    assert!(why.contains("amid a frame"), "{why}");
}
