//! The actor that starts, joins up and stops the others.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use quorate_membership::ClusterIdentity;
use quorate_protocols::{Event, Input};
use quorate_transport::{CloseReason, Role, Transport};
use tokio::sync::{mpsc, watch};

use super::{
    Canary, Directory, JoinError, StartError, Status, StopReason,
    directory::Entry,
    lanes::{self, Desk},
    links::{LinkEvent, Links},
    membership::{
        AskPeers, GotDatagram, Introduce, LeaveCluster, Linked, Membership, StopMembership, Unlinked,
    },
};
use crate::{
    bus::{BusActor, HandOut, Hosted, PeerDown, PeerUp, StopBus},
    clock::Clock,
    config::{GroupSpec, Life, NodeConfig},
    group::{AskStatus, EventOptions, Feed, Group, GroupEvent, Replication, Stop},
};

const MAILBOX_MAX: usize = 1024;

/// The node's own actor. Its parts never outlive it.
#[derive(Debug)]
pub(crate) struct NodeActor {
    config: Arc<NodeConfig>,
    life: Life,
    clock: Clock,
    transport: Arc<dyn Transport>,
    links: Links,
    groups: Directory,
    bus: Addr<BusActor>,
    membership: Addr<Membership>,
    alarm: mpsc::UnboundedSender<String>,
    stopped: watch::Sender<Option<StopReason>>,
    stopping: bool,
}

/// What a node consists of once it has started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) bus: Addr<BusActor>,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let member = self.life.member();
        for spec in self.config.groups().to_vec() {
            if spec.declares(member.node) {
                self.start_group(&spec);
            } else if !spec.subjects().is_empty() {
                self.bus.do_send(Hosted(spec, None));
            }
        }
        for seed in self.config.seeds() {
            self.links.dial(None, *seed);
        }
        tracing::info!(%member, cluster = self.config.cluster(), addr = %self.transport.local_addr(), "the node runs");
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop_parts();
        self.stopped.send_if_modified(|reason| {
            let first = reason.is_none();
            reason.get_or_insert(StopReason::Asked);
            first
        });
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
        let retry = config.timing().heartbeat().min(Duration::from_secs(1));
        let (links, mut events) = Links::start(Arc::clone(&transport), me, retry);
        let groups = Directory::default();
        let bus = BusActor::new(me, config.payload_bytes_max(), Canary::new("bus", alarm.clone()))
            .map_err(|error| StartError::Stopped(error.to_string()))?
            .start();
        let (stopped, on_stop) = watch::channel(None);
        let declared = config.groups().iter().filter(|spec| spec.declares(me.node));
        let declared = declared.flat_map(|spec| spec.declared()).collect();
        let identity = ClusterIdentity::new(me, transport.local_addr());
        let node = Self::create(|ctx| {
            let membership = Membership::new(
                identity,
                config.timing(),
                clock,
                links.clone(),
                groups.clone(),
                declared,
                ctx.address().recipient(),
                Canary::new("membership", alarm.clone()),
            );
            let parts = (bus.clone(), membership.start());
            let config = Arc::new(config);
            let (bus, membership) = parts;
            Self {
                config,
                life,
                clock,
                transport,
                links,
                groups,
                bus,
                membership,
                alarm,
                stopped,
                stopping: false,
            }
        });
        let addr = node.clone();
        actix::spawn(async move {
            while let Some(event) = events.recv().await {
                if addr.send(OnLink(event)).await.is_err() {
                    break;
                }
            }
        });
        let addr = node.clone();
        actix::spawn(async move {
            if let Some(actor) = alarms.recv().await {
                addr.do_send(GoDown(StopReason::ActorFailed(actor)));
            }
        });
        Ok(Started { node, bus, stopped: on_stop })
    }

    fn start_group(&mut self, spec: &Arc<GroupSpec>) -> Group {
        let me = self.life.member();
        let is_witness = spec.config().witnesses.contains(&me.node);
        let canary = Canary::new(format!("group {}", spec.name()), self.alarm.clone());
        let queues: Option<Recipient<HandOut>> =
            (!spec.subjects().is_empty()).then(|| self.bus.clone().recipient());
        let actor = Replication::new(
            Arc::clone(spec),
            me,
            self.clock,
            Rc::new(self.links.clone()),
            queues,
            self.config.payload_bytes_max(),
            canary,
        );
        let addr = actor.start();
        let entry = Entry { spec: Arc::clone(spec), addr: addr.clone() };
        self.groups.insert(spec.id(), entry.clone());
        self.membership.do_send(Introduce(entry));
        if !spec.subjects().is_empty() {
            self.bus.do_send(Hosted(Arc::clone(spec), (!is_witness).then(|| addr.clone())));
        }
        Group { addr, name: spec.name().into() }
    }

    fn join(&mut self, spec: GroupSpec) -> Result<Group, JoinError> {
        let spec = spec.with_timing(self.config.timing());
        if let Some(entry) = self.groups.get(spec.id()).filter(|entry| entry.addr.connected()) {
            if !entry.spec.agrees_with(&spec) {
                return Err(JoinError::OtherSettings(spec.name().to_owned()));
            }
            return Ok(Group { addr: entry.addr, name: spec.name().into() });
        }
        Ok(self.start_group(&Arc::new(spec)))
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(peer, lanes) if peer.role == Role::Node => {
                let member = peer.member;
                tracing::info!(%member, addr = %peer.addr, "linked");
                self.membership.do_send(Linked(peer));
                self.bus.do_send(PeerUp(member.node, lanes));
            }
            LinkEvent::Down(peer, why) if peer.role == Role::Node => {
                tracing::info!(member = %peer.member, why, "the link is gone");
                self.membership.do_send(Unlinked(peer.member.node));
                self.bus.do_send(PeerDown(peer.member.node));
            }
            LinkEvent::Up(..) | LinkEvent::Down(..) => {}
            LinkEvent::Datagram(from, bytes) => {
                // A membership actor that is that busy treats it as lost, as the network might.
                let _ = self.membership.try_send(GotDatagram(from, bytes));
            }
            LinkEvent::Lane(peer, lane, receiver, link) if peer.role == Role::Node => {
                actix::spawn(lanes::read(self.desk(), peer.member, lane, receiver, link));
            }
            LinkEvent::Lane(_, lane, _, link) => {
                link.close(CloseReason::Violation(format!("a client opened the lane {lane}")));
            }
        }
    }

    fn desk(&self) -> Desk {
        Desk { groups: self.groups.clone(), bus: self.bus.clone(), links: self.links.clone() }
    }

    fn stop_parts(&mut self) {
        for entry in self.groups.all() {
            self.groups.remove(entry.spec.id());
            entry.addr.do_send(Stop);
        }
        self.membership.do_send(StopMembership);
        self.bus.do_send(StopBus);
    }

    /// Leaves all groups, then the cluster, then closes the links, each within a bounded time.
    fn go_down(&mut self, reason: StopReason, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        tracing::info!(%reason, "the node stops");
        let (groups, membership, links) = (self.groups.all(), self.membership.clone(), self.links.clone());
        // A view change takes a few rounds; whoever cannot leave in that time is removed as silent.
        let patience = self.config.timing().round() * 3;
        let leaving = async move {
            let left = futures_util::future::join_all(groups.into_iter().map(leave));
            if tokio::time::timeout(patience, left).await.is_err() {
                tracing::warn!("some groups did not let this node go in time; they will notice its absence");
            }
            let _ = membership.send(LeaveCluster).await;
            links.close(CloseReason::Stopping).await;
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
        let detect = self.config.timing().detect();
        async move {
            let mut all = Vec::new();
            for entry in groups {
                all.extend(entry.addr.send(AskStatus).await.ok().flatten());
            }
            Status {
                member,
                cluster,
                addr,
                detect_within_ms: detect.as_millis() as u64,
                peers: membership.send(AskPeers).await.unwrap_or_default(),
                groups: all,
                clients: 0,
            }
        }
    }
}

/// Leaves a group and waits until it has let this node go.
async fn leave(entry: Entry) {
    let group = Group { addr: entry.addr, name: entry.spec.name().into() };
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

/// Something has happened on the links.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct OnLink(LinkEvent);

/// The node stops in order.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct GoDown(pub(crate) StopReason);

/// The node ends at once, without a word to anybody.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Abort;

/// Asks for a group that runs here.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Group>")]
pub(crate) struct AskGroup(pub(crate) String);

/// Joins a group.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<Group, JoinError>")]
pub(crate) struct Join(pub(crate) GroupSpec);

/// Asks how the node is.
#[derive(Debug, actix::Message)]
#[rtype(result = "Status")]
pub(crate) struct AskNodeStatus;

impl Handler<OnLink> for NodeActor {
    type Result = ();
    fn handle(&mut self, OnLink(event): OnLink, _: &mut Self::Context) {
        self.on_link(event);
    }
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
        self.links.abandon();
        ctx.stop();
    }
}

impl Handler<AskGroup> for NodeActor {
    type Result = Option<Group>;
    fn handle(&mut self, AskGroup(name): AskGroup, _: &mut Self::Context) -> Option<Group> {
        let entry = self.groups.get(crate::group::group_id(&name))?;
        Some(Group { addr: entry.addr, name: name.into() })
    }
}

impl Handler<Join> for NodeActor {
    type Result = Result<Group, JoinError>;
    fn handle(&mut self, Join(spec): Join, _: &mut Self::Context) -> Result<Group, JoinError> {
        self.join(spec)
    }
}

impl Handler<AskNodeStatus> for NodeActor {
    type Result = ResponseFuture<Status>;
    fn handle(&mut self, _: AskNodeStatus, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.status())
    }
}
