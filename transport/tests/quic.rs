//! Links over QUIC keep what every transport promises, and let nobody in who does not belong.

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use futures_util::future::{BoxFuture, ready};
use quinn::crypto::rustls::QuicClientConfig;
use quorate_transport::{
    BindError, ConnectionConfig, Credentials, Hello, QuicTransport, Transport,
    conformance::{self, Factory, Profile},
};

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

refused_tests! { Quic::default() }
link_tests! { Quic::default() }
