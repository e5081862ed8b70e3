//! Who is here, for one node: the actor that drives [`Presence`].

use std::collections::BTreeSet;

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{ClusterError, ClusterIdentity, Member, NodeId, Time, Timing};
use quorate_protocols::{Input, KnownNode, Notice, Presence, PresenceEffect};
use quorate_transport::{CloseReason, Endpoint, Mesh, PeerInfo};
use tracing::Span;

use super::{
    Canary, Directory, Pulse, Signs, StopReason,
    actor::GoDown,
    directory::Entry,
    round_trip::{AskRoundTrip, RoundTrips},
    status::PeerStatus,
    telling::Telling,
};
use crate::{
    clock::Clock,
    start::start_within,
    wire::{self, Datagram},
};

const MAILBOX_MAX: usize = 1024;

/// What the membership actor has to do with.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) mesh: Mesh,
    pub(crate) groups: Directory,
    pub(crate) pulse: Pulse,
    pub(crate) signs: Signs,
    pub(crate) node: Recipient<GoDown>,
    pub(crate) canary: Canary,
}

/// The membership actor of a node.
#[derive(Debug)]
pub(crate) struct Membership {
    presence: Presence,
    around: Surroundings,
    groups: Telling,
    detector_wake: Option<SpawnHandle>,
    cluster_wake: Option<SpawnHandle>,
    round_trips: RoundTrips,
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Membership {
    /// Starts as this node, with the declared nodes watched.
    pub(crate) fn start_as(
        identity: ClusterIdentity,
        timing: Timing,
        declared: BTreeSet<NodeId>,
        around: Surroundings,
    ) -> Addr<Self> {
        let me = identity.member;
        // Two nodes must not gossip in step; each life has its own chance.
        let seed = me.incarnation.get() ^ me.node.get().rotate_left(32);
        start_within(Span::current(), move |ctx: &mut Context<Self>| {
            let mut effects = Vec::new();
            let now = around.clock.now();
            let presence = Presence::new(identity, timing, seed, declared, now, &mut effects);
            let (detector_wake, cluster_wake, round_trips) = (None, None, RoundTrips::default());
            let groups = around.groups.clone();
            let groups = Telling::start(move || groups.to_tell());
            let mut actor = Self { presence, around, groups, detector_wake, cluster_wake, round_trips };
            actor.perform(effects, ctx);
            actor
        })
    }

    /// Lets the core take something in, and carries out what it wants done.
    fn drive<T>(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut Presence, Time, &mut Vec<PresenceEffect>) -> T,
    ) -> T {
        let (now, mut effects) = (self.around.clock.now(), Vec::new());
        // Whatever queued up while the process stood still comes after the news that it did.
        self.presence.check(now, &mut effects);
        let done = act(&mut self.presence, now, &mut effects);
        self.perform(effects, ctx);
        done
    }

    /// Looks who is silent.
    fn watch_out(&mut self, ctx: &mut Context<Self>) {
        let signs = self.around.signs.take();
        self.drive(ctx, |presence, now, out| {
            for (member, at) in signs {
                presence.on_frames(now, member, at, out);
            }
            presence.on_detector_wake(now, out);
        });
    }

    fn perform(&mut self, effects: Vec<PresenceEffect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                PresenceEffect::Beat { to, beat } => self.datagram(to, wire::beat(beat)),
                PresenceEffect::Swim { to, bytes } => self.datagram(to, wire::swim(&bytes)),
                PresenceEffect::KeepLink(id) => {
                    self.around.mesh.watch(Endpoint { node: Some(id.member.node), addr: id.addr });
                }
                PresenceEffect::ForgetLink(node) => self.around.mesh.forget(node),
                PresenceEffect::Tell(input) => self.groups.all(input),
                // Each looks at the pulse before it takes in anything.
                PresenceEffect::Stalled => self.groups.all(Input::Wake),
                PresenceEffect::Noticed(notice) => log(notice),
                PresenceEffect::RoundTrip { node, sequence, took } => {
                    self.round_trips.over(node, sequence, took);
                }
                PresenceEffect::WakeDetectorAt(at) => {
                    self.around.pulse.expect(Some(at));
                    let wake = ctx.run_later(at.since(self.around.clock.now()), |actor, ctx| {
                        actor.around.pulse.expect(None);
                        actor.watch_out(ctx);
                    });
                    replace(&mut self.detector_wake, wake, ctx);
                }
                PresenceEffect::WakeClusterAt(at) => {
                    let wake = ctx.run_later(at.since(self.around.clock.now()), |actor, ctx| {
                        actor.drive(ctx, Presence::on_cluster_wake);
                    });
                    replace(&mut self.cluster_wake, wake, ctx);
                }
            }
        }
    }

    fn datagram(&self, to: NodeId, bytes: Bytes) {
        if let Err(error) = self.around.mesh.send_datagram(to, bytes) {
            tracing::trace!(%to, %error, "a datagram was not sent");
        }
    }

    fn on_swim(&mut self, from: Member, datagram: &[u8], ctx: &mut Context<Self>) {
        match self.drive(ctx, |presence, now, out| presence.on_swim(now, from, datagram, out)) {
            Ok(()) | Err(ClusterError::Left) => {}
            Err(ClusterError::Superseded { by }) => {
                self.around.node.do_send(GoDown(StopReason::Superseded(Some(by))));
            }
            Err(error) => {
                metrics::counter!("quorate_cluster_refusals_total").increment(1);
                tracing::warn!(%error, "a datagram was refused");
            }
        }
    }
}

fn replace(former: &mut Option<SpawnHandle>, wake: SpawnHandle, ctx: &mut Context<Membership>) {
    if let Some(former) = former.replace(wake) {
        ctx.cancel_future(former);
    }
}

fn log(notice: Notice) {
    match notice {
        Notice::Reachable(member) => tracing::info!(%member, "reachable"),
        Notice::Unreachable(node) => tracing::info!(%node, "unreachable"),
        Notice::Superseded { old, new } => tracing::info!(%old, %new, "a node lives anew"),
        Notice::Stalled(late_by) => {
            metrics::counter!("quorate_stalls_total").increment(1);
            tracing::warn!(?late_by, "this process stood still; its suspicions wait");
        }
        Notice::Up(id) => tracing::info!(member = %id.member, addr = %id.addr, "a node is in the cluster"),
        Notice::Down(id) => tracing::info!(member = %id.member, "a node is no longer in the cluster"),
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
        self.drive(ctx, |presence, now, out| presence.on_linked(now, peer.member, peer.listens, out));
    }
}

impl Handler<Unlinked> for Membership {
    type Result = ();
    fn handle(&mut self, Unlinked(node): Unlinked, ctx: &mut Self::Context) {
        self.drive(ctx, |presence, now, out| presence.on_unlinked(now, node, out));
    }
}

impl Handler<GotDatagram> for Membership {
    type Result = ();
    fn handle(&mut self, GotDatagram(from, bytes): GotDatagram, ctx: &mut Self::Context) {
        match wire::read_datagram(&bytes) {
            Ok(Datagram::Beat(beat)) => {
                self.drive(ctx, |presence, now, out| presence.on_beat(now, from, beat, out));
            }
            Ok(Datagram::Swim(datagram)) => self.on_swim(from, &datagram, ctx),
            Err(error) => {
                metrics::counter!("quorate_malformed_datagrams_total").increment(1);
                tracing::warn!(%from, %error, "the link is closed");
                let peer = self.around.mesh.peer(from.node);
                if let Some(peer) = peer.filter(|peer| peer.info().member == from) {
                    peer.close(CloseReason::Violation(error.to_string()));
                }
            }
        }
    }
}

impl Handler<Introduce> for Membership {
    type Result = ();
    fn handle(&mut self, Introduce(entry): Introduce, ctx: &mut Self::Context) {
        self.drive(ctx, |presence, now, out| presence.declare(now, entry.spec.declared(), out));
        self.groups.one(entry.addr.recipient(), self.presence.introduction());
    }
}

impl Handler<AskRoundTrip> for Membership {
    type Result = ();
    fn handle(&mut self, AskRoundTrip(node, answer): AskRoundTrip, ctx: &mut Self::Context) {
        if let Some(sequence) = self.drive(ctx, |presence, now, out| presence.ask(now, node, out)) {
            self.round_trips.wait(node, sequence, answer);
        }
    }
}

impl Handler<LeaveCluster> for Membership {
    type Result = ();
    fn handle(&mut self, _: LeaveCluster, ctx: &mut Self::Context) {
        self.drive(ctx, Presence::leave);
    }
}

impl Handler<StopMembership> for Membership {
    type Result = ();
    fn handle(&mut self, _: StopMembership, ctx: &mut Self::Context) {
        self.around.canary.disarm();
        ctx.stop();
    }
}

impl Handler<AskPeers> for Membership {
    type Result = Vec<PeerStatus>;
    fn handle(&mut self, _: AskPeers, _: &mut Self::Context) -> Vec<PeerStatus> {
        let now = self.around.clock.now();
        let status = |known: KnownNode| {
            let KnownNode { node, member, addr, in_cluster, linked, reachable, lost_at } = known;
            let lost_for_ms = lost_at.map(|at| now.since(at).as_millis() as u64);
            PeerStatus { node, member, addr, in_cluster, linked, reachable, lost_for_ms }
        };
        self.presence.known().into_iter().map(status).collect()
    }
}
