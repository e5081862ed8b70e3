//! Nodes, clock and network of one simulated cluster.

mod application;
mod effects;
mod faults;
mod lanes;
mod network;
mod node;
mod strike;
mod tally;
mod what;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use quorate_membership::{Detector, Incarnation, Member, NodeId, Time, agreement::Ballot};
use quorate_protocols::{Effects, Group, GroupConfig, Input};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    Checker, History, Schedule, armed::Armed, clock::Clock, queue::Queue, replica::Replica,
    sending::ticket_of,
};
pub use lanes::Rates;
use lanes::{Lane, Lanes};
use node::Node;
pub use tally::Tally;
use what::What;

/// A simulated cluster that hosts one group on all of its nodes.
pub struct World {
    now: Time,
    rng: SmallRng,
    queue: Queue<What>,
    nodes: BTreeMap<NodeId, Node>,
    config: GroupConfig,
    schedule: Schedule,
    active: BTreeSet<usize>,
    armed: Armed,
    /// The latest attempt of each coordinator.
    ballots: BTreeMap<NodeId, Ballot>,
    submissions_until: Time,
    lanes: Lanes,
    checker: Checker,
    tally: Tally,
    history: Option<History>,
    /// Whether applications send on hearing of a view only, and whether they send again what was lost.
    greets: bool,
    retries: bool,
    /// How long states and multicast messages are at least, in bytes.
    state_bytes_min: usize,
    message_bytes_min: usize,
    /// How many times as long as usual applications pause between messages.
    pauses: u32,
    trace: bool,
}

impl World {
    /// Builds a cluster of the config's founders and witnesses, all starting at once.
    pub fn new(seed: u64, config: GroupConfig, schedule: Schedule, submissions_until: Time) -> Self {
        let mut world = Self {
            now: Time::ZERO,
            rng: SmallRng::seed_from_u64(seed),
            queue: Queue::default(),
            nodes: BTreeMap::new(),
            checker: Checker::new(&config),
            config,
            schedule,
            active: BTreeSet::new(),
            armed: Armed::default(),
            ballots: BTreeMap::new(),
            submissions_until,
            lanes: Lanes::default(),
            tally: Tally::default(),
            history: None,
            greets: false,
            retries: false,
            state_bytes_min: 0,
            message_bytes_min: 0,
            pauses: 1,
            trace: false,
        };
        let all: Vec<NodeId> = world.config.founders.iter().chain(&world.config.witnesses).copied().collect();
        for node in all {
            world.start(node);
            let first = world.rng.random_range(0..20_000);
            world.at(Duration::from_micros(first), What::Submit(node));
        }
        for (index, (begin, end, _)) in world.schedule.0.clone().into_iter().enumerate() {
            world.queue.push(begin, What::Begin(index));
            world.queue.push(end, What::End(index));
        }
        world
    }

    /// Prints views, faults and everything else that is not a message, as it happens.
    pub const fn trace(&mut self) {
        self.trace = true;
    }

    /// Whether applications send on hearing of a view only, and whether they send again what was lost.
    pub const fn behave(&mut self, greets: bool, retries: bool) {
        self.greets = greets;
        self.retries = retries;
    }

    /// Makes the states that newcomers get at least so many bytes long.
    pub const fn pad_states(&mut self, bytes: usize) {
        self.state_bytes_min = bytes;
    }

    /// Makes the messages that are multicast at least so many bytes long.
    pub const fn pad_messages(&mut self, bytes: usize) {
        self.message_bytes_min = bytes;
    }

    /// Makes applications pause so many times as long as usual between messages, for long runs.
    pub const fn slow_down(&mut self, times: u32) {
        self.pauses = times;
    }

    /// Lets every link carry no more than this from now on.
    pub const fn limit(&mut self, rates: Rates) {
        self.lanes.limit(rates);
    }

    /// The longest that so many of a thousand heartbeats and control messages took to arrive, since
    /// [`Self::limit`].
    pub fn control_took(&self, per_mille: usize) -> Duration {
        self.lanes.took(Lane::Control, per_mille)
    }

    /// The same of multicast messages.
    pub fn data_took(&self, per_mille: usize) -> Duration {
        self.lanes.took(Lane::Data, per_mille)
    }

    /// Bytes of state that a node keeps for newcomers.
    pub fn kept_state_bytes(&self, node: NodeId) -> usize {
        self.nodes.get(&node).and_then(|node| node.group.as_ref()).map_or(0, Group::snapshot_bytes)
    }

    /// Messages of a node that it was told are uniform.
    pub fn uniform_of(&self, node: NodeId) -> u64 {
        self.nodes.get(&node).map_or(0, |node| node.uniform)
    }

    /// Keeps what the applications see, for tests that look at it afterwards.
    pub fn record(&mut self) {
        self.history = Some(History::default());
    }

    /// The same without messages, for long runs.
    pub fn record_views(&mut self) {
        self.history = Some(History::without_messages());
    }

    /// What the applications saw since [`Self::record`].
    pub fn into_history(self) -> History {
        self.history.unwrap_or_default()
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
    pub fn tally(&self) -> Tally {
        Tally { views: self.checker.views() as u64, ..self.tally }
    }

    /// Runs until this moment, or until a property is broken.
    pub fn run_until(&mut self, until: Time) {
        while self.checker.violation().is_none() {
            let Some((at, what)) = self.queue.pop(until) else {
                self.now = self.now.max(until);
                return;
            };
            self.now = at;
            self.happen(what);
        }
    }

    /// Why the healed cluster has not finished its work; `None` if it has.
    pub fn unfinished(&self) -> Option<String> {
        let mut views = BTreeSet::new();
        for (id, node) in &self.nodes {
            let Some(group) = &node.group else { return Some(format!("{id} is down")) };
            let Some(view) = group.view() else { return Some(format!("{id} is outside")) };
            if group.is_sealed() || group.is_wedged() {
                return Some(format!("{id} is still changing {view}: {:?}", group.waits()));
            }
            if !node.tickets.is_empty() {
                return Some(format!("{id} waits for the fate of {} messages in {view}", node.tickets.len()));
            }
            if !node.asked.is_empty() {
                return Some(format!("{id} waits for answers to {} requests in {view}", node.asked.len()));
            }
            if !view.learners.is_empty() {
                return Some(format!("learners are left in {view}"));
            }
            if group.snapshot_bytes() > 0 {
                return Some(format!("{id} keeps {} bytes of state for nobody", group.snapshot_bytes()));
            }
            views.insert((view.id, view.to_string()));
        }
        (views.len() > 1).then(|| format!("views differ: {views:?}"))
    }

    fn at(&mut self, after: Duration, what: What) {
        self.queue.push(self.now + after, what);
    }

    /// Starts a process: its node's first, or the next life of the node.
    fn start(&mut self, node: NodeId) {
        let before = self.nodes.remove(&node);
        let lives = before.as_ref().map_or(0, |n| n.life.incarnation.get());
        let life = Member::new(node, Incarnation::new(lives + 1));
        let clock = before.as_ref().map_or(Clock::RIGHT, |n| n.clock);
        let now = clock.read(self.now);
        let mut detector = Detector::new(life, self.config.timing).with_breach(self.config.breach);
        let mut news = Vec::new();
        let peers = self.config.founders.iter().chain(&self.config.witnesses);
        peers.for_each(|peer| detector.watch(now, *peer, &mut news));
        let fresh = Node {
            life,
            clock,
            detector,
            group: Some(Group::new(self.config.clone(), life, now)),
            pauses: before.as_ref().map_or(0, |n| n.pauses),
            busy: before.as_ref().map(|n| n.busy.clone()).unwrap_or_default(),
            uniform: before.as_ref().map_or(0, |n| n.uniform),
            waiting: before.map(|n| n.waiting).unwrap_or_default(),
            tickets: BTreeMap::new(),
            asked: BTreeSet::new(),
            replica: Replica::default(),
            wake: None,
            look: None,
            died: None,
        };
        self.nodes.insert(node, fresh);
        self.perform_detector(node, news);
        self.feed(node, Vec::new());
    }

    fn happen(&mut self, what: What) {
        let node = match &what {
            What::Arrive { to, .. } | What::Beat { to, .. } => *to,
            What::Wake(life)
            | What::Look(life)
            | What::Answer { by: life, .. }
            | What::Again { by: life, .. }
            | What::Snapshot { by: life, .. } => life.node,
            What::Submit(node) => *node,
            What::Begin(index) => return self.begin(*index),
            What::End(index) => return self.end(*index),
            What::Heal(number) => return self.heal(*number),
            What::Turn(node) => {
                // Ended meanwhile: then it had its last turn.
                let busy = self.nodes.get(node).is_some_and(|state| state.busy.is_busy());
                if busy {
                    self.turn(*node);
                }
                return;
            }
            What::Leave(way, planned) => return self.leave(*way, *planned),
        };
        let Some(state) = self.nodes.get_mut(&node) else { return };
        if state.pauses > 0 || state.busy.is_busy() {
            state.waiting.push(what);
        } else {
            self.take(node, what);
        }
    }

    /// A node that runs takes in what has reached it.
    fn take(&mut self, node: NodeId, what: What) {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| state.is_up()) else {
            if let What::Submit(node) = what {
                self.submit(node); // the application comes back with the process
            }
            return;
        };
        let (now, life) = (state.clock.read(self.now), state.life);
        let mut news = Vec::new();
        // Whatever queued up while the process stood still comes after the news that it did.
        state.detector.check(now, &mut news);
        match what {
            What::Arrive { from, message, .. } => {
                state.detector.on_frames(now, from, now, &mut news);
                self.perform_detector(node, news);
                self.feed(node, vec![Input::Received { from, message: Arc::unwrap_or_clone(message) }]);
            }
            What::Beat { from, beat, .. } => {
                state.detector.on_beat(now, from, beat, &mut news);
                self.perform_detector(node, news);
            }
            What::Look(of) if of == life && state.look.is_some_and(|at| at <= now) => {
                state.look = None;
                state.detector.on_wake(now, &mut news);
                self.perform_detector(node, news);
            }
            What::Wake(of) if of == life && state.wake.is_some_and(|at| at <= now) => {
                state.wake = None;
                self.perform_detector(node, news);
                self.feed(node, vec![Input::Wake]);
            }
            What::Answer { by, request, payload } if by == life => {
                self.perform_detector(node, news);
                self.feed(node, vec![Input::Answer { request, payload }]);
            }
            What::Again { by, payload } if by == life => {
                self.perform_detector(node, news);
                self.submit_again(node, payload);
            }
            What::Snapshot { by, view, state } if by == life => {
                self.perform_detector(node, news);
                self.feed(node, vec![Input::Snapshot { view, state }]);
            }
            What::Submit(_) => {
                self.perform_detector(node, news);
                self.submit(node);
            }
            _ => self.perform_detector(node, news),
        }
    }

    fn feed(&mut self, node: NodeId, inputs: Vec<Input>) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let now = state.clock.read(self.now);
        let Some(group) = &mut state.group else { return };
        self.checker.before(group);
        self.tally.steps += 1;
        let mut effects = Effects::new();
        let mut refused = Vec::new();
        for input in inputs {
            let ticket = ticket_of(&input);
            // Frames of earlier lives are refused here, as they must be.
            if let Err(refusal) = group.handle(now, input, &mut effects) {
                self.checker.on_refusal(state.life, &refusal);
                refused.extend(ticket);
            }
        }
        for ticket in refused {
            state.tickets.remove(&ticket);
            if state.asked.remove(&ticket) {
                self.checker.letters.on_collected(state.life, ticket);
            }
        }
        group.flush(now, &mut effects);
        self.checker.after(group);
        let life = state.life;
        for effect in effects {
            if !self.perform(life, effect) {
                break; // it died over this one
            }
        }
    }
}
