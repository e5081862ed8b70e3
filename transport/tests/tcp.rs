//! Links over TCP keep what every transport promises, and let nobody in who does not belong.

mod common;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use quorate_transport::{
    BindError, CloseReason, ClusterCa, ConnectionConfig, Credentials, Frame, Hello, Lane, LinkError,
    TcpTransport, Transport,
    codec::{decode_close, encode_hello, encode_lane},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::common::{
    Kind, Replace,
    by_hand::{ByHand, Insider},
    counters::Counters,
    replaceable, strangers,
};

struct Tcp;

impl Kind for Tcp {
    fn bind_replaceable(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<(Arc<dyn Transport>, Replace), BindError> {
        let transport = TcpTransport::bind(credentials, hello, config)?;
        Ok(replaceable(transport, TcpTransport::replace_credentials))
    }

    fn dial_as_stranger(
        &self,
        tls: rustls::ClientConfig,
        to: SocketAddr,
        says: Vec<u8>,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let socket = TcpStream::connect(to).await.expect("it listens");
            let name = "prod.quorate.internal".try_into().expect("a good name");
            let Ok(mut stream) = TlsConnector::from(Arc::new(tls)).connect(name, socket).await else {
                return;
            };
            if !says.is_empty() {
                // As somebody who wants a link and takes ten lanes.
                let says = [&[0, 10, 0, 0, 0], &says[..]].concat();
                if stream.write_all(&says).await.is_err() {
                    return;
                }
            }
            // Until it hangs up, whatever it says.
            while stream.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
        })
    }

    fn throw(&self, bytes: Vec<u8>, to: SocketAddr) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut socket = TcpStream::connect(to).await.expect("it listens");
            // It may be reset as soon as the first bytes are seen.
            let _ = socket.write_all(&bytes).await;
        })
    }

    fn insider<'a>(&'a self, ca: &'a ClusterCa, to: SocketAddr) -> BoxFuture<'a, Box<dyn Insider>> {
        Box::pin(async move { Box::new(Speaker::new(ca, to).await) as _ })
    }
}

kind_tests! { Tcp }

/// Somebody who speaks for himself.
async fn connect(tls: rustls::ClientConfig, to: SocketAddr, says: &[&[u8]]) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(to).await.expect("it listens");
    let name = "prod.quorate.internal".try_into().expect("a good name");
    let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, socket).await.expect("it belongs here");
    stream.write_all(&says.concat()).await.expect("it is read");
    stream
}

/// The first connection of a link of n5, its token, and its lanes.
struct Speaker {
    to: SocketAddr,
    tls: rustls::ClientConfig,
    token: [u8; 16],
    first: TlsStream<TcpStream>,
    lanes: Vec<TlsStream<TcpStream>>,
}

impl Speaker {
    async fn new(ca: &ClusterCa, to: SocketAddr) -> Self {
        let hello = encode_hello(&common::greeting(&common::node(ca, 5))).expect("it is short");
        let wants_link: &[u8] = &[0, 10, 0, 0, 0];
        let tls = strangers::tls_of_node(ca, 5);
        let mut first = connect(tls.clone(), to, &[wants_link, &hello]).await;
        let mut answer = [0; 17];
        first.read_exact(&mut answer).await.expect("it is let in");
        let [0, token @ ..] = answer else { panic!("it was refused") };
        Self { to, tls, token, first, lanes: Vec::new() }
    }

    /// A connection that shows a token and wants to be lane data 1.
    async fn lane_as(&self, tls: rustls::ClientConfig, token: &[u8; 16]) -> TlsStream<TcpStream> {
        connect(tls, self.to, &[&[1], token, &encode_lane(Lane::Data(1))]).await
    }
}

impl Insider for Speaker {
    fn lane<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut lane = self.lane_as(self.tls.clone(), &self.token).await;
            lane.write_all(bytes).await.expect("it is let in");
            self.lanes.push(lane);
        })
    }

    fn told(&mut self) -> BoxFuture<'_, CloseReason> {
        Box::pin(async {
            let mut said = Vec::new();
            // It may hang up without the end that TLS has for this.
            let _ = self.first.read_to_end(&mut said).await;
            // What it said last is the reason, as a record of its own.
            let begins = (0..said.len()).find_map(|at| match decode_close(&said[at..]) {
                CloseReason::Violation(why) if why.starts_with("a header") => Some(why),
                _ => None,
            });
            CloseReason::Violation(begins.expect("it said why"))
        })
    }
}

async fn by_hand() -> ByHand<Speaker> {
    ByHand::new(&Tcp, Speaker::new).await
}

#[tokio::test]
async fn a_token_counts_only_with_the_certificate_it_was_given_for() {
    let (counters, _guard) = Counters::install();
    let by_hand = by_hand().await;
    let speaker = &by_hand.insider;
    let (other, own) = (strangers::tls_of_node(&by_hand.ca, 6), &speaker.tls);
    for (tls, token) in [(&other, &speaker.token), (own, &[0; 16])] {
        let mut refused = speaker.lane_as(tls.clone(), token).await;
        assert!(!refused.read(&mut [0; 1]).await.is_ok_and(|bytes| bytes > 0), "it was let in");
    }
    assert_eq!(counters.refused("no_such_link"), 2);
    let mut lane = speaker.lane_as(own.clone(), &speaker.token).await;
    assert_eq!(lane.read_u8().await.expect("it is let in"), 0);
    let (name, _receiver) = by_hand.link.accept().await.expect("the link stands");
    assert_eq!(name, Lane::Data(1));
}

#[tokio::test]
async fn a_lane_that_breaks_off_takes_its_link_with_it() {
    let by_hand = by_hand().await;
    let speaker = &by_hand.insider;
    let mut lane = speaker.lane_as(speaker.tls.clone(), &speaker.token).await;
    lane.write_all(b"\0\x01\0\0\x07\0\0\0hpayload").await.expect("it is let in");
    let (_, mut receiver) = by_hand.link.accept().await.expect("the link stands");
    let mut got = Vec::new();
    assert_eq!(receiver.recv(&mut got).await, Ok(true));
    assert_eq!(got, [Frame { header: "h".into(), body: vec!["payload".into()].into() }]);
    // Without the end that TLS has for this, as if cut by somebody in between: who knows what is
    // missing?
    drop(lane);
    let ended = receiver.recv(&mut got).await;
    assert!(matches!(ended, Err(LinkError::Lost(_))), "{ended:?}");
    assert!(matches!(by_hand.link.closed().await, LinkError::Lost(_)));
}

#[tokio::test]
async fn nonsense_on_the_first_connection_ends_the_link() {
    let (counters, _guard) = Counters::install();
    let mut by_hand = by_hand().await;
    by_hand.insider.first.write_all(&[9; 100]).await.expect("it is read");
    assert!(matches!(by_hand.link.closed().await, LinkError::Violation(_)));
    assert_eq!(counters.get("quorate_links_violated_total"), 1);
}

#[tokio::test]
async fn plain_text_is_refused() {
    common::refused::plain_text_is_refused(&Tcp).await;
}
