//! Links over QUIC.
//!
//! A link is one QUIC connection. The hellos are exchanged on a bidirectional stream, the only one;
//! each direction of a lane is a unidirectional stream. Three things keep control traffic from
//! waiting behind data: streams have priorities, each stream has a flow-control window of its own,
//! and no window is shared by the streams of a connection, so that lanes nobody reads hold up
//! nobody else. Datagrams go ahead of all streams.

mod accept;
mod congestion;
mod departures;
mod dial;
mod endpoint;
mod error;
mod lane;
mod link;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use quinn::VarInt;
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, mpsc, watch},
    time::timeout,
};

use self::{departures::Departures, link::Shared};
use crate::{
    BindError, CloseReason, ConnectError, ConnectionConfig, Credentials, Endpoint, Hello, Link, Transport,
    codec::encode_close,
    net::{Greeter, Task, canonical, checked_greeter},
    tls::Tls,
};

#[cfg(test)]
mod tests;

/// How long a transport that is closed waits for what was sent before to arrive, and then for the
/// peers of its links to learn of the end.
const LINGER: Duration = Duration::from_secs(1);

/// The code of every close: the reason says the rest.
const CLOSED: VarInt = VarInt::from_u32(0);

/// A transport whose links are QUIC connections between holders of certificates of one cluster.
///
/// Everything is driven on the tokio runtime on which it was made; links and lanes can be used from
/// any.
///
/// ```
/// use quorate_membership::{Incarnation, NodeId};
/// use quorate_transport::{
///     ClusterCa, ConnectionConfig, Endpoint, Frame, Hello, Lane, QuicTransport, Transport, Validity,
/// };
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let ca = ClusterCa::create("example", Validity::days(3650))?;
/// let node = |number| -> Result<_, Box<dyn std::error::Error>> {
///     let credentials = ca.issue_node(NodeId::new(number), Validity::days(365))?;
///     let hello = Hello {
///         versions: (1, 1),
///         features: 0,
///         cluster: "example".to_owned(),
///         incarnation: Incarnation::new(1),
///         listens: Some(([127, 0, 0, 1], 0).into()),
///     };
///     Ok(QuicTransport::bind(credentials, hello, ConnectionConfig::default())?)
/// };
/// let (one, two) = (node(1)?, node(2)?);
/// let to = Endpoint { node: Some(NodeId::new(2)), addr: two.local_addr() };
/// let (here, there) = tokio::join!(one.connect(&to), two.accept());
/// let (here, there) = (here?, there.expect("it is open"));
/// assert_eq!(there.peer().member.node, NodeId::new(1));
///
/// let mut sender = here.open(Lane::Control).await?;
/// sender.send(&mut [Frame { header: "greeting".into(), body: vec!["hello".into()] }].into()).await?;
/// let (lane, mut receiver) = there.accept().await?;
/// let mut frames = Vec::new();
/// receiver.recv(&mut frames).await?;
/// assert_eq!((lane, &frames[0].body[0][..]), (Lane::Control, &b"hello"[..]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct QuicTransport {
    inner: Arc<Inner>,
    incoming: AsyncMutex<mpsc::Receiver<Arc<dyn Link>>>,
}

/// What the transport and its handshakes share.
struct Inner {
    endpoint: quinn::Endpoint,
    tls: Tls,
    greeter: Greeter,
    config: ConnectionConfig,
    runtime: Handle,
    addr: SocketAddr,
    links: Mutex<Vec<Weak<Shared>>>,
    departures: Departures,
    closed: watch::Sender<bool>,
}

impl QuicTransport {
    /// Starts a transport that listens where the hello says, or where the configuration says
    /// otherwise. With port 0 any free port is taken and put into the hello. Without an address in
    /// the hello, and for clients always, it only dials.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind(credentials: Credentials, hello: Hello, config: ConnectionConfig) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let listens = hello.listens.is_some();
        let (socket, addr) = endpoint::bind_socket(config.bind().or(hello.listens))?;
        let greeter = checked_greeter(&credentials, hello, addr, &config)?;
        let tls = Tls::new(credentials)?;
        let endpoint =
            endpoint::start(socket, listens, &tls, &config).map_err(|source| BindError::io(addr, source))?;
        let (links, departures) = (Mutex::default(), Departures::new(runtime.clone()));
        let closed = watch::Sender::new(false);
        let inner =
            Arc::new(Inner { endpoint, tls, greeter, config, runtime, addr, links, departures, closed });
        let (queue, incoming) = mpsc::channel(config.handshakes_max());
        inner.runtime.spawn(accept::accept_links(Arc::clone(&inner), queue));
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

    /// Remembers a link until it is gone, so that it can be closed with the transport.
    fn remember(&self, link: &Arc<Shared>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
        drop(links);
        if self.is_closed() {
            link.close(CloseReason::Stopping);
        }
    }

    /// Closes all that there is, at once.
    fn abort(&self, reason: &CloseReason) {
        let links: Vec<_> = {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.drain(..).filter_map(|link| link.upgrade()).collect()
        };
        for link in links {
            link.close(reason.clone());
        }
        self.endpoint.close(CLOSED, &encode_close(reason));
    }

    async fn shut(&self, reason: CloseReason) {
        if !self.closed.send_replace(true) {
            let links: Vec<_> = {
                let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
                links.iter().filter_map(Weak::upgrade).collect()
            };
            let _ = timeout(LINGER, join_all(links.iter().map(|link| link.flush()))).await;
            self.abort(&reason);
        }
        let departed = async {
            tokio::select! {
                () = self.departures.over() => {}
                // Nothing is read or sent any more, so nothing is to be expected.
                () = self.endpoint.wait_idle() => {}
            }
        };
        let _ = timeout(LINGER, departed).await;
    }
}

impl Transport for QuicTransport {
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
            tokio::select! {
                biased;
                () = self.inner.until_closed() => None,
                link = async { self.incoming.lock().await.recv().await } => link,
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

impl Drop for QuicTransport {
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
