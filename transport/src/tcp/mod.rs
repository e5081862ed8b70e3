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
    BindError, CloseReason, ConnectError, ConnectionConfig, Credentials, Endpoint, Hello, Link, LinkError,
    Transport,
    net::{Greeter, Task, canonical, checked_greeter},
    tls::Tls,
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
    tls: Tls,
    greeter: Greeter,
    config: ConnectionConfig,
    runtime: Handle,
    addr: SocketAddr,
    links: Mutex<Links>,
    closed: watch::Sender<bool>,
    /// Whether the port is free again.
    released: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Links {
    all: Vec<Weak<Shared>>,
    /// Those that were accepted, for the connections that join them.
    by_token: HashMap<Token, Weak<Shared>>,
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
        let greeter = checked_greeter(&credentials, hello, addr, &config)?;
        let tls = Tls::new(credentials)?;
        let (links, closed) = (Mutex::default(), watch::Sender::new(false));
        let released = watch::Sender::new(listener.is_none());
        let inner = Arc::new(Inner { tls, greeter, config, runtime, addr, links, closed, released });
        let (queue, incoming) = mpsc::channel(config.handshakes_max());
        if let Some((listener, _)) = listener {
            inner.runtime.spawn(accept::accept_links(Arc::clone(&inner), listener, queue));
        }
        Ok(Self { inner, incoming: AsyncMutex::new(incoming) })
    }
}

impl Inner {
    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn until_closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Remembers a link until it is gone, so that it can be closed with the transport, and by its
    /// token if others are to join it.
    fn remember(&self, link: &Arc<Shared>, token: Option<Token>) {
        let mut links = self.links();
        links.all.retain(|link| link.strong_count() > 0);
        links.all.push(Arc::downgrade(link));
        if let Some(token) = token {
            links.by_token.retain(|_, link| link.strong_count() > 0);
            links.by_token.insert(token, Arc::downgrade(link));
        }
        drop(links);
        if self.is_closed() {
            link.close(CloseReason::Stopping);
        }
    }

    /// The link with this token, if it stands.
    fn link_of(&self, token: Token) -> Option<Arc<Shared>> {
        self.links().by_token.get(&token)?.upgrade()
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all links at once, and gives those that are still telling their peers.
    fn abort(&self, reason: &CloseReason) -> Vec<Arc<Shared>> {
        let links: Vec<_> = self.links().all.drain(..).filter_map(|link| link.upgrade()).collect();
        for link in &links {
            link.close(reason.clone());
        }
        links
    }

    async fn shut(&self, reason: CloseReason) {
        self.closed.send_replace(true);
        let links = self.abort(&reason);
        let told = join_all(links.iter().map(|link| link.until_told()));
        let mut released = self.released.subscribe();
        let gone = async { drop(released.wait_for(|released| *released).await) };
        let _ = timeout(LINGER, async { tokio::join!(told, gone) }).await;
    }
}

impl Transport for TcpTransport {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        if self.inner.is_closed() {
            return Box::pin(async { Err(ConnectError::Closed) });
        }
        let dialling = dial::dial(Arc::clone(&self.inner), *to);
        let task = Task::spawn(&self.inner.runtime, dialling);
        Box::pin(async { task.await.unwrap_or(Err(ConnectError::Closed)) })
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
                () = self.inner.until_closed() => None,
                link = next => Some(link),
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        canonical(self.inner.addr)
    }

    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()> {
        let inner = Arc::clone(&self.inner);
        let task = Task::spawn(&self.inner.runtime, async move { inner.shut(reason).await });
        Box::pin(async { task.await.unwrap_or(()) })
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        if !self.inner.closed.send_replace(true) {
            self.inner.abort(&CloseReason::Stopping);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.tls.identity(), self.addr)
    }
}

/// A link is lost for what happened to one of its connections.
fn lost(what: &str, why: &dyn fmt::Display) -> LinkError {
    LinkError::Lost(format!("{what}: {why}"))
}
