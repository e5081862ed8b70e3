//! A group of nodes over QUIC in this process, each on a thread of its own.

use std::{
    fmt,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_rt::Arbiter;
use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, GroupSettings, Node, NodeConfig, NodeSettings,
    protocols::{Event, Order},
    transport::{
        ClusterCa, ConnectionConfig, QuicTransport, Traffic, Transport, Validity,
        faults::{Faults, FaultyTransport, PacketLoss},
    },
};
use tokio::sync::oneshot;

use crate::BenchError;

pub(crate) const CLUSTER: &str = "bench";
/// The group that all of them carry.
pub(crate) const GROUP: &str = "bench";

/// How long the founding of the group may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that may wait for a reader. A round's messages are at most as many as a group's window
/// holds before they are read, or the benchmark would not be one of groups.
const EVENTS: EventOptions = EventOptions { capacity: 1 << 20, bytes: 64 << 20, behind: Behind::Skip };

/// A group of nodes over QUIC, each on a thread of its own.
pub(crate) struct Cluster {
    places: Vec<Place>,
}

/// A node and its thread.
struct Place {
    arbiter: Mutex<Option<Arbiter>>,
    node: Node,
    transport: Arc<QuicTransport>,
    group: Group,
}

/// What is wrong with the network of a cluster.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Nothing,
    /// Whatever these say, above QUIC.
    Faults(Faults),
    /// Of a hundred packets so many are lost on their way to each node, below QUIC.
    LosesPercent(u8),
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes", self.places.len())
    }
}

impl Cluster {
    /// Starts the nodes and waits until all are in one view. Within an actix system only.
    pub(crate) async fn start(
        members: usize,
        order: Order,
        faults: Option<Faults>,
    ) -> Result<Self, BenchError> {
        let trouble = faults.map_or(Trouble::Nothing, Trouble::Faults);
        Self::start_with(members, trouble, |group| group.order(order)).await
    }

    /// The same with any kind of group.
    pub(crate) async fn start_with(
        members: usize,
        trouble: Trouble,
        shape: impl Fn(GroupSettings) -> GroupSettings,
    ) -> Result<Self, BenchError> {
        let ca = Arc::new(ClusterCa::create(CLUSTER, Validity::days(1)).map_err(BenchError::ours)?);
        let mut places: Vec<Place> = Vec::with_capacity(members);
        let mut seeds = Vec::new();
        for number in 1..=members as u64 {
            let arbiter = Arbiter::new();
            let mut settings = NodeSettings::new(number, CLUSTER, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            settings.seeds.clone_from(&seeds);
            settings.groups.push(shape(GroupSettings::new(GROUP, 1..=members as u64)));
            let (ca, trouble) = (Arc::clone(&ca), trouble.clone());
            let opened = on(&arbiter, move || open(settings, ca, trouble, ConnectionConfig::default()));
            let (node, transport) = opened.result().await?;
            seeds.push(transport.local_addr());
            let group = node.group(GROUP).await.ok_or_else(|| BenchError::ours("the group does not run"))?;
            places.push(Place { arbiter: Mutex::new(Some(arbiter)), node, transport, group });
        }
        let cluster = Self { places };
        for index in 0..members {
            let founded = cluster.at(index, move |group| founded(group, members));
            tokio::time::timeout(PATIENCE, founded).await.map_err(|_| BenchError::Stuck(PATIENCE))??;
        }
        Ok(cluster)
    }

    pub(crate) fn members(&self) -> usize {
        self.places.len()
    }

    /// The node of a member.
    pub(crate) fn node(&self, index: usize) -> Node {
        self.places[index].node.clone()
    }

    /// What the links of all nodes have sent so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let all = self.places.iter().map(|place| place.transport.traffic());
        all.fold(Traffic::default(), |sum, more| sum + more)
    }

    /// Reads the events of the group at a member, from now on.
    pub(crate) async fn events(&self, index: usize) -> Result<GroupEvents, BenchError> {
        self.places[index].group.events(EVENTS).await.map_err(BenchError::ours)
    }

    /// Runs a piece of a benchmark on the thread of a member and waits for it.
    pub(crate) async fn at<T, F>(
        &self,
        index: usize,
        work: impl FnOnce(Group) -> F + Send + 'static,
    ) -> Result<T, BenchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BenchError>> + 'static,
    {
        let group = self.places[index].group.clone();
        let task = {
            let arbiter = self.places[index].arbiter.lock().unwrap_or_else(PoisonError::into_inner);
            let arbiter = arbiter.as_ref().ok_or_else(|| BenchError::ours("the cluster was stopped"))?;
            on(arbiter, move || work(group))
        };
        task.result().await
    }

    /// Stops the nodes and their threads.
    pub(crate) async fn stop(&self) {
        for place in &self.places {
            // A node that does not stop is no reason to lose the figures.
            let _ = tokio::time::timeout(PATIENCE, place.node.stop()).await;
        }
        for place in &self.places {
            let arbiter = place.arbiter.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(arbiter) = arbiter {
                arbiter.stop();
                let _ = arbiter.join();
            }
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
    ca: Arc<ClusterCa>,
    trouble: Trouble,
    connection: ConnectionConfig,
) -> Result<(Node, Arc<QuicTransport>), BenchError> {
    let config = NodeConfig::try_from(settings).map_err(BenchError::ours)?;
    let credentials = ca.issue_node(config.node(), Validity::days(1)).map_err(BenchError::ours)?;
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
