//! Links over TCP keep what every transport promises, and let nobody in who does not belong.

mod common;

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::{BoxFuture, ready};
use quorate_transport::{
    BindError, ConnectionConfig, Credentials, Hello, TcpTransport, Transport,
    conformance::{self, Factory, Profile},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use self::common::{Authorities, Kind, settings};

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
    fn bind(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<Arc<dyn Transport>, BindError> {
        Ok(Arc::new(TcpTransport::bind(credentials, hello, config)?))
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
link_tests! { Tcp::default() }
