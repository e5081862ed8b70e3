//! Cluster membership at scale: hundreds of nodes gossip over a network that loses datagrams.
//!
//! Datagrams are modelled directly, without links; the sender is the true one, as links prove it.

mod deaths;
mod scenario;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{
    Cluster, ClusterEffect, ClusterIdentity, Incarnation, Member, NodeId, Time, Timing,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

pub use deaths::watch_deaths;
pub use scenario::{ClusterReport, DeathKnown, Stuck, run_cluster};

/// What a cluster is made of; everything else follows from the seed.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSettings {
    /// Decides everything.
    pub seed: u64,
    /// Number of nodes; the first three are the contacts of all.
    pub nodes: u16,
    /// Datagrams lost, in percent.
    pub loss_percent: f64,
}

/// How long a datagram takes, in microseconds.
const LATENCY_US: std::ops::Range<u64> = 200..5_000;

struct Process {
    cluster: Cluster,
    wake: Option<Time>,
}

#[derive(Eq, PartialEq, Ord, PartialOrd)]
enum Event {
    Start { index: usize },
    Wake { index: usize },
    Datagram { from: Member, to: ClusterIdentity, bytes: Bytes },
}

/// Nodes on a seeded clock and network.
pub struct ClusterWorld {
    chance: SmallRng,
    loss: f64,
    now: Time,
    processes: Vec<Option<Process>>,
    lives: Vec<u64>,
    /// Events in the order of their time, then of their making.
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    made: u64,
    /// The network is cut between the nodes below this index and the rest.
    cut: Option<usize>,
    datagrams: u64,
    bytes: u64,
    false_downs: u64,
    death: Option<Death>,
    digest: DefaultHasher,
}

/// A process that was killed, and which of the others have noticed it, after what time.
struct Death {
    of: Member,
    at: Time,
    noticed: BTreeMap<usize, Duration>,
}

impl ClusterWorld {
    /// The nodes start within the first second, in an order that the seed decides.
    pub fn new(settings: &ClusterSettings) -> Self {
        let mut world = Self {
            chance: SmallRng::seed_from_u64(settings.seed),
            loss: settings.loss_percent / 100.0,
            now: Time::ZERO,
            processes: Vec::new(),
            lives: vec![0; usize::from(settings.nodes)],
            events: BinaryHeap::new(),
            made: 0,
            cut: None,
            datagrams: 0,
            bytes: 0,
            false_downs: 0,
            death: None,
            digest: DefaultHasher::new(),
        };
        world.processes.resize_with(world.lives.len(), || None);
        for index in 0..world.lives.len() {
            world.restart(index);
        }
        world
    }

    /// The simulated time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Datagrams sent so far, those that were lost included.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Bytes of these datagrams.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often some node declared another down that was running.
    pub fn false_downs(&self) -> u64 {
        self.false_downs
    }

    /// Sums up all that has happened: equal for equal runs.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Kills a process.
    pub fn crash(&mut self, index: usize) {
        self.processes[index] = None;
    }

    /// Kills a process, and notes who notices it when.
    pub fn crash_noted(&mut self, index: usize) {
        let of = member(index, self.lives[index]);
        self.death = Some(Death { of, at: self.now, noticed: BTreeMap::new() });
        self.crash(index);
    }

    /// How long the first and the last took that have declared down who was killed last by
    /// [`Self::crash_noted`]; `None` while nobody has.
    pub fn death_known(&self) -> Option<DeathKnown> {
        let noticed = &self.death.as_ref()?.noticed;
        Some(DeathKnown { first: *noticed.values().min()?, last: *noticed.values().max()? })
    }

    /// Starts a process anew within a second.
    pub fn restart(&mut self, index: usize) {
        self.crash(index);
        let at = self.now + Duration::from_micros(self.chance.random_range(0..1_000_000));
        self.push(at, Event::Start { index });
    }

    /// Cuts the network between the nodes below `index` and the rest.
    pub fn cut(&mut self, index: usize) {
        self.cut = Some(index);
    }

    /// Ends the cut.
    pub fn heal(&mut self) {
        self.cut = None;
    }

    /// Runs for so long in simulated time.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    /// Runs until membership has converged, and says how long that took; `None` if not within `limit`.
    pub fn run_until_converged(&mut self, limit: Duration) -> Option<Duration> {
        let begin = self.now;
        while self.now.since(begin) < limit {
            self.run_for(Duration::from_millis(100));
            if self.stray().is_none() {
                return Some(self.now.since(begin));
            }
        }
        None
    }

    /// The first node, if any, that does not know exactly the others that run on its side of a cut.
    pub fn stray(&self) -> Option<NodeId> {
        let sides = [true, false].map(|side| -> BTreeSet<Member> {
            let here = self.lives.iter().enumerate().filter(|(index, _)| self.is_below_cut(*index) == side);
            here.map(|(index, life)| member(index, *life)).filter(|it| self.is_running(*it)).collect()
        });
        let processes = self.processes.iter().enumerate();
        let strays = processes.filter(|(index, process)| {
            let side = &sides[usize::from(!self.is_below_cut(*index))];
            let me = member(*index, self.lives[*index]);
            process.as_ref().is_some_and(|process| {
                let known = process.cluster.members().map(|known| known.member);
                !known.eq(side.iter().copied().filter(|it| *it != me))
            })
        });
        strays.map(|(index, _)| member(index, 0).node).next()
    }

    fn is_below_cut(&self, index: usize) -> bool {
        self.cut.is_none_or(|cut| index < cut)
    }

    fn is_running(&self, member: Member) -> bool {
        let index = index_of(member.node);
        self.lives[index] == member.incarnation.get() && self.processes[index].is_some()
    }

    fn push(&mut self, at: Time, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start { index } => self.start(index),
            Event::Wake { index } => {
                let due = self.processes[index].as_ref().and_then(|process| process.wake);
                if due == Some(self.now) {
                    self.step(index, Cluster::on_wake);
                }
            }
            Event::Datagram { from, to, bytes } => {
                let index = index_of(to.member.node);
                (self.now, from, index, bytes.len()).hash(&mut self.digest);
                self.step(index, |cluster, now, out| {
                    // Refused is what a former life of a restarted node had sent.
                    let _refused = cluster.on_datagram(now, from, &bytes, out);
                });
            }
        }
    }

    fn start(&mut self, index: usize) {
        self.lives[index] += 1;
        let me = identity(index, self.lives[index]);
        let cluster = Cluster::new(me, Timing::DEFAULT, self.chance.random());
        self.processes[index] = Some(Process { cluster, wake: None });
        for contact in 0..self.lives.len().min(3) {
            // The shell learns the present life from the link to the contact's address.
            let whom = identity(contact, self.lives[contact]);
            self.step(index, |cluster, now, out| cluster.contact(now, whom, out));
        }
    }

    fn step(&mut self, index: usize, act: impl FnOnce(&mut Cluster, Time, &mut Vec<ClusterEffect>)) {
        let Some(process) = &mut self.processes[index] else { return };
        let mut out = Vec::new();
        act(&mut process.cluster, self.now, &mut out);
        let from = process.cluster.identity().member;
        for effect in out {
            self.carry_out(index, from, effect);
        }
    }

    fn carry_out(&mut self, index: usize, from: Member, effect: ClusterEffect) {
        match effect {
            ClusterEffect::Send { to, bytes } => {
                self.datagrams += 1;
                self.bytes += bytes.len() as u64;
                let lost = self.chance.random_bool(self.loss);
                let passes = self.is_below_cut(index) == self.is_below_cut(index_of(to.member.node));
                if passes && !lost {
                    let at = self.now + Duration::from_micros(self.chance.random_range(LATENCY_US));
                    self.push(at, Event::Datagram { from, to, bytes });
                }
            }
            ClusterEffect::WakeAt(at) => {
                if let Some(process) = &mut self.processes[index] {
                    process.wake = Some(at);
                }
                self.push(at, Event::Wake { index });
            }
            ClusterEffect::Up(id) => (self.now, index, id.member).hash(&mut self.digest),
            ClusterEffect::Down(id) => {
                (self.now, index, id.member, "down").hash(&mut self.digest);
                self.false_downs += u64::from(self.is_running(id.member));
                if let Some(death) = self.death.as_mut().filter(|death| death.of == id.member) {
                    // Who was told by mistake that it lives may have to notice it again.
                    death.noticed.insert(index, self.now.since(death.at));
                }
            }
        }
    }
}

fn member(index: usize, life: u64) -> Member {
    Member::new(NodeId::new(index as u64), Incarnation::new(life))
}

fn index_of(node: NodeId) -> usize {
    node.get() as usize
}

fn identity(index: usize, life: u64) -> ClusterIdentity {
    let [high, low] = (index as u16).to_be_bytes();
    ClusterIdentity::new(member(index, life), SocketAddr::from(([10, 0, high, low], 4000)))
}
