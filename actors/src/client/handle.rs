//! A client, as an application holds it.

use std::{collections::BTreeMap, fmt::Display, net::SocketAddr, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{Member, NodeId};
use quorate_protocols::bus::{PublisherId, is_name};
use quorate_transport::{
    CloseReason, Endpoint, Hello, MemoryConfig, MemoryNetwork, MemoryTransport, Mesh, MeshConfig, MeshEvent,
    Role, Transport,
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, error_span};

use super::{
    ClientConfig, ClientSettings,
    commands::{AnswersFrom, Asked, Carriers, Multicast, Question, StopUplink},
    uplink::Uplink,
};
use crate::{
    bus::{Bus, Follower, PublishError, SubscribeError},
    config::SettingsError,
    group::{Done, ViewRecord},
    node::Status,
    start::{spawn, start_within},
    wire::UseLanes,
};

/// How long the preferred endpoint alone is tried before all are.
const HEAD_START: Duration = Duration::from_millis(300);

/// Why a client cannot do what was asked of it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The transport was not opened, for the reason that it gave.
    #[error("the transport was not opened: {0}")]
    Transport(String),
    /// No node answered.
    #[error("no node answered at {endpoints:?} within {within:?}: {why}")]
    Unreachable {
        /// Where.
        endpoints: Vec<SocketAddr>,
        /// How long.
        within: Duration,
        /// The last reason heard.
        why: String,
    },
    /// The node was lost before it answered. Ask again.
    #[error("the node was lost before it answered; ask again")]
    Lost,
    /// The node does not know it.
    #[error("the node has no group `{0}`")]
    NoGroup(String),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

/// An application that uses a cluster through one of its nodes, and through another one when that
/// one is lost. Clones are the same client.
#[derive(Clone, Debug)]
pub struct Client {
    uplink: Addr<Uplink>,
    bus: Bus,
    member: Member,
    used: watch::Receiver<Vec<NodeId>>,
    close: mpsc::Sender<oneshot::Sender<()>>,
}

impl Client {
    /// Begins a life of a client, opens a transport for it with what the client says of itself, and
    /// connects over that transport. Returns once a node has answered.
    ///
    /// # Errors
    /// [`ClientError`]; what `transport` says is [`ClientError::Transport`].
    pub async fn open<T: Transport, E: Display>(
        settings: ClientSettings,
        transport: impl FnOnce(Hello) -> Result<T, E>,
    ) -> Result<Self, ClientError> {
        let config = ClientConfig::try_from(settings)?;
        let transport = transport(config.hello()).map_err(|why| ClientError::Transport(why.to_string()))?;
        Self::connect(config, Arc::new(transport)).await
    }

    /// Connects to nodes of the same process, as [`Node::in_memory`](crate::Node::in_memory) starts
    /// them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn in_memory(settings: ClientSettings, network: &MemoryNetwork) -> Result<Self, ClientError> {
        let client = NodeId::new(settings.client);
        let memory =
            |hello| MemoryTransport::new(network, client, Role::Client, hello, MemoryConfig::default());
        Self::open(settings, memory).await
    }

    /// Connects over a transport that was opened with [`ClientConfig::hello`] and the role of a
    /// client. Returns once a node has answered.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] with the last reason.
    pub async fn connect(config: ClientConfig, transport: Arc<dyn Transport>) -> Result<Self, ClientError> {
        let member = config.member();
        let span = error_span!("client", id = %member);
        let (mesh, events) = span.in_scope(|| Mesh::start(transport, member, MeshConfig::default()));
        let publisher = PublisherId { member, session: config.session() };
        let uplink = start_within(span.clone(), |_| Uplink::for_client(mesh.clone(), publisher));
        let (linked, used) = watch::channel(Vec::new());
        let (refused, mut why) = watch::channel(String::from("nobody is there"));
        let (close, closing) = mpsc::channel(1);
        let links =
            Links { mesh, uplink: uplink.clone(), endpoints: config.endpoints().to_vec(), linked, refused };
        actix::spawn(links.run(events, closing).instrument(span));
        let within = config.connect_within();
        let mut waiting = used.clone();
        let waited = tokio::time::timeout(within, waiting.wait_for(|nodes| !nodes.is_empty())).await;
        if !matches!(waited, Ok(Ok(_))) {
            uplink.do_send(StopUplink);
            let why = why.borrow_and_update().clone();
            return Err(ClientError::Unreachable { endpoints: config.endpoints().to_vec(), within, why });
        }
        Ok(Self { bus: Bus::over(&uplink), uplink, member, used, close })
    }

    /// The client in its present life.
    pub const fn member(&self) -> Member {
        self.member
    }

    /// The message bus.
    pub fn bus(&self) -> Bus {
        self.bus.clone()
    }

    /// The nodes that are linked, the preferred one first.
    pub fn linked(&self) -> Vec<NodeId> {
        self.used.borrow().clone()
    }

    /// How the node is that the client uses.
    ///
    /// # Errors
    /// [`ClientError::Lost`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Asked::Status).await?.ok_or(ClientError::Lost)
    }

    /// The views of a group of late, as the node has seen them.
    ///
    /// # Errors
    /// [`ClientError::NoGroup`] if it does not run there.
    pub async fn views(&self, group: &str) -> Result<Vec<ViewRecord>, ClientError> {
        if !is_name(group) {
            return Err(ClientError::NoGroup(group.to_owned()));
        }
        let asked = Asked::Views(group.to_owned());
        self.ask(asked).await?.ok_or_else(|| ClientError::NoGroup(group.to_owned()))
    }

    /// Multicasts a message to a group of the node, and waits until it survives any view change.
    ///
    /// # Errors
    /// [`PublishError`] says whether members may have it.
    pub async fn multicast(&self, group: &str, payload: impl Into<Bytes>) -> Result<(), PublishError> {
        if !is_name(group) {
            return Err(PublishError::Refused(format!("`{group}` is no name of a group")));
        }
        let payload = payload.into();
        let held = self.bus.room(payload.len()).await;
        let (asker, outcome) = oneshot::channel();
        let done = Done::Once(asker, held);
        let multicast = Multicast { group: group.to_owned(), payload, done };
        self.uplink.send(multicast).await.map_err(|_| PublishError::Stopped)?;
        outcome.await.unwrap_or(Err(PublishError::Stopped))
    }

    /// Follows a group of the cluster: its views and messages, in its order, on from where this was if
    /// another node has to be used. [`Bus::follow`] goes on from behind a position.
    ///
    /// # Errors
    /// [`SubscribeError::NoHistory`] if no node in reach keeps the group's events.
    pub async fn events(&self, group: &str) -> Result<Follower, SubscribeError> {
        self.bus.follow(group, None).await
    }

    async fn ask<T: DeserializeOwned>(&self, asked: Asked) -> Result<Option<T>, ClientError> {
        let (asker, answer) = oneshot::channel();
        self.uplink.send(Question(asked, asker)).await.map_err(|_| ClientError::Closed)?;
        match answer.await {
            Err(_) => Err(ClientError::Lost),
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => rmp_serde::from_slice(&bytes).map(Some).map_err(|_| ClientError::Lost),
        }
    }

    /// Closes the client: what was acknowledged is safe, what was not may or may not happen.
    pub async fn close(&self) {
        let (closed, is_closed) = oneshot::channel();
        if self.close.send(closed).await.is_ok() {
            // Gone already is as good.
            let _ = is_closed.await;
        }
    }
}

/// The links of a client.
struct Links {
    mesh: Mesh,
    uplink: Addr<Uplink>,
    endpoints: Vec<SocketAddr>,
    linked: watch::Sender<Vec<NodeId>>,
    refused: watch::Sender<String>,
}

impl Links {
    async fn run(
        self,
        mut events: mpsc::Receiver<MeshEvent>,
        mut closing: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut up: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut rest = self.endpoints.iter().skip(1);
        if let Some(preferred) = self.endpoints.first() {
            self.mesh.watch(Endpoint { node: None, addr: *preferred });
        }
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::pin!(head_start);
        let mut alone = true;
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = &mut head_start, if alone => {
                    alone = false;
                    rest.by_ref().for_each(|addr| self.mesh.watch(Endpoint { node: None, addr: *addr }));
                    continue;
                }
                closed = closing.recv() => {
                    self.uplink.do_send(StopUplink);
                    self.mesh.close(CloseReason::Stopping).await;
                    // Whoever asked may not wait any more.
                    if let Some(closed) = closed {
                        let _ = closed.send(());
                    }
                    return;
                }
            };
            match event {
                None => return self.uplink.do_send(StopUplink),
                Some(MeshEvent::Up(peer)) => {
                    let info = peer.info();
                    let rank = self
                        .endpoints
                        .iter()
                        .position(|addr| info.listens == Some(*addr) || info.addr == *addr);
                    up.insert(info.member.node, rank.unwrap_or(usize::MAX));
                    self.tell(&up);
                }
                Some(MeshEvent::Down { peer, .. }) => {
                    up.remove(&peer.info().member.node);
                    self.tell(&up);
                }
                Some(MeshEvent::Lane { peer, lane, receiver }) => {
                    if lane != UseLanes::CLIENT.tell {
                        peer.close(CloseReason::Violation(format!(
                            "a node opened the lane {lane} to a client"
                        )));
                        continue;
                    }
                    let answers = AnswersFrom(peer.info().member.node, receiver);
                    let uplink = self.uplink.clone();
                    spawn(async move {
                        if let Err(error) = answers.read(uplink).await {
                            peer.close(CloseReason::Violation(error.to_string()));
                        }
                    });
                }
                Some(MeshEvent::Unreachable { error, .. }) => {
                    self.refused.send_replace(error.to_string());
                    if std::mem::take(&mut alone) {
                        rest.by_ref().for_each(|addr| self.mesh.watch(Endpoint { node: None, addr: *addr }));
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn tell(&self, up: &BTreeMap<NodeId, usize>) {
        let mut nodes: Vec<NodeId> = up.keys().copied().collect();
        nodes.sort_by_key(|node| up[node]);
        self.uplink.do_send(Carriers(nodes.clone()));
        self.linked.send_replace(nodes);
    }
}
