//! Links within one process: for tests, simulations with real actors, and embedded clusters.

mod link;
mod pipe;

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::future::BoxFuture;
use quorate_membership::{Member, NodeId};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use self::link::{MemoryLink, Side};
use crate::{
    CloseReason, ConnectError, Endpoint, FrameConfig, Hello, Link, PeerInfo, Refusal, Role, Transport,
    codec::{Agreed, Greeting, agree},
};

/// How much a memory transport holds back for its peers.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// Limits of frames.
    pub frames: FrameConfig,
    /// Bytes of frames that wait on a lane for its receiver before the sender has to wait.
    /// Default 1 MiB. A longer frame is let onto an empty lane.
    pub lane_bytes_max: usize,
    /// Lanes that wait to be accepted before opening another has to wait. Default 256.
    pub lanes_max: usize,
    /// Datagrams that wait to be taken before the oldest is dropped. Default 1024.
    pub datagrams_max: usize,
    /// The most bytes of a datagram. Default 1200: what every network carries.
    pub datagram_bytes_max: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            frames: FrameConfig::default(),
            lane_bytes_max: 1 << 20,
            lanes_max: 256,
            datagrams_max: 1024,
            datagram_bytes_max: 1200,
        }
    }
}

/// Links that wait to be accepted before further peers have to wait.
const BACKLOG_LINKS: usize = 128;

/// What connects the memory transports of a process. Cloning it gives another handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    listeners: HashMap<SocketAddr, Arc<Local>>,
    last_port: u16,
}

impl Registry {
    fn free_addr(&mut self) -> io::Result<SocketAddr> {
        for _ in 0..u16::MAX {
            self.last_port = self.last_port.checked_add(1).unwrap_or(1);
            let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.last_port);
            if !self.listeners.contains_key(&addr) {
                return Ok(addr);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// One transport, as its peers see it.
struct Local {
    node: NodeId,
    role: Role,
    hello: Hello,
    addr: SocketAddr,
    config: MemoryConfig,
    incoming: mpsc::Sender<Arc<dyn Link>>,
    sides: Mutex<Vec<Weak<Side>>>,
    closed: watch::Sender<bool>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.node, self.addr)
    }
}

impl Local {
    fn greeting(&self) -> Greeting {
        Greeting { hello: self.hello.clone(), limits: (&self.config.frames).into() }
    }

    fn describe(&self, agreed: Agreed, dialed_us: bool) -> PeerInfo {
        PeerInfo {
            member: Member::new(self.node, self.hello.incarnation),
            role: self.role,
            version: agreed.version,
            features: agreed.features,
            addr: self.addr,
            listens: self.hello.listens,
            dialed_us,
        }
    }

    /// Waits until the transport is closed.
    async fn ended(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn remember(&self, side: &Arc<Side>) {
        let mut sides = lock(&self.sides);
        sides.retain(|side| side.strong_count() > 0);
        sides.push(Arc::downgrade(side));
    }
}

/// A transport whose peers are the other transports of one [`MemoryNetwork`].
#[derive(Debug)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    local: Arc<Local>,
    incoming: AsyncMutex<mpsc::Receiver<Arc<dyn Link>>>,
}

impl MemoryTransport {
    /// Joins the network as this node, listening where the hello says; with port 0 any free port is
    /// taken and put into the hello. Without an address it only dials, as clients do.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another transport listens there.
    pub fn new(
        network: &MemoryNetwork,
        node: NodeId,
        role: Role,
        mut hello: Hello,
        config: MemoryConfig,
    ) -> io::Result<Self> {
        let (sender, incoming) = mpsc::channel(BACKLOG_LINKS);
        let mut registry = lock(&network.0);
        let addr = match hello.listens {
            Some(addr) if addr.port() != 0 => addr,
            Some(_) | None => registry.free_addr()?,
        };
        if registry.listeners.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        hello.listens = hello.listens.map(|_| addr);
        let listens = hello.listens.is_some();
        let (sides, closed) = (Mutex::default(), watch::Sender::new(false));
        let local = Arc::new(Local { node, role, hello, addr, config, incoming: sender, sides, closed });
        if listens {
            registry.listeners.insert(addr, Arc::clone(&local));
        }
        drop(registry);
        Ok(Self { network: network.clone(), local, incoming: AsyncMutex::new(incoming) })
    }

    async fn dial(&self, to: &Endpoint) -> Result<Arc<dyn Link>, ConnectError> {
        let addr = to.addr;
        if *self.local.closed.borrow() {
            return Err(ConnectError::Closed);
        }
        let peer = lock(&self.network.0).listeners.get(&addr).cloned();
        let peer = peer.ok_or(ConnectError::Unreachable(addr))?;
        if let Some(wanted) = to.node.filter(|wanted| *wanted != peer.node) {
            return Err(ConnectError::WrongNode { addr, wanted, found: peer.node });
        }
        let agreed = agree(&self.local.greeting(), &peer.greeting()).map_err(|disagreement| {
            Refusal::Disagreement(disagreement.clone()).report(self.local.addr);
            disagreement.at(addr)
        })?;
        let room = tokio::select! {
            biased;
            () = self.local.ended() => return Err(ConnectError::Closed),
            () = peer.ended() => return Err(ConnectError::Unreachable(addr)),
            room = peer.incoming.reserve() => room.map_err(|_| ConnectError::Unreachable(addr))?,
        };
        let (ours, theirs) = Side::pair(
            (self.local.describe(agreed, true), self.local.config),
            (peer.describe(agreed, false), peer.config),
        );
        self.local.remember(&ours);
        peer.remember(&theirs);
        // Either transport may have been closed in the meantime, before it knew of this link.
        for transport in [&self.local, &peer] {
            if *transport.closed.borrow() {
                ours.close(CloseReason::Stopping);
            }
        }
        room.send(Arc::new(MemoryLink(theirs)));
        Ok(Arc::new(MemoryLink(ours)))
    }

    fn shut(&self, reason: &CloseReason) {
        if self.local.closed.send_replace(true) {
            return;
        }
        let mut registry = lock(&self.network.0);
        if registry.listeners.get(&self.local.addr).is_some_and(|local| Arc::ptr_eq(local, &self.local)) {
            registry.listeners.remove(&self.local.addr);
        }
        drop(registry);
        for side in lock(&self.local.sides).drain(..).filter_map(|side| side.upgrade()) {
            side.close(reason.clone());
        }
    }
}

impl Transport for MemoryTransport {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        Box::pin(self.dial(to))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = self.local.ended() => None,
                link = async { self.incoming.lock().await.recv().await } => link,
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local.addr
    }

    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.shut(&reason) })
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.shut(&CloseReason::Stopping);
    }
}

/// No code panics while it holds one of these locks; should one, the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
