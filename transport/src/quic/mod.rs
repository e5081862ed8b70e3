//! Links over QUIC.
//!
//! A link is one QUIC connection. The hellos are exchanged on a bidirectional stream, the only one;
//! each direction of a lane is a unidirectional stream. Three things keep control traffic from
//! waiting behind data: streams have priorities, each stream has a flow-control window of its own,
//! and no window is shared by the streams of a connection, so that lanes nobody reads hold up
//! nobody else. Datagrams go ahead of all streams.

mod accept;
mod carried;
mod congestion;
mod departures;
mod dial;
mod endpoint;
mod error;
mod lane;
mod link;
mod lossy;
mod traffic;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use quinn::VarInt;
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, mpsc},
    time::timeout,
};

pub use self::traffic::Traffic;
use self::{departures::Departures, link::Shared};
use crate::{
    BindError, CloseReason, ConnectError, ConnectionConfig, CredentialError, Credentials, Endpoint, Hello,
    Link, Transport,
    codec::encode_close,
    faults::PacketLoss,
    net::{Base, Task, canonical},
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod way;

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
/// sender.send(&mut [Frame { header: "greeting".into(), body: vec!["hello".into()].into() }].into()).await?;
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
    base: Base<Shared>,
    endpoint: quinn::Endpoint,
    departures: Departures,
}

impl QuicTransport {
    /// Starts a transport that listens where the hello says, or where the configuration says
    /// otherwise. With port 0 any free port is taken and put into the hello. Without an address in
    /// the hello, and for clients always, it only dials.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind(credentials: Credentials, hello: Hello, config: ConnectionConfig) -> Result<Self, BindError> {
        Self::bind_to(credentials, hello, config, None)
    }

    /// The same with a network that loses packets on their way here, for tests: what QUIC does about it is done.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind_lossy(
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
        loss: PacketLoss,
    ) -> Result<Self, BindError> {
        Self::bind_to(credentials, hello, config, Some(loss))
    }

    fn bind_to(
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
        loss: Option<PacketLoss>,
    ) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let listens = hello.listens.is_some();
        let (socket, addr) = endpoint::bind_socket(config.bind().or(hello.listens))?;
        let base = Base::new(runtime.clone(), credentials, hello, addr, config)?;
        let endpoint = endpoint::start(socket, listens, &base.tls.get(), &config, loss)
            .map_err(|source| BindError::io(addr, source))?;
        let departures = Departures::new(runtime.clone());
        let inner = Arc::new(Inner { base, endpoint, departures });
        let (queue, incoming) = mpsc::channel(config.handshakes_max());
        runtime.spawn(accept::accept_links(Arc::clone(&inner), queue));
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
    /// Closes all that there is, at once.
    fn abort(&self, reason: &CloseReason) {
        self.base.close_links(reason);
        self.endpoint.close(CLOSED, &encode_close(reason));
    }

    async fn shut(&self, reason: CloseReason) {
        if self.base.begin_close() {
            let links = self.base.links();
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
        self.inner.base.dial(dial::dial(Arc::clone(&self.inner), *to))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = self.inner.base.until_closed() => None,
                link = async { self.incoming.lock().await.recv().await } => link,
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

impl Drop for QuicTransport {
    fn drop(&mut self) {
        if self.inner.base.begin_close() {
            self.inner.abort(&CloseReason::Stopping);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)
    }
}
