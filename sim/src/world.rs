//! Nodes, clock and network of one simulated cluster.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{Incarnation, Member, NodeId, Time};
use quorate_protocols::{
    Audience, Collect, Effect, Effects, Event, Fate, Group, GroupConfig, Input, Message, RequestId, Ticket,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use crate::{Checker, Fault, Schedule};

/// What happened in a run, to show that it was not empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Messages submitted.
    pub submitted: u64,
    /// Messages delivered, counted at each member.
    pub delivered: u64,
    /// Messages to one member that it delivered, and answers that came.
    pub letters: u64,
    /// Messages whose sender was told that they are uniform.
    pub uniform: u64,
    /// Faults that began.
    pub faults: u64,
    /// Messages between nodes.
    pub sent: u64,
    /// A digest of everything that happened, in order: equal for equal runs.
    pub digest: u64,
}

struct Node {
    life: Member,
    group: Option<Group>,
    paused: bool,
    waiting: Vec<What>,
    tickets: BTreeMap<Ticket, Bytes>,
    asked: BTreeSet<Ticket>,
    /// Since when each other node has been out of touch, as the failure detector sees it.
    silent_since: BTreeMap<NodeId, Time>,
    reachable: BTreeMap<NodeId, Member>,
}

enum What {
    Arrive { from: Member, to: NodeId, message: Box<Message> },
    Wake { life: Member },
    Scan { node: NodeId },
    Submit { node: NodeId },
    Answer { life: Member, request: RequestId, payload: Bytes },
    Begin(usize),
    End(usize),
}

/// A simulated cluster that hosts one group on all of its nodes.
pub struct World {
    now: Time,
    rng: SmallRng,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    due: BTreeMap<u64, What>,
    counter: u64,
    nodes: BTreeMap<NodeId, Node>,
    config: GroupConfig,
    schedule: Schedule,
    active: BTreeSet<usize>,
    submissions_until: Time,
    checker: Checker,
    tally: Tally,
    trace: bool,
}

impl World {
    /// Builds a cluster of the config's founders and witnesses, all starting at once.
    pub fn new(seed: u64, config: GroupConfig, schedule: Schedule, submissions_until: Time) -> Self {
        let mut world = Self {
            now: Time::ZERO,
            rng: SmallRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            counter: 0,
            nodes: BTreeMap::new(),
            checker: Checker::new(config.order),
            config,
            schedule,
            active: BTreeSet::new(),
            submissions_until,
            tally: Tally::default(),
            trace: false,
        };
        let all: Vec<NodeId> = world.config.founders.iter().chain(&world.config.witnesses).copied().collect();
        for node in all {
            world.start(node);
            let first = world.rng.random_range(0..20_000);
            world.at(Duration::from_micros(first), What::Scan { node });
            world.at(Duration::from_micros(first), What::Submit { node });
        }
        for (index, (begin, end, _)) in world.schedule.0.clone().into_iter().enumerate() {
            world.push(begin, What::Begin(index));
            world.push(end, What::End(index));
        }
        world
    }

    /// Prints views, faults and everything else that is not a message, as it happens.
    pub const fn trace(&mut self) {
        self.trace = true;
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{}  {}", self.now, what());
        }
    }

    /// What was seen so far.
    pub const fn checker(&self) -> &Checker {
        &self.checker
    }

    /// What has happened so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Runs until this moment, or until a property is broken.
    pub fn run_until(&mut self, until: Time) {
        while let Some(Reverse((at, id))) = self.queue.peek().copied() {
            if at > until || self.checker.violation().is_some() {
                break;
            }
            self.queue.pop();
            self.now = at;
            if let Some(what) = self.due.remove(&id) {
                self.happen(what);
            }
        }
        self.now = self.now.max(until);
    }

    /// Why the healed cluster has not finished its work; `None` if it has.
    pub fn unfinished(&self) -> Option<String> {
        let mut views = BTreeSet::new();
        for (id, node) in &self.nodes {
            let Some(group) = &node.group else { return Some(format!("{id} is down")) };
            let Some(view) = group.view() else { return Some(format!("{id} is outside")) };
            if group.is_sealed() || group.is_wedged() {
                return Some(format!("{id} is still changing {view}"));
            }
            if !node.tickets.is_empty() {
                return Some(format!("{id} waits for the fate of {} messages in {view}", node.tickets.len()));
            }
            if !node.asked.is_empty() {
                return Some(format!("{id} waits for answers to {} requests in {view}", node.asked.len()));
            }
            views.insert(view.to_string());
        }
        (views.len() > 1).then(|| format!("views differ: {views:?}"))
    }

    fn at(&mut self, after: Duration, what: What) {
        self.push(self.now + after, what);
    }

    fn push(&mut self, at: Time, what: What) {
        self.counter += 1;
        self.queue.push(Reverse((at, self.counter)));
        self.due.insert(self.counter, what);
    }

    fn start(&mut self, node: NodeId) {
        let before = self.nodes.get(&node).map_or(0, |n| n.life.incarnation.get());
        let life = Member::new(node, Incarnation::new(before + 1));
        let group = Group::new(self.config.clone(), life, self.now);
        let fresh = Node {
            life,
            group: Some(group),
            paused: false,
            waiting: Vec::new(),
            tickets: BTreeMap::new(),
            asked: BTreeSet::new(),
            silent_since: BTreeMap::new(),
            reachable: BTreeMap::new(),
        };
        self.nodes.insert(node, fresh);
        self.feed(node, Vec::new());
    }

    fn happen(&mut self, what: What) {
        let node = match &what {
            What::Arrive { to, .. } => *to,
            What::Wake { life } | What::Answer { life, .. } => life.node,
            What::Scan { node } | What::Submit { node } => *node,
            What::Begin(index) => return self.begin(*index),
            What::End(index) => return self.end(*index),
        };
        let Some(state) = self.nodes.get_mut(&node) else { return };
        if state.paused {
            state.waiting.push(what);
            return;
        }
        match what {
            What::Arrive { from, message, .. } => {
                self.feed(node, vec![Input::Received { from, message: *message }]);
            }
            What::Wake { life } if life == state.life => self.feed(node, vec![Input::Wake]),
            What::Answer { life, request, payload } if life == state.life => {
                self.feed(node, vec![Input::Answer { request, payload }]);
            }
            What::Answer { .. } | What::Wake { .. } | What::Begin(_) | What::End(_) => {}
            What::Scan { .. } => self.scan(node),
            What::Submit { .. } => self.submit(node),
        }
    }

    /// Feeds one batch of inputs to a node's group and carries out what it asks for.
    fn feed(&mut self, node: NodeId, inputs: Vec<Input>) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let Some(group) = &mut state.group else { return };
        let mut effects = Effects::new();
        let mut refused = Vec::new();
        for input in inputs {
            let ticket = match &input {
                Input::Submit { ticket, .. } | Input::SendTo { ticket, .. } | Input::Ask { ticket, .. } => {
                    Some(*ticket)
                }
                _ => None,
            };
            // Frames of earlier lives are refused here, as they must be.
            if group.handle(self.now, input, &mut effects).is_err() {
                refused.extend(ticket);
            }
        }
        for ticket in refused {
            state.tickets.remove(&ticket);
            if state.asked.remove(&ticket) {
                self.checker.letters.on_collected(state.life, ticket);
            }
        }
        group.flush(self.now, &mut effects);
        let life = state.life;
        for effect in effects {
            self.perform(life, effect);
        }
    }

    fn perform(&mut self, life: Member, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                for node in to.iter() {
                    self.carry(life, *node, &message);
                }
            }
            Effect::WakeAt(at) => self.push(at, What::Wake { life }),
            Effect::Fate { ticket, fate } => {
                let Some(state) = self.nodes.get_mut(&life.node) else { return };
                if fate == Fate::Everywhere {
                    return;
                }
                let Some(payload) = state.tickets.remove(&ticket) else { return };
                match fate {
                    Fate::Uniform => {
                        self.tally.uniform += 1;
                        self.checker.on_uniform(life, &payload);
                    }
                    Fate::Delivered | Fate::Lost => {
                        self.checker.letters.on_fate(&payload, fate == Fate::Delivered);
                    }
                    _ => {}
                }
            }
            Effect::Answer { ticket, from, payload } => {
                self.tally.letters += 1;
                self.checker.letters.on_answer(life, ticket, from, &payload);
            }
            Effect::Collected { ticket, .. } => {
                self.checker.letters.on_collected(life, ticket);
                if let Some(state) = self.nodes.get_mut(&life.node) {
                    state.asked.remove(&ticket);
                }
            }
            Effect::Deliver(event) => self.observe(life, event),
            _ => {}
        }
    }

    fn observe(&mut self, life: Member, event: Event) {
        match &event {
            Event::Message { .. } | Event::Direct { .. } | Event::Request { .. } => {}
            Event::View(view) => self.say(|| format!("{life} enters {view} {:?}", view.changes)),
            other => self.say(|| format!("{life} {other:?}")),
        }
        match event {
            Event::View(view) => {
                self.note(view.id.epoch ^ life.node.get() << 32);
                self.checker.on_view(life, &view);
            }
            Event::Message { view, sender, seq, index, payload } => {
                self.tally.delivered += 1;
                self.note(seq.get() ^ sender.node.get() << 40 ^ life.node.get() << 48);
                self.checker.on_message(life, view, (sender, seq, index), &payload);
            }
            Event::Direct { view, from, payload } => {
                self.tally.letters += 1;
                self.checker.letters.on_letter(life, view, from, &payload);
            }
            Event::Request { view, request, place, payload } => {
                match place {
                    Some((seq, index)) => {
                        self.checker.on_message(life, view, (request.asker, seq, index), &payload);
                    }
                    None => self.checker.letters.on_letter(life, view, request.asker, &payload),
                }
                let pause = Duration::from_micros(self.rng.random_range(0..30_000));
                self.at(pause, What::Answer { life, request, payload });
            }
            Event::Removed { .. } | Event::LineageLost | Event::Left => self.checker.on_outside(life),
            _ => {}
        }
    }

    fn note(&mut self, value: u64) {
        self.tally.digest =
            (self.tally.digest ^ value ^ self.now.as_nanos()).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The network: delays everything, loses and doubles some, and keeps no order.
    fn carry(&mut self, from: Member, to: NodeId, message: &Message) {
        self.tally.sent += 1;
        let loss = self.loss();
        if self.is_cut(from.node, to) || self.rng.random_range(0..100) < loss {
            return;
        }
        let copies = if self.rng.random_range(0..100) < loss { 2 } else { 1 };
        for _ in 0..copies {
            let micros = if self.rng.random_range(0..50) == 0 { 20_000 } else { 400 };
            let delay = Duration::from_micros(50 + self.rng.random_range(0..micros));
            self.at(delay, What::Arrive { from, to, message: Box::new(message.clone()) });
        }
    }

    fn loss(&self) -> u32 {
        let faults = self.active.iter().map(|index| &self.schedule.0[*index].2);
        faults.map(|fault| if let Fault::Loss(percent) = fault { *percent } else { 0 }).max().unwrap_or(0)
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.active.iter().any(|index| match &self.schedule.0[*index].2 {
            Fault::CutOneWay(a, b) => from == *a && to == *b,
            Fault::Cut(a, b) => (from == *a && to == *b) || (from == *b && to == *a),
            Fault::Partition(side) => side.contains(&from) != side.contains(&to),
            _ => false,
        })
    }

    /// A failure detector that suspects after the detection time and hears mutually.
    fn scan(&mut self, node: NodeId) {
        self.at(self.config.timing.heartbeat(), What::Scan { node });
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|other| *other != node).collect();
        let mut news = Vec::new();
        for other in others {
            let cut = self.is_cut(node, other) || self.is_cut(other, node);
            let peer = &self.nodes[&other];
            let heard = (!cut && !peer.paused && peer.group.is_some()).then_some(peer.life);
            let detect = self.config.timing.detect();
            let Some(state) = self.nodes.get_mut(&node) else { return };
            if let Some(life) = heard {
                state.silent_since.remove(&other);
                if state.reachable.insert(other, life) != Some(life) {
                    news.push(Input::Reachable(life));
                }
            } else {
                let since = *state.silent_since.entry(other).or_insert(self.now);
                if self.now.since(since) >= detect && state.reachable.remove(&other).is_some() {
                    news.push(Input::Unreachable(other));
                }
            }
        }
        if !news.is_empty() {
            self.feed(node, news);
        }
    }

    fn submit(&mut self, node: NodeId) {
        if self.now > self.submissions_until {
            return;
        }
        let pause = self.rng.random_range(1_000..40_000);
        self.at(Duration::from_micros(pause), What::Submit { node });
        if self.config.witnesses.contains(&node) {
            return;
        }
        let count = self.rng.random_range(1..4);
        let mut inputs = Vec::new();
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let idle = state.group.as_ref().is_none_or(|group| group.has_left() || group.room() == 0);
        if idle || state.tickets.len() > 200 {
            return;
        }
        for _ in 0..count {
            self.tally.submitted += 1;
            let ticket = Ticket(self.tally.submitted);
            let payload = Bytes::copy_from_slice(&self.tally.submitted.to_be_bytes());
            let kind = self.rng.random_range(0..20);
            let members = state.group.as_ref().and_then(Group::view).map_or(&[][..], |view| &view.members);
            let to = members.choose(&mut self.rng).copied();
            let letter = to.filter(|_| kind < 4);
            match letter {
                Some(to) => self.checker.letters.on_send(state.life, to, payload.clone()),
                None => self.checker.on_submit(state.life, payload.clone()),
            }
            state.tickets.insert(ticket, payload.clone());
            if let 3..5 = kind {
                state.asked.insert(ticket);
                self.checker.letters.on_ask(state.life, ticket, payload.clone());
                let to = letter.map_or(Audience::Group, Audience::One);
                let collect = [Collect::First, Collect::Majority, Collect::All][count % 3];
                inputs.push(Input::Ask { ticket, to, payload, collect });
            } else if let Some(to) = letter {
                inputs.push(Input::SendTo { ticket, to, payload });
            } else {
                inputs.push(Input::Submit { ticket, payload });
            }
        }
        self.feed(node, inputs);
    }

    fn begin(&mut self, index: usize) {
        self.tally.faults += 1;
        self.say(|| format!("begins: {}", self.schedule.0[index].2));
        self.active.insert(index);
        match self.schedule.0[index].2.clone() {
            Fault::Crash(node) => {
                if let Some(state) = self.nodes.get_mut(&node) {
                    state.group = None;
                    state.tickets.clear();
                    state.asked.clear();
                    // What has arrived dies with the process; the detector's and the
                    // application's own timers belong to the node, not to this life.
                    state.waiting.retain(|what| matches!(what, What::Scan { .. } | What::Submit { .. }));
                }
            }
            Fault::Pause(node) => {
                if let Some(state) = self.nodes.get_mut(&node) {
                    state.paused = true;
                }
            }
            Fault::Leave(node) => self.feed(node, vec![Input::Leave]),
            _ => {}
        }
    }

    fn end(&mut self, index: usize) {
        self.say(|| format!("ends: {}", self.schedule.0[index].2));
        self.active.remove(&index);
        match self.schedule.0[index].2.clone() {
            Fault::Crash(node) if self.nodes[&node].group.is_none() => self.restart(node),
            Fault::Leave(node) => match &self.nodes[&node].group {
                Some(group) if group.has_left() => self.restart(node),
                Some(_) => self.at(Duration::from_millis(100), What::End(index)), // not let go yet
                None => {}
            },
            Fault::Pause(node) => {
                let still = |i: &usize| self.schedule.0[*i].2 == Fault::Pause(node);
                if self.active.iter().any(still) {
                    return;
                }
                let Some(state) = self.nodes.get_mut(&node) else { return };
                state.paused = false;
                let waiting = std::mem::take(&mut state.waiting);
                for what in waiting {
                    self.happen(what);
                }
            }
            _ => {}
        }
    }

    fn restart(&mut self, node: NodeId) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let (paused, waiting) = (state.paused, std::mem::take(&mut state.waiting));
        self.start(node);
        if let Some(state) = self.nodes.get_mut(&node) {
            (state.paused, state.waiting) = (paused, waiting);
        }
        self.at(Duration::ZERO, What::Submit { node });
    }
}
