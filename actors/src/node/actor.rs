//! The actor that starts, joins up and stops the others.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use quorate_membership::{ClusterIdentity, NodeId};
use quorate_protocols::{Event, Input, bus::LinkId};
use quorate_transport::{
    CloseReason, Endpoint, Lane, LaneReceiver, LinkError, Mesh, MeshConfig, MeshEvent, MeshSettings, Peer,
    Role, Transport,
};
use tokio::sync::{mpsc, watch};
use tracing::error_span;

use super::{
    Canary, Directory, Pulse, Signs, StartError, Status, StopReason,
    directory::Entry,
    lanes::{self, Desk},
    membership::{
        AskPeers, GotDatagram, LeaveCluster, Linked, Membership, StopMembership, Surroundings, Unlinked,
    },
    round_trip::BeginRoundTrip,
};
use crate::{
    bus::{Bus, BusActor, PeerDown, PeerUp, Routes, StopBus, UplinkOf},
    client::{self, AnswersFrom, SessionDesk},
    clock::Clock,
    config::{Life, NodeConfig},
    group::{AskStatus, EventOptions, Feed, GroupEvent, Stop},
    sessions::Sessions,
    start::{spawn, start_within},
    wire::UseLanes,
};

const MAILBOX_MAX: usize = 1024;

/// The node's own actor. Its parts never outlive it.
#[derive(Debug)]
pub(crate) struct NodeActor {
    pub(super) config: Arc<NodeConfig>,
    pub(super) life: Life,
    pub(super) sessions: Sessions,
    pub(super) clock: Clock,
    transport: Arc<dyn Transport>,
    pub(super) mesh: Mesh,
    /// The links to nodes, and how many there ever were.
    links: BTreeMap<NodeId, LinkId>,
    links_total: u64,
    clients: usize,
    pub(super) groups: Directory,
    pub(super) pulse: Pulse,
    signs: Signs,
    pub(super) bus: Addr<BusActor>,
    pub(super) routes: Arc<Routes>,
    pub(super) membership: Addr<Membership>,
    pub(super) alarm: mpsc::UnboundedSender<String>,
    stopped: watch::Sender<Option<StopReason>>,
    stopping: bool,
}

/// What a node consists of once it has started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) bus: Bus,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.start_declared(&ctx.address().recipient());
        for seed in self.config.seeds() {
            self.mesh.watch(Endpoint { node: None, addr: *seed });
        }
        tracing::info!(cluster = self.config.cluster(), addr = %self.transport.local_addr(), "the node runs");
    }
}

impl Drop for NodeActor {
    /// However it ended: parts that went on would keep up the appearance of a node.
    fn drop(&mut self) {
        self.end_parts();
    }
}

impl NodeActor {
    /// Starts everything on the current arbiter.
    pub(crate) fn start_all(
        config: NodeConfig,
        life: Life,
        transport: Arc<dyn Transport>,
    ) -> Result<Started, StartError> {
        if System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        let me = life.member();
        let clock = Clock::new();
        let (alarm, mut alarms) = mpsc::unbounded_channel();
        // A lost link should be back before its silence is taken for a failure.
        let retry_most = config.timing().detect().min(Duration::from_secs(2));
        let settings = MeshSettings { retry_least: retry_most / 10, retry_most, ..MeshSettings::default() };
        let mesh = MeshConfig::try_from(settings).map_err(|error| StartError::Stopped(error.to_string()))?;
        let span = error_span!("node", id = %me);
        let (mesh, events) = span.in_scope(|| Mesh::start(Arc::clone(&transport), me, mesh));
        let (groups, pulse) = (Directory::default(), Pulse::new(clock, config.timing()));
        let signs = Signs::new(clock);
        let (sessions, canary) = (Sessions::new(me), Canary::new("bus", alarm.clone()));
        let (payload, timing) = (config.payload_bytes_max(), config.timing());
        let bus = BusActor::new(sessions.clone(), mesh.clone(), timing, payload, canary)
            .map_err(|error| StartError::Stopped(error.to_string()))?;
        let routes = bus.routes();
        let bus = start_within(span.clone(), |_| bus);
        let (stopped, on_stop) = watch::channel(None);
        let declared = config.groups().iter().filter(|spec| spec.declares(me.node));
        let declared = declared.flat_map(|spec| spec.declared()).collect();
        let identity = ClusterIdentity::new(me, transport.local_addr());
        let node = start_within(span, |ctx| {
            let stream =
                futures_util::stream::unfold(events, async |mut events| Some((events.recv().await?, events)));
            ctx.add_stream(stream);
            let around = Surroundings {
                clock,
                mesh: mesh.clone(),
                groups: groups.clone(),
                pulse: pulse.clone(),
                signs: signs.clone(),
                node: ctx.address().recipient(),
                canary: Canary::new("membership", alarm.clone()),
            };
            let membership = Membership::start_as(identity, config.timing(), declared, around);
            Self {
                config: Arc::new(config),
                life,
                sessions,
                clock,
                transport,
                mesh,
                links: BTreeMap::new(),
                links_total: 0,
                clients: 0,
                groups,
                pulse,
                signs,
                bus: bus.clone(),
                routes: Arc::clone(&routes),
                membership,
                alarm,
                stopped,
                stopping: false,
            }
        });
        let addr = node.clone();
        spawn(async move {
            if let Some(actor) = alarms.recv().await {
                addr.do_send(GoDown(StopReason::ActorFailed(actor)));
            }
        });
        Ok(Started { node, bus: Bus::within(&bus, routes), stopped: on_stop })
    }

    fn on_link(&mut self, event: MeshEvent, ctx: &mut Context<Self>) {
        match event {
            MeshEvent::Up(peer) if peer.info().role == Role::Node => {
                let info = peer.info().clone();
                tracing::info!(member = %info.member, addr = %info.addr, "linked");
                let (node, link) = (info.member.node, LinkId::new(self.links_total));
                self.links_total += 1;
                self.links.insert(node, link);
                self.membership.do_send(Linked(info));
                self.bus.do_send(PeerUp(node, link));
            }
            MeshEvent::Up(_) => self.clients += 1,
            MeshEvent::Down { peer, error } if peer.info().role == Role::Node => {
                let member = peer.info().member;
                tracing::info!(%member, %error, "the link is gone");
                self.membership.do_send(Unlinked(member.node));
                if let Some(link) = self.links.remove(&member.node) {
                    self.bus.do_send(PeerDown(member.node, link));
                }
                if error == LinkError::ClosedByPeer(CloseReason::Superseded) {
                    // No peer links to this life any more, so none could tell it which one is later.
                    ctx.notify(GoDown(StopReason::Superseded(None)));
                }
            }
            MeshEvent::Down { .. } => self.clients = self.clients.saturating_sub(1),
            MeshEvent::Datagram { peer, datagram } if peer.info().role == Role::Node => {
                // A membership actor that is that busy treats it as lost, as the network might.
                let _ = self.membership.try_send(GotDatagram(peer.info().member, datagram));
            }
            MeshEvent::Lane { peer, lane, receiver } => self.on_lane(peer, lane, receiver, ctx),
            MeshEvent::Unreachable { endpoint, error } => {
                tracing::info!(addr = %endpoint.addr, %error, "not reached");
            }
            _ => {}
        }
    }

    fn on_lane(&self, peer: Rc<Peer>, lane: Lane, receiver: Box<dyn LaneReceiver>, ctx: &Context<Self>) {
        let is_client = peer.info().role != Role::Node;
        if let Some(lanes) = UseLanes::asked_on(lane) {
            let group = self.groups.all().into_iter().map(|entry| entry.spec.id());
            let only = group.into_iter().find(|group| UseLanes::group(*group) == lanes);
            if is_client == (lanes == UseLanes::CLIENT) && is_client != only.is_some() {
                let desk = SessionDesk {
                    node: ctx.address(),
                    bus: self.bus.clone(),
                    payload_bytes_max: self.config.payload_bytes_max(),
                };
                spawn(client::serve(desk, peer, lanes, only, receiver));
            }
            // Otherwise the group does not run here any more, which the peer is about to hear.
        } else if is_client {
            peer.close(CloseReason::Violation(format!("a client opened the lane {lane}")));
        } else if UseLanes::is_tell(lane) {
            let bus = self.bus.clone();
            spawn(async move {
                let Ok(Some(uplink)) = bus.send(UplinkOf(lane)).await else { return };
                if let Err(error) = AnswersFrom(peer.info().member.node, receiver).read(uplink).await {
                    peer.close(CloseReason::Violation(error.to_string()));
                }
            });
        } else if let Some(link) = self.links.get(&peer.info().member.node) {
            spawn(lanes::read(self.desk(), peer, *link, lane, receiver));
        }
    }

    fn desk(&self) -> Desk {
        Desk {
            groups: self.groups.clone(),
            bus: self.bus.clone(),
            mesh: self.mesh.clone(),
            signs: self.signs.clone(),
        }
    }

    fn end_parts(&mut self) {
        for entry in self.groups.all() {
            self.groups.remove(entry.spec.id());
            entry.addr.do_send(Stop);
        }
        self.membership.do_send(StopMembership);
        self.bus.do_send(StopBus);
        for peer in self.mesh.peers() {
            peer.close(CloseReason::Stopping);
        }
    }

    /// Leaves all groups, then the cluster, then closes the links, each within a bounded time.
    fn go_down(&mut self, reason: StopReason, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        tracing::info!(%reason, "the node stops");
        let (groups, membership, mesh) = (self.groups.all(), self.membership.clone(), self.mesh.clone());
        let bus = self.bus.clone();
        // A view change takes a few rounds; whoever cannot leave in that time is removed as silent.
        let patience = self.config.timing().round() * 3;
        let leaving = async move {
            let stay = groups.into_iter().filter(|entry| !entry.left);
            let left = futures_util::future::join_all(stay.map(leave));
            if tokio::time::timeout(patience, left).await.is_err() {
                tracing::warn!("some groups did not let this node go in time; they will notice its absence");
            }
            let _ = membership.send(LeaveCluster).await;
            // What it has acknowledged goes out with the rest, and nothing is taken any more.
            let _ = bus.send(StopBus).await;
            mesh.close(CloseReason::Stopping).await;
        };
        ctx.spawn(leaving.into_actor(self).map(move |(), actor, ctx| {
            actor.stopped.send_replace(Some(reason));
            ctx.stop();
        }));
    }

    fn status(&self) -> impl Future<Output = Status> + 'static {
        let (groups, membership) = (self.groups.all(), self.membership.clone());
        let member = self.life.member();
        let cluster = self.config.cluster().to_owned();
        let addr = self.transport.local_addr();
        let (detect, clients) = (self.config.timing().detect(), self.clients);
        async move {
            let mut all = Vec::new();
            for entry in groups.into_iter().filter(|entry| !entry.left) {
                all.extend(entry.addr.send(AskStatus).await.ok().flatten());
            }
            Status {
                member,
                cluster,
                addr,
                detect_within_ms: detect.as_millis() as u64,
                peers: membership.send(AskPeers).await.unwrap_or_default(),
                groups: all,
                clients,
            }
        }
    }
}

/// Leaves a group and waits until it has let this node go.
async fn leave(entry: Entry) {
    let group = entry.group();
    let Ok(mut events) = group.events(EventOptions::default()).await else { return };
    if group.addr.send(Feed(Input::Leave)).await.is_err() {
        return;
    }
    while let Some(event) = events.next().await {
        if event == GroupEvent::Event(Event::Left) {
            return;
        }
    }
}

/// The node stops in order.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct GoDown(pub(crate) StopReason);

/// The node ends at once, without a word to anybody.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Abort;

/// Asks how the node is.
#[derive(Debug, actix::Message)]
#[rtype(result = "Status")]
pub(crate) struct AskNodeStatus;

impl StreamHandler<MeshEvent> for NodeActor {
    fn handle(&mut self, event: MeshEvent, ctx: &mut Self::Context) {
        self.on_link(event, ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {} // the node goes down by itself
}

impl Handler<GoDown> for NodeActor {
    type Result = ();
    fn handle(&mut self, GoDown(reason): GoDown, ctx: &mut Self::Context) {
        self.go_down(reason, ctx);
    }
}

impl Handler<Abort> for NodeActor {
    type Result = ();
    fn handle(&mut self, _: Abort, ctx: &mut Self::Context) {
        self.end_parts();
        self.stopped.send_replace(Some(StopReason::Asked));
        ctx.stop();
    }
}

impl Handler<BeginRoundTrip> for NodeActor {
    type Result = Option<Duration>;
    fn handle(&mut self, BeginRoundTrip(ask): BeginRoundTrip, _: &mut Self::Context) -> Option<Duration> {
        self.membership.try_send(ask).ok()?;
        Some(self.config.timing().detect())
    }
}

impl Handler<AskNodeStatus> for NodeActor {
    type Result = ResponseFuture<Status>;
    fn handle(&mut self, _: AskNodeStatus, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.status())
    }
}
