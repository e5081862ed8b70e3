//! Links over TCP, with the same TLS as over QUIC.
//!
//! A link is a first connection ([`control`]) and one more for each direction of a lane, so that
//! each lane has the flow control of its own connection. The side that has dialled the link dials
//! all of them, since the other may not be able to: to send on a lane, the accepting side asks for
//! a connection. A token joins them to their link ([`preamble`]).
//!
//! Compared with QUIC, opening a lane costs some round trips, and a lost packet holds up one lane
//! only as well, but each lane probes the network's capacity by itself. It is there for networks
//! that do not let UDP through.

mod accept;
mod chunks;
mod control;
mod datagrams;
mod dial;
mod error;
mod lane;
mod link;
mod opening;
mod preamble;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    sync::{Mutex as AsyncMutex, mpsc, watch},
    time::timeout,
};
use tokio_rustls::TlsStream;

use self::{link::Shared, preamble::Token};
use crate::{
    BindError, CloseReason, ConnectError, ConnectionConfig, CredentialError, Credentials, Endpoint, Hello,
    Link, LinkError, Transport,
    net::{Base, Task, canonical},
};

/// How long the end of a link may take to reach the peer.
const LINGER: Duration = Duration::from_secs(1);

/// A connection to a peer with its TLS.
type Stream = TlsStream<TcpStream>;

/// A transport whose links are TCP connections with TLS between holders of certificates of one
/// cluster.
///
/// Everything is driven on the tokio runtime on which it was made; links and lanes can be used from
/// any. Windows of lanes are those of the kernel, `net.ipv4.tcp_rmem` and its like; of
/// [`ConnectionConfig::lane_window_bytes`] nothing is used.
#[derive(Debug)]
pub struct TcpTransport {
    inner: Arc<Inner>,
    incoming: AsyncMutex<mpsc::Receiver<Arc<dyn Link>>>,
}

/// What the transport, its handshakes and its links share.
struct Inner {
    base: Base<Shared>,
    /// Links that were accepted, for the connections that join them.
    by_token: Mutex<HashMap<Token, Weak<Shared>>>,
    /// Whether the port is free again.
    released: watch::Sender<bool>,
}

impl TcpTransport {
    /// Starts a transport that listens where the hello says, or where the configuration says
    /// otherwise. With port 0 any free port is taken and put into the hello. Without an address in
    /// the hello, and for clients always, it only dials, and its local address is unspecified.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind(credentials: Credentials, hello: Hello, config: ConnectionConfig) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let listens = hello.listens.map(|addr| config.bind().unwrap_or(addr));
        let listener = listens.map(accept::listen).transpose()?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = listener.as_ref().map_or(nowhere, |(_, addr)| *addr);
        let base = Base::new(runtime.clone(), credentials, hello, addr, config)?;
        let (by_token, released) = (Mutex::default(), watch::Sender::new(listener.is_none()));
        let inner = Arc::new(Inner { base, by_token, released });
        let (queue, incoming) = mpsc::channel(config.handshakes_max());
        if let Some((listener, _)) = listener {
            runtime.spawn(accept::accept_links(Arc::clone(&inner), listener, queue));
        }
        Ok(Self { inner, incoming: AsyncMutex::new(incoming) })
    }

    /// Shows other credentials of the same holder from now on, and believes whom they believe: before
    /// the present ones expire, or with a longer list of revoked certificates. Links that stand stay,
    /// but for those whose certificate is on the list.
    ///
    /// # Errors
    /// [`CredentialError`]; then nothing has changed.
    pub fn replace_credentials(&self, credentials: Credentials) -> Result<(), CredentialError> {
        self.inner.base.replace_credentials(credentials)
    }
}

impl Inner {
    /// Lets others join an accepted link by its token.
    fn give_token(&self, link: &Arc<Shared>, token: Token) {
        let mut by_token = self.by_token();
        by_token.retain(|_, link| link.strong_count() > 0);
        by_token.insert(token, Arc::downgrade(link));
    }

    /// The link with this token, if it stands.
    fn link_of(&self, token: Token) -> Option<Arc<Shared>> {
        self.by_token().get(&token)?.upgrade()
    }

    fn by_token(&self) -> MutexGuard<'_, HashMap<Token, Weak<Shared>>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn shut(&self, reason: CloseReason) {
        self.base.begin_close();
        let links = self.base.close_links(&reason);
        let told = join_all(links.iter().map(|link| link.until_told()));
        let mut released = self.released.subscribe();
        let gone = async { drop(released.wait_for(|released| *released).await) };
        let _ = timeout(LINGER, async { tokio::join!(told, gone) }).await;
    }
}

impl Transport for TcpTransport {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        self.inner.base.dial(dial::dial(Arc::clone(&self.inner), *to))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async {
            let next = async {
                match self.incoming.lock().await.recv().await {
                    Some(link) => link,
                    None => std::future::pending().await, // Nobody listens, so nobody comes.
                }
            };
            tokio::select! {
                biased;
                () = self.inner.base.until_closed() => None,
                link = next => Some(link),
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        canonical(self.inner.base.addr)
    }

    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()> {
        let inner = Arc::clone(&self.inner);
        let task = Task::spawn(&self.inner.base.runtime, async move { inner.shut(reason).await });
        Box::pin(async { task.await.unwrap_or(()) })
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        if self.inner.base.begin_close() {
            self.inner.base.close_links(&CloseReason::Stopping);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)
    }
}

/// A link is lost for what happened to one of its connections.
fn lost(what: &str, why: &dyn fmt::Display) -> LinkError {
    LinkError::Lost(format!("{what}: {why}"))
}
