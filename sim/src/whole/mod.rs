//! Whole nodes: cluster membership, failure detection, several groups and the bus, joined as the
//! actors join them, on links that keep order and break.

mod application;
mod binding;
mod check;
mod client;
mod groups;
mod leaving;
mod member;
mod network;
mod newcomer;
mod node;
mod perform;
mod publication;
mod published;
mod run;
mod session;
mod strike;
mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_membership::{GroupId, Member, NodeId, Time, View};
use quorate_protocols::{GroupConfig, bus::BusBreach};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Checker, Fault, Schedule, Violation, armed::Armed, queue::Queue};
use check::BusCheck;
use client::Client;
use network::{Link, What};
use node::Node;
pub use run::{WholeOutcome, WholeSettings, run_whole};
pub use tally::WholeTally;

struct World {
    now: Time,
    rng: SmallRng,
    queue: Queue<What>,
    nodes: BTreeMap<NodeId, Node>,
    links: BTreeMap<(NodeId, NodeId), Link>,
    configs: Vec<GroupConfig>,
    schedule: Schedule,
    active: BTreeSet<usize>,
    armed: Armed,
    breach: Option<BusBreach>,
    queue_before_stall: bool,
    busy_until: Time,
    next_payload: u64,
    checkers: BTreeMap<GroupId, Checker>,
    bus: BusCheck,
    clients: Vec<Client>,
    tally: WholeTally,
    trace: bool,
}

/// Nodes that found the groups.
const CARRIERS: u64 = 5;
/// The node that is a witness of one of them.
const WITNESS: u64 = 6;
/// All nodes; the last one only uses the bus.
const NODES: u64 = 7;
/// Clients that publish into a group and read it.
const CLIENTS: u64 = 3;

impl World {
    fn new(settings: &WholeSettings, schedule: &Schedule, busy_until: Time) -> Self {
        let configs = groups::configs(settings.seed, settings.group_breach);
        let mut world = Self {
            now: Time::ZERO,
            rng: SmallRng::seed_from_u64(settings.seed),
            queue: Queue::default(),
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            checkers: configs.iter().map(|config| (config.group, Checker::new(config))).collect(),
            configs,
            schedule: schedule.clone(),
            active: BTreeSet::new(),
            armed: Armed::default(),
            breach: settings.breach,
            queue_before_stall: settings.queue_before_stall,
            busy_until,
            next_payload: 0,
            bus: BusCheck::default(),
            clients: (0..CLIENTS).map(Client::new).collect(),
            tally: WholeTally::default(),
            trace: settings.trace,
        };
        let all: Vec<NodeId> = (1..=NODES).map(NodeId::new).collect();
        for node in &all {
            world.start(*node);
            world.soon(0..100_000, What::Application(*node));
        }
        for (place, a) in all.iter().enumerate() {
            for b in &all[place + 1..] {
                world.links.insert((*a, *b), Link::default());
                world.soon(0..100_000, What::Check(*a, *b));
            }
        }
        for index in 0..world.clients.len() {
            world.soon(0..100_000, What::Client(index));
        }
        for (index, (begin, end, _)) in schedule.0.iter().enumerate() {
            world.push(*begin, What::Begin(index));
            world.push(*end, What::End(index));
        }
        world
    }

    fn push(&mut self, at: Time, what: What) {
        self.queue.push(at, what);
    }

    /// Plans something so many microseconds ahead.
    fn soon(&mut self, micros: std::ops::Range<u64>, what: What) {
        let wait = Duration::from_micros(self.rng.random_range(micros));
        self.push(self.now + wait, what);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{}  {}", self.now, what());
        }
    }

    fn violation(&self) -> Option<&Violation> {
        self.checkers.values().find_map(Checker::violation).or_else(|| self.bus.violation())
    }

    fn run_until(&mut self, until: Time) {
        while self.violation().is_none() {
            let Some((at, what)) = self.queue.pop(until) else {
                self.now = self.now.max(until);
                return;
            };
            self.now = at;
            self.happen(what);
        }
    }

    fn note(&mut self, value: u64) {
        self.tally.digest =
            (self.tally.digest ^ value ^ self.now.as_nanos()).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn begin(&mut self, index: usize) {
        self.say(|| format!("begins: {}", self.schedule.0[index].2));
        self.tally.faults += 1;
        self.active.insert(index);
        match self.schedule.0[index].2 {
            Fault::Crash(node) => self.end_process(node),
            Fault::Unlink(client) => self.unlink(client),
            Fault::Leave(node) | Fault::Stop(node) => self.depart(index, node),
            Fault::SlowClock(node, percent) => self.set_clock(node, percent),
            Fault::Aimed(_) => self.armed.arm(index),
            Fault::Pause(node) => {
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.pauses += 1;
                }
            }
            Fault::Busy(node, millis) => self.grow_busy(node, millis),
            _ => {}
        }
    }

    fn end(&mut self, index: usize) {
        self.say(|| format!("ends: {}", self.schedule.0[index].2));
        self.active.remove(&index);
        self.armed.disarm(index);
        match self.schedule.0[index].2 {
            Fault::SlowClock(node, _) => self.set_clock(node, 100),
            Fault::Crash(node) if self.nodes[&node].parts.is_none() => self.start(node),
            Fault::Leave(node) | Fault::Stop(node) => self.come_back(index, node),
            Fault::Pause(node) => self.resume(node),
            Fault::Busy(node, millis) => self.grow_idle(node, millis),
            _ => {}
        }
    }

    /// Why the healed cluster has not finished its work; `None` if it has.
    fn unfinished(&self) -> Option<String> {
        let lives: Vec<_> = self.nodes.values().map(|node| node.life).collect();
        let wants: BTreeMap<_, _> =
            self.nodes.values().map(|node| (node.life.node, node.own_wants())).collect();
        let mut views = BTreeMap::new();
        for node in self.nodes.values() {
            let me = node.life;
            let Some(parts) = &node.parts else { return Some(format!("{me} is down")) };
            let known = parts.presence.cluster_members().map(|id| id.member);
            if !known.eq(lives.iter().copied().filter(|life| *life != me)) {
                return Some(format!("{me} does not know every live node"));
            }
            if parts.router.wants() != wants {
                return Some(format!("{me} has another idea of who wants what"));
            }
            if let Some(what) = self.misbound(parts) {
                return Some(format!("{me} {what}"));
            }
            if parts.router.requests().next().is_some() {
                return Some(format!("{me} waits for answers"));
            }
            for config in &self.configs {
                let Some(group) = parts.groups.get(&config.group) else { continue };
                let id = config.group;
                let present = |nodes: &[NodeId]| nodes.iter().map(|node| self.nodes[node].life).collect();
                let (members, witnesses): (BTreeSet<Member>, BTreeSet<Member>) =
                    (present(&config.founders), present(&config.witnesses));
                let is_whole = |view: &View| {
                    view.members.iter().copied().collect::<BTreeSet<_>>() == members
                        && view.witnesses.iter().copied().collect::<BTreeSet<_>>() == witnesses
                        && view.learners.is_empty()
                };
                if !group.view().is_some_and(is_whole) || group.is_sealed() || group.is_wedged() {
                    return Some(format!("{me} is still changing {:?} of {id:?}", group.view()));
                }
                let view = group.view().map(|view| view.id);
                if *views.entry(id).or_insert(view) != view {
                    return Some(format!("views of {id:?} differ: {view:?} at {me}"));
                }
            }
            if parts.bound.values().any(|bound| bound.core.is_undecided()) {
                return Some(format!("{me} does not know the marks of publishers"));
            }
            if !parts.tickets.is_empty() {
                return Some(format!("{me} waits for the fate of {} messages", parts.tickets.len()));
            }
            if !parts.asked.is_empty() {
                return Some(format!("{me} waits for answers to {} requests to groups", parts.asked.len()));
            }
            if parts.groups.values().any(|group| group.snapshot_bytes() > 0) {
                return Some(format!("{me} keeps state for nobody"));
            }
        }
        self.unserved()
    }
}
