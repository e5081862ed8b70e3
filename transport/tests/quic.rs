//! Links over QUIC keep what every transport promises, and let nobody in who does not belong.

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use futures_util::future::{BoxFuture, ready};
use quinn::crypto::rustls::QuicClientConfig;
use quorate_transport::{
    BindError, ConnectionConfig, Credentials, Endpoint, Hello, Lane, QuicTransport, Transport,
    conformance::{self, Factory, Profile},
};
use tokio::sync::oneshot;

use self::common::{Authorities, Kind, settings};

#[derive(Default)]
struct Quic(Authorities);

impl Factory for Quic {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let credentials = self.0.credentials(&profile);
        let config = settings(|settings| settings.handshake_timeout_ms = 1_000).with_frames(profile.frames);
        let transport = QuicTransport::bind(credentials, profile.hello, config).expect("any port");
        Box::pin(ready(Arc::new(transport) as _))
    }
}

#[tokio::test]
async fn quic_keeps_every_promise() {
    conformance::run(&Quic::default()).await;
}

impl Kind for Quic {
    fn bind(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<Arc<dyn Transport>, BindError> {
        Ok(Arc::new(QuicTransport::bind(credentials, hello, config)?))
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
}

socket_tests! { Quic::default();
    a_node_of_another_cluster_is_refused
    an_expired_certificate_is_refused
    a_certificate_of_the_future_is_refused
    a_listener_with_an_expired_certificate_is_refused
    a_self_made_certificate_is_refused
    a_peer_without_a_certificate_is_refused
    another_protocol_is_refused
    a_client_is_refused_where_only_nodes_are_let_in
    a_number_that_was_given_twice_is_refused
    an_insider_that_says_nothing_is_given_up
    an_insider_that_babbles_is_refused
    a_hello_of_another_cluster_than_the_certificate_is_refused
    arbitrary_bytes_at_the_port_disturb_nobody
    silent_peers_keep_nobody_out
    what_cannot_be_bound_is_said
    a_lie_on_a_lane_ends_its_link_alone
}

#[tokio::test]
async fn a_link_outlives_the_runtime_that_dialled_it() {
    let ca = common::authority("prod");
    let bind = |number| {
        let credentials = common::node(&ca, number);
        let hello = common::hello(&credentials);
        Arc::new(QuicTransport::bind(credentials, hello, common::config()).expect("any port"))
    };
    let (dialer, listener) = (bind(1), bind(2));
    let to = Endpoint { node: None, addr: listener.local_addr() };
    let (done, dialled) = oneshot::channel();
    let elsewhere = std::thread::spawn(move || {
        let short_lived = tokio::runtime::Builder::new_current_thread().build().expect("no I/O of its own");
        let link = short_lived.block_on(dialer.connect(&to)).expect("it belongs here");
        drop(short_lived);
        done.send((dialer, link)).expect("it is waited for");
    });
    let (dialled, theirs) = tokio::join!(dialled, listener.accept());
    let ((_dialer, link), theirs) = (dialled.expect("it was dialled"), theirs.expect("it is open"));
    elsewhere.join().expect("it does not panic");
    let mut lane = link.open(Lane::Control).await.expect("the link stands");
    lane.finish().await.expect("somebody drives it");
    theirs.accept().await.expect("somebody drives it");
}
