//! One node: its cores, its links, and what waits while it stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bytes::Bytes;
use quorate_membership::{
    ClusterIdentity, GroupId, Incarnation, Member, NodeId, Stalls, StallsNoticed, Time, Timing,
};
use quorate_protocols::{
    Group, GroupConfig, Input, Presence, PresenceEffect, Ticket,
    bus::{
        Bindings, BoundGroup, BusBreach, Cursor, LinkId, PublisherId, Router, RouterEffect, SubscriptionId,
        Want,
    },
};
use rand::RngExt;

use super::{
    World,
    binding::bound_name,
    groups,
    network::{Mailbox, What},
    publication::Submitted,
    session::Session,
};
use crate::{busy::Busy, clock::Clock, replica::Replica};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) life: Member,
    /// `None`: the process is down.
    pub(super) parts: Option<Parts>,
    pub(super) clock: Clock,
    /// When the process last died.
    pub(super) died: Option<Time>,
    /// How many faults make it stand still.
    pub(super) pauses: u32,
    pub(super) busy: Busy,
    /// What reached it while it stood still, or since its last turn.
    pub(super) waiting: Vec<What>,
}

/// Bytes that a history keeps: so few that slow readers miss some.
const HISTORY_BYTES: usize = 1800;

/// A group with bound subjects at one member, and one reader there that is not fast.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) core: BoundGroup<Bytes>,
    pub(super) reader: Cursor,
    /// Counts how often the node has joined the group in its life.
    pub(super) stay: u64,
}

impl Bound {
    pub(super) fn new(me: Member, stay: u64, breach: Option<BusBreach>) -> Self {
        let session = if breach == Some(BusBreach::SameStay) { 0 } else { stay };
        let own = PublisherId { member: me, session };
        let core = BoundGroup::new(own, true, HISTORY_BYTES).with_breach(breach);
        let reader = core.begin(None);
        Self { core, reader, stay }
    }
}

/// What a process consists of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) presence: Presence,
    pub(super) router: Router,
    pub(super) bindings: Bindings,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) bound: BTreeMap<GroupId, Bound>,
    /// The groups that it was told to leave and has not joined again.
    pub(super) away: BTreeSet<GroupId>,
    /// Whether it was told to stop, which it may hear late.
    pub(super) told_to_stop: bool,
    /// Whether it stops.
    pub(super) stopping: bool,
    /// The clients that use it.
    pub(super) sessions: BTreeMap<usize, Session>,
    pub(super) links: BTreeMap<NodeId, u64>,
    wanted_links: BTreeSet<NodeId>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Want>,
    pub(super) tickets: BTreeMap<(GroupId, Ticket), Submitted>,
    /// Requests to groups whose answers are still collected.
    pub(super) asked: BTreeSet<(GroupId, Ticket)>,
    pub(super) replicas: BTreeMap<GroupId, Replica>,
    /// The wakes last asked for.
    pub(super) group_wakes: BTreeMap<GroupId, Time>,
    pub(super) detector_wake: Option<Time>,
    /// The detector's timer, and what each group has noticed of it.
    pub(super) stalls: Stalls,
    pub(super) noticed: BTreeMap<GroupId, StallsNoticed>,
    pub(super) cluster_wake: Option<Time>,
    /// From whom frames came since the detector looked last, and when.
    pub(super) signs: BTreeMap<Member, Time>,
    inbox: Want,
}

impl Node {
    /// The session of the link to a peer, as far as this node knows.
    pub(super) fn links_to(&self, peer: NodeId) -> Option<u64> {
        self.parts.as_ref()?.links.get(&peer).copied()
    }

    pub(super) fn wants_link(&self, peer: NodeId) -> bool {
        // The first two nodes are everybody's contacts.
        let wanted = |parts: &Parts| peer.get() <= 2 || parts.wanted_links.contains(&peer);
        self.parts.as_ref().is_some_and(wanted)
    }

    /// What the applications here want, and the answers to their requests.
    pub(super) fn own_wants(&self) -> BTreeSet<Want> {
        let Some(parts) = &self.parts else { return BTreeSet::new() };
        parts.subscriptions.values().chain([&parts.inbox]).cloned().collect()
    }
}

impl Parts {
    pub(super) fn keep_link(&mut self, node: NodeId, wanted: bool) {
        if wanted {
            self.wanted_links.insert(node);
        } else {
            self.wanted_links.remove(&node);
        }
    }
}

impl World {
    /// Starts a process: its node's first, or the next life of the node.
    pub(super) fn start(&mut self, node: NodeId) {
        let before = self.nodes.remove(&node);
        let clock = before.as_ref().map_or(Clock::RIGHT, |node| node.clock);
        let (now, died) = (clock.read(self.now), before.as_ref().and_then(|node| node.died));
        let lives = before.as_ref().map_or(0, |node| node.life.incarnation.get());
        let life = Member::new(node, Incarnation::new(lives + 1));
        let mine = |config: &&GroupConfig| groups::parties(config).any(|it| it == node);
        let configs: Vec<&GroupConfig> = self.configs.iter().filter(mine).collect();
        let declared: BTreeSet<NodeId> = configs.iter().flat_map(|config| groups::parties(config)).collect();
        let declared = declared.into_iter().filter(|it| *it != node).collect();
        let identity = ClusterIdentity::new(life, address(node));
        let mut effects = Vec::new();
        let presence =
            Presence::new(identity, Timing::DEFAULT, self.rng.random(), declared, now, &mut effects)
                .with_breach(self.configs[0].breach);
        let breach = self.breach;
        let router = Router::new(life).expect("a node has an inbox").with_breach(breach);
        let inbox = format!("_inbox.{}.{}.>", life.node, life.incarnation);
        let groups = configs.iter().map(|config| (config.group, Group::new((*config).clone(), life, now)));
        let groups: BTreeMap<_, _> = groups.collect();
        let bound = groups.keys().filter(|group| bound_name(**group).is_some());
        let bound = bound.map(|group| (*group, Bound::new(life, 0, breach)));
        let parts = Parts {
            presence,
            router,
            bindings: Bindings::default().with_breach(breach),
            bound: bound.collect(),
            groups,
            away: BTreeSet::new(),
            told_to_stop: false,
            stopping: false,
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            wanted_links: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            tickets: BTreeMap::new(),
            asked: BTreeSet::new(),
            replicas: BTreeMap::new(),
            group_wakes: BTreeMap::new(),
            detector_wake: None,
            stalls: Stalls::new(Timing::DEFAULT),
            noticed: BTreeMap::new(),
            cluster_wake: None,
            signs: BTreeMap::new(),
            inbox: Want { pattern: inbox.parse().expect("a pattern"), queue: None },
        };
        let (pauses, busy, waiting) =
            before.map(|node| (node.pauses, node.busy, node.waiting)).unwrap_or_default();
        self.nodes.insert(node, Node { life, parts: Some(parts), clock, died, pauses, busy, waiting });
        self.perform_presence(life, effects);
        let groups: Vec<GroupId> =
            self.nodes[&node].parts.iter().flat_map(|it| it.groups.keys().copied()).collect();
        for group in groups {
            self.feed(life, group, Vec::new());
            if bound_name(group).is_some() {
                self.soon(0..50_000, What::Read(life, group));
                self.carry(life, group, true);
            }
        }
        self.subscribe_first(life);
    }

    /// A process ends, with all that it remembers.
    pub(super) fn end_process(&mut self, node: NodeId) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&node) else { return };
        node.parts = None;
        node.died = Some(now);
        self.bus.on_crash(node.life);
        // What has arrived dies with the process; the applications' timer belongs to the node.
        node.waiting.retain(|what| matches!(what, What::Application(_)));
    }

    /// What waited is taken in mailbox by mailbox, and it is chance whose turn comes first.
    pub(super) fn resume(&mut self, node: NodeId) {
        let Some(node) = self.nodes.get_mut(&node) else { return };
        node.pauses -= 1;
        if node.pauses > 0 || node.busy.is_busy() {
            return;
        }
        let waiting = std::mem::take(&mut node.waiting);
        self.take_all(waiting);
    }

    fn take_all(&mut self, mut waiting: Vec<What>) {
        let mut turns: BTreeMap<Mailbox, u64> = BTreeMap::new();
        waiting.sort_by_cached_key(|what| *turns.entry(what.mailbox()).or_insert_with(|| self.rng.random()));
        for what in waiting {
            self.happen(what);
        }
    }

    /// Others begin to take the machine of a node.
    pub(super) fn grow_busy(&mut self, node: NodeId, millis: u32) {
        if self.nodes.get_mut(&node).is_some_and(|it| it.busy.begin(millis)) {
            self.turn(node);
        }
    }

    /// They take it no longer.
    pub(super) fn grow_idle(&mut self, node: NodeId, millis: u32) {
        if self.nodes.get_mut(&node).is_some_and(|it| it.busy.end(millis)) {
            self.turn(node);
        }
    }

    /// A process takes in what has reached it since its last turn, timers first.
    pub(super) fn turn(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let busy = std::mem::take(&mut node.busy);
        if node.pauses == 0 {
            let (timers, rest) = std::mem::take(&mut node.waiting).into_iter().partition(What::is_timer);
            self.take_all(timers);
            self.take_all(rest);
        }
        let next = busy.millis();
        if let Some(node) = self.nodes.get_mut(&id) {
            node.busy = busy;
        }
        if let Some(millis) = next {
            self.soon(0..u64::from(millis) * 1000, What::Turn(id));
        }
    }

    pub(super) fn happen(&mut self, what: What) {
        let at = match &what {
            What::Check(a, b) => return self.check_link(*a, *b),
            What::Begin(index) => return self.begin(*index),
            What::End(index) => return self.end(*index),
            What::Heal(number) => return self.heal(*number),
            What::Turn(node) if self.nodes[node].busy.is_busy() => return self.turn(*node),
            What::Turn(_) => return, // it had its last one when that was over
            What::Client(index) => return self.step_client(*index),
            What::Tell { client, session, tell } => return self.on_tell(*client, *session, *tell),
            What::Application(node) => (*node, None),
            What::Datagram { to, .. } => (*to, None),
            What::Frame { to, .. } | What::Ask { to, .. } => (to.node, Some(*to)),
            What::Linked { at: life, .. }
            | What::Unlinked { at: life, .. }
            | What::Serve { at: life, .. }
            | What::Gone { at: life, .. }
            | What::GroupWake(life, ..)
            | What::DetectorWake(life, _)
            | What::ClusterWake(life, _)
            | What::Read(life, _)
            | What::TimedOut(life, _)
            | What::Leave(life)
            | What::Join(life)
            | What::Stop(life)
            | What::Quit(life)
            | What::HandIn(life, _)
            | What::Settle(life, _)
            | What::AskMarks(life, _)
            | What::GiveUp(life, _)
            | What::Reply { by: life, .. }
            | What::Snapshot { by: life, .. }
            | What::Answer { by: life, .. } => (life.node, Some(*life)),
        };
        let Some(node) = self.nodes.get_mut(&at.0) else { return };
        if at.1.is_some_and(|life| life != node.life) {
            return; // it was for a former life
        }
        if node.pauses > 0 || node.busy.is_busy() {
            node.waiting.push(what);
            return;
        }
        if node.parts.is_none() {
            if let What::Application(node) = what {
                self.soon(50_000..100_000, What::Application(node)); // it comes back with the process
            }
            return;
        }
        let life = node.life;
        self.take(life, what);
    }

    /// A process that runs takes in what has reached it.
    fn take(&mut self, life: Member, what: What) {
        let now = self.nodes[&life.node].clock.read(self.now);
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        match what {
            What::Frame { from, session, frame, .. } => self.on_frame(life, from, session, frame),
            What::Datagram { from, datagram, .. } => self.on_datagram(life, from, datagram),
            What::Linked { peer, session, .. } => {
                parts.links.insert(peer.node, session);
                self.presence(life, |it, now, out| it.on_linked(now, peer, Some(address(peer.node)), out));
                self.router(life, |router, out| router.on_link(peer.node, LinkId::new(session), out));
                self.bindings(life, |it, out| it.on_link(peer.node, LinkId::new(session), out));
            }
            What::Unlinked { peer, session, .. } if parts.links.get(&peer.node) == Some(&session) => {
                parts.links.remove(&peer.node);
                self.presence(life, |it, now, out| it.on_unlinked(now, peer.node, out));
                self.router(life, |router, out| router.on_unlink(peer.node, LinkId::new(session), out));
                self.bindings(life, |it, out| it.on_unlink(peer.node, LinkId::new(session), out));
            }
            What::GroupWake(_, group, at) if parts.group_wakes.get(&group) == Some(&at) => {
                self.feed(life, group, vec![Input::Wake]);
            }
            What::Reply { group, request, payload, .. } => {
                self.feed(life, group, vec![Input::Answer { request, payload }]);
            }
            What::Snapshot { group, view, state, .. } => {
                self.feed(life, group, vec![Input::Snapshot { view, state }]);
            }
            What::DetectorWake(_, at) if parts.detector_wake == Some(at) && at <= now => {
                parts.stalls.expect(now, None);
                let signs = std::mem::take(&mut parts.signs);
                self.presence(life, |presence, now, out| {
                    for (from, at) in signs {
                        presence.on_frames(now, from, at, out);
                    }
                    presence.on_detector_wake(now, out);
                });
            }
            What::ClusterWake(_, at) if parts.cluster_wake == Some(at) && at <= now => {
                self.presence(life, Presence::on_cluster_wake);
            }
            What::Application(_) => self.work(life),
            What::Read(_, group) => self.read(life, group),
            What::Ask { client, session, ask, .. } => self.on_ask(life, client, session, ask),
            What::Serve { client, session, .. } => self.serve(life, client, session),
            What::Gone { client, session, .. } => self.on_gone(life, client, session),
            What::Leave(_) => self.leave(life),
            What::Join(_) => self.join_again(life),
            What::Stop(_) => self.stop(life),
            What::Quit(_) => self.quit(life),
            What::HandIn(_, publication) => self.submit_published(life, publication),
            What::Settle(_, publication) => self.on_published_fate(life, publication, true),
            What::AskMarks(_, group) => self.ask_marks(life, group),
            What::GiveUp(_, group) => self.give_up(life, group),
            What::TimedOut(_, request) => self.time_out(life, request),
            What::Answer { to, payload, .. } => self.publish(life, &to, None, payload),
            _ => {} // of a link or a wake that is no more
        }
    }

    /// Lets the routing do something, and carries out what it wants done.
    pub(super) fn router<T>(
        &mut self,
        life: Member,
        act: impl FnOnce(&mut Router, &mut Vec<RouterEffect>) -> T,
    ) -> Option<T> {
        let parts = self.nodes.get_mut(&life.node)?.parts.as_mut()?;
        let mut out = Vec::new();
        let done = act(&mut parts.router, &mut out);
        self.perform_router(life, out);
        Some(done)
    }

    pub(super) fn presence(
        &mut self,
        life: Member,
        act: impl FnOnce(&mut Presence, Time, &mut Vec<PresenceEffect>),
    ) {
        let now = self.nodes[&life.node].clock.read(self.now);
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let mut out = Vec::new();
        // Whatever queued up while the process stood still comes after the news that it did.
        parts.presence.check(now, &mut out);
        act(&mut parts.presence, now, &mut out);
        self.perform_presence(life, out);
    }
}

fn address(node: NodeId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node.get() as u8], 4000))
}
