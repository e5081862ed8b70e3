//! A node, as an application holds it.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use actix::prelude::*;
use quorate_membership::{Member, NodeId};
use quorate_transport::{Hello, MemoryConfig, MemoryNetwork, MemoryTransport, Role, Transport};
use tokio::sync::{oneshot, watch};

use super::{
    JoinError, RoundTripError, StartError, Status, StopReason,
    actor::{Abort, AskNodeStatus, GoDown, NodeActor},
    joining::{AskGroup, Join},
    round_trip::{AskRoundTrip, BeginRoundTrip},
};
use crate::{
    bus::Bus,
    config::{GroupSettings, GroupSpec, Life, NodeConfig, NodeSettings},
    group::{Group, GroupEvents, Keeper, StateOptions, Stopped, keeper},
};

/// A node of a cluster. Clones speak to the same node, which runs until it is stopped.
///
/// All its actors, its links and their input and output run on the arbiter on which it was
/// started: waking another thread costs a hundred times what a message costs.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) addr: Addr<NodeActor>,
    bus: Bus,
    member: Member,
    stopped: watch::Receiver<Option<StopReason>>,
}

impl Node {
    /// Starts a node on the current arbiter, over a transport that was opened with what the node says
    /// of itself in the same life ([`NodeConfig::hello`]); peers heed no other. [`Self::open`] does all
    /// of it. The groups that it founds start with it.
    ///
    /// # Errors
    /// [`StartError`] outside an actix system.
    #[expect(clippy::unused_async, reason = "what a start waits for is the node's business, not its users'")]
    pub async fn start(
        config: NodeConfig,
        life: Life,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, StartError> {
        let member = life.member();
        let started = NodeActor::start_all(config, life, transport)?;
        Ok(Self { addr: started.node, bus: started.bus, member, stopped: started.stopped })
    }

    /// Begins a life of a node, opens a transport for it with what the node says of itself, and starts
    /// the node over that transport.
    ///
    /// ```
    /// use quorate::{
    ///     Node, NodeSettings,
    ///     membership::NodeId,
    ///     transport::{ClusterCa, ConnectionConfig, QuicTransport, Validity},
    /// };
    ///
    /// # actix::System::new().block_on(async {
    /// let ca = ClusterCa::create("demo", Validity::days(1))?;
    /// let credentials = ca.issue_node(NodeId::new(1), Validity::days(1))?;
    /// let settings = NodeSettings::new(1, "demo", "127.0.0.1:0".parse()?);
    /// let quic = |hello| QuicTransport::bind(credentials, hello, ConnectionConfig::default());
    /// let node = Node::open(settings, quic).await?;
    /// node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`StartError`]; what `transport` says is [`StartError::Transport`].
    pub async fn open<T, E>(
        settings: NodeSettings,
        transport: impl FnOnce(Hello) -> Result<T, E>,
    ) -> Result<Self, StartError>
    where
        T: Transport,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let config = NodeConfig::try_from(settings)?;
        let life = config.begin_life()?;
        let transport =
            transport(config.hello(&life)).map_err(|error| StartError::Transport(error.into()))?;
        Self::start(config, life, Arc::new(transport)).await
    }

    /// Starts a node that reaches others of the same process: for tests, examples and embedded
    /// clusters. The addresses in its settings are names only.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn in_memory(settings: NodeSettings, network: &MemoryNetwork) -> Result<Self, StartError> {
        let node = NodeId::new(settings.node);
        let memory = |hello| MemoryTransport::new(network, node, Role::Node, hello, MemoryConfig::default());
        Self::open(settings, memory).await
    }

    /// Starts a node by itself, over memory: for trying things out and for tests. It founds a group
    /// `local`, to which the subjects `local.>` are bound.
    ///
    /// # Errors
    /// [`StartError`] outside an actix system, or if `cluster` is no name.
    pub async fn alone(cluster: &str) -> Result<Self, StartError> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let local = GroupSettings::new("local", [1]).bind("local.>");
        let settings = NodeSettings::new(1, cluster, nowhere).group(local);
        Self::in_memory(settings, &MemoryNetwork::default()).await
    }

    /// The node in its present life.
    pub const fn member(&self) -> Member {
        self.member
    }

    /// The message bus.
    pub fn bus(&self) -> Bus {
        self.bus.clone()
    }

    /// The group with this name, if it runs on this node.
    pub async fn group(&self, name: &str) -> Option<Group> {
        self.addr.send(AskGroup(name.to_owned())).await.ok().flatten()
    }

    /// Joins a group: as a founder if it is declared as one, else as a newcomer.
    ///
    /// # Errors
    /// [`JoinError`] if the settings cannot be used or differ from those it runs with here.
    pub async fn join(&self, settings: GroupSettings) -> Result<Group, JoinError> {
        self.take_part(settings, None).await
    }

    /// Joins a group whose newcomers get the application's state, as its keeper on this node. The
    /// events begin with the first one and none is left out: who applies all of them has the same
    /// state as everybody else, at the same view.
    ///
    /// A node that founds the group starts with nothing, at a [`View`] whose changes say so. Another
    /// one gets [`GroupEvent::Restore`] first. Members are asked for theirs by
    /// [`GroupEvent::Snapshot`]. A member that was removed comes back by itself, as a newcomer. When
    /// the events are dropped the node leaves the group.
    ///
    /// [`View`]: quorate_protocols::Event::View
    /// [`GroupEvent::Restore`]: crate::GroupEvent::Restore
    /// [`GroupEvent::Snapshot`]: crate::GroupEvent::Snapshot
    ///
    /// # Errors
    /// [`JoinError`] if the settings cannot be used, or have no state, or the group runs here.
    pub async fn join_with_state(
        &self,
        settings: GroupSettings,
        options: StateOptions,
    ) -> Result<(Group, GroupEvents), JoinError> {
        let (keeper, events) = keeper(options);
        Ok((self.take_part(settings, Some(keeper)).await?, events))
    }

    async fn take_part(&self, settings: GroupSettings, keeper: Option<Keeper>) -> Result<Group, JoinError> {
        let spec = GroupSpec::try_from(settings)?;
        self.addr.send(Join(spec, keeper)).await.unwrap_or(Err(JoinError::Stopped))
    }

    /// How the node is.
    ///
    /// # Errors
    /// [`Stopped`] if it does not run.
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.addr.send(AskNodeStatus).await.map_err(|_| Stopped)
    }

    /// Sends a heartbeat to another node, and returns how long it was until one came back that was
    /// sent after it had arrived, both by way of the actors that judge who is reachable.
    ///
    /// # Errors
    /// [`RoundTripError`] if none came back within the detection time, or one that was sent later was answered first.
    pub async fn round_trip(&self, to: NodeId) -> Result<Duration, RoundTripError> {
        let (answer, answered) = oneshot::channel();
        let begun = self.addr.send(BeginRoundTrip(AskRoundTrip(to, answer))).await;
        let within = begun.map_err(|_| RoundTripError::Stopped)?.ok_or(RoundTripError::Busy)?;
        let answered = tokio::time::timeout(within, answered).await;
        let took = answered.ok().and_then(Result::ok).ok_or(RoundTripError::NoAnswer(to))?;
        took.ok_or(RoundTripError::Lost(to))
    }

    /// Stops the node in order: it leaves its groups and the cluster, and what was sent before is on
    /// its way. Returns once it has stopped.
    pub async fn stop(&self) -> StopReason {
        self.addr.do_send(GoDown(StopReason::Asked));
        self.stopped().await
    }

    /// Ends the node at once, without a word to anybody, as a crash would. For tests.
    pub async fn abort(&self) {
        // Gone already is as good.
        let _ = self.addr.send(Abort).await;
        self.stopped().await;
    }

    /// Waits until the node has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Asked),
            Err(_) => StopReason::ActorFailed("node".to_owned()),
        }
    }
}
