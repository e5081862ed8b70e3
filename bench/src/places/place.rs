//! A node on a thread of its own, and the group that it carries.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_rt::Arbiter;
use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, Node, NodeConfig, NodeSettings,
    protocols::Event,
    transport::{
        ConnectionConfig, Credentials, QuicTransport, Traffic, Transport,
        faults::{Faults, FaultyTransport, PacketLoss},
    },
};
use tokio::sync::oneshot;

use crate::BenchError;

/// The group that every node of a benchmark carries.
pub(crate) const GROUP: &str = "bench";

/// How long the founding of the group, or the end of a node, may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that may wait for a reader. A round's messages are at most as many as a group's window
/// holds before they are read, or the benchmark would not be one of groups.
const EVENTS: EventOptions = EventOptions { capacity: 1 << 20, bytes: 64 << 20, behind: Behind::Skip };

/// A node on a thread of its own, and the group that it carries.
pub(crate) struct Place {
    arbiter: Mutex<Option<Arbiter>>,
    node: Node,
    group: Group,
    transport: Arc<QuicTransport>,
}

/// What is wrong with the network of a node.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Nothing,
    /// Whatever these say, above QUIC.
    Faults(Faults),
    /// Of a hundred packets so many are lost on their way to the node, below QUIC.
    LosesPercent(u8),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a node at {}", self.addr())
    }
}

impl Place {
    /// Starts a node whose settings name the group. Within an actix system only.
    pub(crate) async fn start(
        settings: NodeSettings,
        credentials: Credentials,
        trouble: Trouble,
    ) -> Result<Self, BenchError> {
        let arbiter = Arbiter::new();
        let opening = move || open(settings, credentials, trouble, ConnectionConfig::default());
        let (node, transport) = on(&arbiter, opening).result().await?;
        let group = node.group(GROUP).await.ok_or_else(|| BenchError::ours("the group does not run"))?;
        Ok(Self { arbiter: Mutex::new(Some(arbiter)), node, group, transport })
    }

    /// Waits until the group has so many members.
    pub(crate) async fn founded(&self, members: usize) -> Result<(), BenchError> {
        let founded = self.at(move |group| founded(group, members));
        tokio::time::timeout(PATIENCE, founded).await.map_err(|_| BenchError::Stuck(PATIENCE))?
    }

    pub(crate) fn node(&self) -> Node {
        self.node.clone()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    /// What its links have sent so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.transport.traffic()
    }

    /// Reads the events of the group, from now on.
    pub(crate) async fn events(&self) -> Result<GroupEvents, BenchError> {
        self.group.events(EVENTS).await.map_err(BenchError::ours)
    }

    /// Runs a piece of a benchmark on the thread of the node and waits for it.
    pub(crate) async fn at<T, F>(
        &self,
        work: impl FnOnce(Group) -> F + Send + 'static,
    ) -> Result<T, BenchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BenchError>> + 'static,
    {
        let group = self.group.clone();
        let task = {
            let arbiter = self.arbiter.lock().unwrap_or_else(PoisonError::into_inner);
            let arbiter = arbiter.as_ref().ok_or_else(|| BenchError::ours("the node was stopped"))?;
            on(arbiter, move || work(group))
        };
        task.result().await
    }

    /// Stops the node.
    pub(crate) async fn stop(&self) {
        // A node that does not stop is no reason to lose the figures.
        let _ = tokio::time::timeout(PATIENCE, self.node.stop()).await;
    }

    /// Ends its thread.
    pub(crate) fn end(&self) {
        let arbiter = self.arbiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(arbiter) = arbiter {
            arbiter.stop();
            let _ = arbiter.join();
        }
    }
}

/// Makes a future on the thread of an arbiter and runs it there.
pub(crate) fn on<T, F>(arbiter: &Arbiter, work: impl FnOnce() -> F + Send + 'static) -> Task<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BenchError>> + 'static,
{
    let (done, result) = oneshot::channel();
    // Where the thread has ended, `done` is dropped, which the task reports.
    arbiter.spawn_fn(move || {
        let work = work();
        actix_rt::spawn(async move {
            // Nobody waits for it any more once the round was given up.
            let _ = done.send(work.await);
        });
    });
    Task(result)
}

/// What runs on the thread of an arbiter.
pub(crate) struct Task<T>(oneshot::Receiver<Result<T, BenchError>>);

impl<T> Task<T> {
    pub(crate) async fn result(self) -> Result<T, BenchError> {
        self.0.await.map_err(|_| BenchError::ours("a thread of the cluster ended"))?
    }
}

/// Starts a node on the present arbiter, over a transport of its own.
pub(crate) async fn open(
    settings: NodeSettings,
    credentials: Credentials,
    trouble: Trouble,
    connection: ConnectionConfig,
) -> Result<(Node, Arc<QuicTransport>), BenchError> {
    let config = NodeConfig::try_from(settings).map_err(BenchError::ours)?;
    let life = config.begin_life().map_err(BenchError::ours)?;
    let hello = config.hello(&life);
    let quic = match trouble {
        Trouble::LosesPercent(percent) => {
            let loss = PacketLoss { percent, seed: config.node().get() };
            QuicTransport::bind_lossy(credentials, hello, connection, loss)
        }
        Trouble::Nothing | Trouble::Faults(_) => QuicTransport::bind(credentials, hello, connection),
    };
    let quic = Arc::new(quic.map_err(BenchError::ours)?);
    let transport: Arc<dyn Transport> = match trouble {
        Trouble::Faults(faults) => {
            Arc::new(FaultyTransport::new(config.node(), Arc::clone(&quic) as _, faults))
        }
        Trouble::Nothing | Trouble::LosesPercent(_) => Arc::clone(&quic) as _,
    };
    let node = Node::start(config, life, transport).await.map_err(BenchError::ours)?;
    Ok((node, quic))
}

/// Waits for a view with so many members.
pub(crate) async fn founded(group: Group, members: usize) -> Result<(), BenchError> {
    let mut events = group.events(EVENTS).await.map_err(BenchError::ours)?;
    let whole = |count: usize, genesis: bool| count == members && !genesis;
    let view = group.view().await.map_err(BenchError::ours)?;
    if view.is_some_and(|view| whole(view.members.len(), view.id.is_genesis())) {
        return Ok(());
    }
    while let Some(event) = events.next().await {
        if let GroupEvent::Event(Event::View(view)) = event
            && whole(view.members.len(), view.id.is_genesis())
        {
            return Ok(());
        }
    }
    Err(BenchError::ours("the group ended"))
}

/// The next message of a round. A round in which the view changes measures something else.
pub(crate) async fn next_message(events: &mut GroupEvents) -> Result<bytes::Bytes, BenchError> {
    loop {
        match events.next().await {
            Some(GroupEvent::Event(Event::Message { payload, .. })) => return Ok(payload),
            Some(GroupEvent::Event(Event::View(view))) => {
                return Err(BenchError::ours(format!("the view changed to {view} during a round")));
            }
            Some(GroupEvent::Missed(count)) => {
                return Err(BenchError::ours(format!("a reader missed {count} events")));
            }
            Some(_) => {}
            None => return Err(BenchError::ours("the group ended")),
        }
    }
}
