//! Links over TCP keep what every transport promises, and let nobody in who does not belong.

mod common;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::{BoxFuture, ready};
use quorate_transport::{
    BindError, CloseReason, ClusterCa, ConnectionConfig, Credentials, Frame, Hello, Lane, Link, LinkError,
    TcpTransport, Transport,
    codec::{decode_close, encode_hello, encode_lane},
    conformance::{self, Factory, Profile},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::common::{
    Authorities, Kind, Replace,
    counters::Counters,
    lies::{HEADER_BOMB, ends_its_link_alone},
    settings, strangers,
};

#[derive(Default)]
struct Tcp(Authorities);

impl Factory for Tcp {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let credentials = self.0.credentials(&profile);
        let config = settings(|_| {}).with_frames(profile.frames);
        let transport = TcpTransport::bind(credentials, profile.hello, config).expect("any port");
        Box::pin(ready(Arc::new(transport) as _))
    }
}

#[tokio::test]
async fn tcp_keeps_every_promise() {
    conformance::run(&Tcp::default()).await;
}

impl Kind for Tcp {
    fn bind_replaceable(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<(Arc<dyn Transport>, Replace), BindError> {
        let transport = Arc::new(TcpTransport::bind(credentials, hello, config)?);
        let other = Arc::clone(&transport);
        Ok((transport, Box::new(move |credentials| other.replace_credentials(credentials))))
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
}

refused_tests! { Tcp::default() }
renewal_tests! { Tcp::default() }
link_tests! { Tcp::default() }

/// Somebody who speaks for himself.
async fn connect(tls: rustls::ClientConfig, to: SocketAddr, says: &[&[u8]]) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(to).await.expect("it listens");
    let name = "prod.quorate.internal".try_into().expect("a good name");
    let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, socket).await.expect("it belongs here");
    stream.write_all(&says.concat()).await.expect("it is read");
    stream
}

/// A link that n5 has opened by hand: its first connection, its token, and what n2 sees of it.
struct ByHand {
    ca: ClusterCa,
    listener: Arc<dyn Transport>,
    link: Arc<dyn Link>,
    token: [u8; 16],
    first: TlsStream<TcpStream>,
}

impl ByHand {
    async fn new() -> Self {
        let ca = common::authority("prod");
        let listener = common::bind(&Tcp::default(), common::node(&ca, 2), common::config());
        let hello = encode_hello(&common::greeting(&common::node(&ca, 5))).expect("it is short");
        let wants_link: &[u8] = &[0, 10, 0, 0, 0];
        let tls = strangers::tls_of_node(&ca, 5);
        let mut first = connect(tls, listener.local_addr(), &[wants_link, &hello]).await;
        let link = listener.accept().await.expect("it is open");
        let mut answer = [0; 17];
        first.read_exact(&mut answer).await.expect("it is let in");
        let [0, token @ ..] = answer else { panic!("it was refused") };
        Self { ca, listener, link, token, first }
    }

    /// A connection of this node that shows a token and wants to be lane data 1.
    async fn lane(&self, node: u64, token: &[u8; 16]) -> TlsStream<TcpStream> {
        let (wants_lane, name) = ([1], encode_lane(Lane::Data(1)));
        let tls = strangers::tls_of_node(&self.ca, node);
        connect(tls, self.listener.local_addr(), &[&wants_lane, token, &name]).await
    }
}

#[tokio::test]
async fn a_token_counts_only_with_the_certificate_it_was_given_for() {
    let (counters, _guard) = Counters::install();
    let by_hand = ByHand::new().await;
    let token = by_hand.token;
    for (node, token) in [(6, token), (5, [0; 16])] {
        let mut refused = by_hand.lane(node, &token).await;
        assert!(!refused.read(&mut [0; 1]).await.is_ok_and(|bytes| bytes > 0), "it was let in");
    }
    assert_eq!(counters.refused("no_such_link"), 2);
    let mut lane = by_hand.lane(5, &token).await;
    assert_eq!(lane.read_u8().await.expect("it is let in"), 0);
    let (name, _receiver) = by_hand.link.accept().await.expect("the link stands");
    assert_eq!(name, Lane::Data(1));
}

#[tokio::test]
async fn a_lane_that_breaks_off_takes_its_link_with_it() {
    let by_hand = ByHand::new().await;
    let mut lane = by_hand.lane(5, &by_hand.token).await;
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
    let mut by_hand = ByHand::new().await;
    by_hand.first.write_all(&[9; 100]).await.expect("it is read");
    assert!(matches!(by_hand.link.closed().await, LinkError::Violation(_)));
    assert_eq!(counters.get("quorate_links_violated_total"), 1);
}

#[tokio::test]
async fn a_lie_on_a_lane_ends_its_link_alone() {
    let (counters, _guard) = Counters::install();
    let mut by_hand = ByHand::new().await;
    let mut lane = by_hand.lane(5, &by_hand.token).await;
    lane.write_all(&HEADER_BOMB).await.expect("it is let in");
    let told = async {
        let mut said = Vec::new();
        // It may hang up without the end that TLS has for this.
        let _ = by_hand.first.read_to_end(&mut said).await;
        // What it said last is the reason, as a record of its own.
        let begins = (0..said.len()).find_map(|at| match decode_close(&said[at..]) {
            CloseReason::Violation(why) if why.starts_with("a header") => Some(why),
            _ => None,
        });
        CloseReason::Violation(begins.expect("it said why"))
    };
    let at = (&by_hand.ca, &*by_hand.listener);
    ends_its_link_alone(&Tcp::default(), at, &by_hand.link, told, counters).await;
}
