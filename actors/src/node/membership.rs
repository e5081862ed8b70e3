//! Who is here, for one node: the failure detector and the cluster's membership as an actor.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{
    Cluster, ClusterEffect, ClusterError, ClusterIdentity, Detector, DetectorEffect, Member, NodeId, Time,
    Timing,
};
use quorate_protocols::Input;
use quorate_transport::{Endpoint, Mesh, PeerInfo};

use super::{Canary, Directory, StopReason, actor::GoDown, directory::Entry, status::PeerStatus};
use crate::{
    clock::Clock,
    group::Feed,
    wire::{self, Datagram},
};

const MAILBOX_MAX: usize = 1024;

/// The membership actor of a node.
#[derive(Debug)]
pub(crate) struct Membership {
    me: Member,
    clock: Clock,
    detector: Detector,
    cluster: Cluster,
    mesh: Mesh,
    groups: Directory,
    /// Nodes that are watched whether the cluster knows them or not.
    declared: BTreeSet<NodeId>,
    reachable: BTreeMap<NodeId, Member>,
    /// Nodes that were heard and are not any more, and since when.
    lost: BTreeMap<NodeId, Time>,
    /// Where the nodes are that links are kept to.
    dialed: BTreeMap<NodeId, SocketAddr>,
    linked: BTreeMap<NodeId, PeerInfo>,
    node: Recipient<GoDown>,
    canary: Canary,
    detector_wake: Option<SpawnHandle>,
    cluster_wake: Option<SpawnHandle>,
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        for node in self.declared.clone() {
            self.watch(node, ctx);
        }
    }
}

impl Membership {
    #[expect(clippy::too_many_arguments, reason = "one caller, which holds each of them")]
    pub(crate) fn new(
        identity: ClusterIdentity,
        timing: Timing,
        clock: Clock,
        mesh: Mesh,
        groups: Directory,
        declared: BTreeSet<NodeId>,
        node: Recipient<GoDown>,
        canary: Canary,
    ) -> Self {
        let me = identity.member;
        // Two nodes must not gossip in step; each life has its own chance.
        let seed = me.incarnation.get() ^ me.node.get().rotate_left(32);
        Self {
            me,
            clock,
            detector: Detector::new(me, timing),
            cluster: Cluster::new(identity, timing, seed),
            mesh,
            groups,
            declared,
            reachable: BTreeMap::new(),
            lost: BTreeMap::new(),
            dialed: BTreeMap::new(),
            linked: BTreeMap::new(),
            node,
            canary,
            detector_wake: None,
            cluster_wake: None,
        }
    }

    fn watch(&mut self, node: NodeId, ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        self.detector.watch(self.clock.now(), node, &mut effects);
        self.perform_detector(effects, ctx);
    }

    /// Keeps a link to a member of the cluster.
    fn watch_link(&mut self, id: &ClusterIdentity) {
        let node = id.member.node;
        if node != self.me.node && self.dialed.insert(node, id.addr) != Some(id.addr) {
            self.mesh.watch(Endpoint { node: Some(node), addr: id.addr });
        }
    }

    fn datagram(&self, to: NodeId, bytes: Bytes) {
        if let Err(error) = self.mesh.send_datagram(to, bytes) {
            tracing::trace!(%to, %error, "a datagram was not sent");
        }
    }

    fn tell_groups(&self, input: &Input) {
        for Entry { addr, .. } in self.groups.all() {
            // Rare: when links come and go.
            addr.do_send(Feed(input.clone()));
        }
    }

    fn perform_detector(&mut self, effects: Vec<DetectorEffect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                DetectorEffect::Send { to, beat } => self.datagram(to, wire::beat(beat)),
                DetectorEffect::Reachable { member } => {
                    tracing::info!(%member, "reachable");
                    self.reachable.insert(member.node, member);
                    self.lost.remove(&member.node);
                    self.tell_groups(&Input::Reachable(member));
                }
                DetectorEffect::Unreachable { node } => {
                    tracing::info!(%node, "unreachable");
                    self.reachable.remove(&node);
                    self.lost.insert(node, self.clock.now());
                    self.tell_groups(&Input::Unreachable(node));
                }
                DetectorEffect::Superseded { old, new } => {
                    tracing::info!(%old, %new, "a node lives anew");
                    self.reachable.remove(&old.node);
                    self.tell_groups(&Input::Unreachable(old.node));
                }
                DetectorEffect::Stalled { late_by } => {
                    metrics::counter!("quorate_stalls_total").increment(1);
                    tracing::warn!(?late_by, "this process stood still; its suspicions wait");
                    self.tell_groups(&Input::Stalled);
                }
                DetectorEffect::WakeAt(at) => {
                    let wait = at.since(self.clock.now());
                    let wake = ctx.run_later(wait, |actor, ctx| {
                        let mut effects = Vec::new();
                        actor.detector.on_wake(actor.clock.now(), &mut effects);
                        actor.perform_detector(effects, ctx);
                    });
                    if let Some(former) = self.detector_wake.replace(wake) {
                        ctx.cancel_future(former);
                    }
                }
            }
        }
    }

    fn perform_cluster(&mut self, effects: Vec<ClusterEffect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                ClusterEffect::Send { to, bytes } => {
                    self.watch_link(&to);
                    self.datagram(to.member.node, wire::swim(&bytes));
                }
                ClusterEffect::Up(id) => {
                    tracing::info!(member = %id.member, addr = %id.addr, "a node is in the cluster");
                    self.watch_link(&id);
                    self.watch(id.member.node, ctx);
                    self.tell_groups(&Input::Contacts(vec![id.member.node]));
                }
                ClusterEffect::Down(id) => {
                    tracing::info!(member = %id.member, "a node is no longer in the cluster");
                    // Whoever was declared down by mistake comes back by itself; a declared node is
                    // wanted in any case.
                    if !self.declared.contains(&id.member.node) {
                        self.lost.remove(&id.member.node);
                        self.dialed.remove(&id.member.node);
                        self.mesh.forget(id.member.node);
                    }
                }
                ClusterEffect::WakeAt(at) => {
                    let wait = at.since(self.clock.now());
                    let wake = ctx.run_later(wait, |actor, ctx| {
                        let mut effects = Vec::new();
                        actor.cluster.on_wake(actor.clock.now(), &mut effects);
                        actor.perform_cluster(effects, ctx);
                    });
                    if let Some(former) = self.cluster_wake.replace(wake) {
                        ctx.cancel_future(former);
                    }
                }
            }
        }
    }

    fn on_swim(&mut self, from: Member, datagram: &[u8], ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        match self.cluster.on_datagram(self.clock.now(), from, datagram, &mut effects) {
            Ok(()) => self.perform_cluster(effects, ctx),
            Err(ClusterError::Superseded { by }) => self.node.do_send(GoDown(StopReason::Superseded(by))),
            Err(ClusterError::Left) => {}
            Err(error) => {
                metrics::counter!("quorate_cluster_refusals_total").increment(1);
                tracing::warn!(%error, "a datagram was refused");
            }
        }
    }
}

/// A peer is linked.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Linked(pub(crate) PeerInfo);

/// Its link is gone.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Unlinked(pub(crate) NodeId);

/// It has sent a datagram.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct GotDatagram(pub(crate) Member, pub(crate) Bytes);

/// A group has started here and is to be told what is known.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Introduce(pub(crate) Entry);

/// This node leaves the cluster.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct LeaveCluster;

/// Stops at once.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct StopMembership;

/// Asks for what is known of the other nodes.
#[derive(Debug, actix::Message)]
#[rtype(result = "Vec<PeerStatus>")]
pub(crate) struct AskPeers;

impl Handler<Linked> for Membership {
    type Result = ();
    fn handle(&mut self, Linked(peer): Linked, ctx: &mut Self::Context) {
        let member = peer.member;
        if let Some(addr) = peer.listens {
            let mut effects = Vec::new();
            self.cluster.contact(self.clock.now(), ClusterIdentity::new(member, addr), &mut effects);
            self.perform_cluster(effects, ctx);
        }
        self.linked.insert(member.node, peer);
        self.watch(member.node, ctx);
        self.tell_groups(&Input::Contacts(vec![member.node]));
    }
}

impl Handler<Unlinked> for Membership {
    type Result = ();
    fn handle(&mut self, Unlinked(node): Unlinked, _: &mut Self::Context) {
        self.linked.remove(&node);
    }
}

impl Handler<GotDatagram> for Membership {
    type Result = ();
    fn handle(&mut self, GotDatagram(from, bytes): GotDatagram, ctx: &mut Self::Context) {
        match wire::read_datagram(&bytes) {
            Ok(Datagram::Beat(beat)) => {
                let mut effects = Vec::new();
                self.detector.on_beat(self.clock.now(), from, beat, &mut effects);
                self.perform_detector(effects, ctx);
            }
            Ok(Datagram::Swim(datagram)) => self.on_swim(from, &datagram, ctx),
            Err(error) => {
                metrics::counter!("quorate_malformed_datagrams_total").increment(1);
                tracing::warn!(%from, %error, "a datagram was refused");
            }
        }
    }
}

impl Handler<Introduce> for Membership {
    type Result = ();
    fn handle(&mut self, Introduce(entry): Introduce, ctx: &mut Self::Context) {
        for node in entry.spec.declared().collect::<Vec<_>>() {
            if self.declared.insert(node) {
                self.watch(node, ctx);
            }
        }
        let contacts = self.linked.keys().copied().collect();
        entry.addr.do_send(Feed(Input::Contacts(contacts)));
        for member in self.reachable.values() {
            entry.addr.do_send(Feed(Input::Reachable(*member)));
        }
    }
}

impl Handler<LeaveCluster> for Membership {
    type Result = ();
    fn handle(&mut self, _: LeaveCluster, ctx: &mut Self::Context) {
        let mut effects = Vec::new();
        self.cluster.leave(self.clock.now(), &mut effects);
        self.perform_cluster(effects, ctx);
    }
}

impl Handler<StopMembership> for Membership {
    type Result = ();
    fn handle(&mut self, _: StopMembership, ctx: &mut Self::Context) {
        self.canary.disarm();
        ctx.stop();
    }
}

impl Handler<AskPeers> for Membership {
    type Result = Vec<PeerStatus>;
    fn handle(&mut self, _: AskPeers, _: &mut Self::Context) -> Vec<PeerStatus> {
        let up: BTreeMap<NodeId, _> = self.cluster.members().map(|id| (id.member.node, *id)).collect();
        let known = up.keys().chain(self.linked.keys()).chain(&self.declared).copied();
        let known: BTreeSet<NodeId> = known.filter(|node| *node != self.me.node).collect();
        let now = self.clock.now();
        let status = |node: NodeId| {
            let linked = self.linked.get(&node);
            PeerStatus {
                node,
                member: self.reachable.get(&node).copied().or(linked.map(|peer| peer.member)),
                addr: up.get(&node).map(|id| id.addr).or_else(|| linked.and_then(|peer| peer.listens)),
                in_cluster: up.contains_key(&node),
                linked: linked.is_some(),
                reachable: self.reachable.contains_key(&node),
                lost_for_ms: self.lost.get(&node).map(|at| now.since(*at).as_millis() as u64),
            }
        };
        known.into_iter().map(status).collect()
    }
}
