//! What goes wrong, and when: made from a seed, replayable, and shrinkable one fault at a time.

use std::{fmt, time::Duration};

use quorate_membership::{NodeId, Time};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

use crate::{Aim, Step};

/// Something that goes wrong for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The process dies and comes back without its memory, as a new incarnation.
    Crash(NodeId),
    /// The process stands still; what arrives waits.
    Pause(NodeId),
    /// Others take the machine: the process has a turn only now and then, after up to so many
    /// milliseconds, and then its timers are ahead of what has arrived.
    Busy(NodeId, u32),
    /// Nothing gets from the first to the second.
    CutOneWay(NodeId, NodeId),
    /// Nothing gets from one to the other, either way.
    Cut(NodeId, NodeId),
    /// These nodes do not hear the others, nor the others them.
    Partition(Vec<NodeId>),
    /// What members multicast reaches the node a second late.
    Slow(NodeId),
    /// What members multicast flows to the node at so many hundredths of the rate, where links have
    /// [rates](crate::Rates).
    Throttle(NodeId, u32),
    /// Heartbeats, and what must not wait behind data, flow to the node at so many hundredths of the
    /// rate, where links have [rates](crate::Rates).
    ThrottleControl(NodeId, u32),
    /// Of a hundred messages so many are lost, and as many arrive twice.
    Loss(u32),
    /// Of a hundred messages so many arrive again up to five seconds later.
    Late(u32),
    /// The node's clock runs at so many hundredths of its speed.
    SlowClock(NodeId, u32),
    /// The member leaves and joins again: as a new incarnation, or, where whole nodes are simulated, in the
    /// same life.
    Leave(NodeId),
    /// The node stops in order, and starts again as a new incarnation.
    Stop(NodeId),
    /// Where whole nodes are simulated: the link of this client to the node that it uses breaks, and perhaps
    /// what is on its way is lost. Clients bear the names from n100 on.
    Unlink(NodeId),
    /// Armed for the span; once armed, each aim waits for the one before it. What is struck stays
    /// so for as long as the span.
    Aimed(Vec<Aim>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Busy(node, millis) => write!(f, "turns of {node} up to {millis} ms apart"),
            Self::CutOneWay(a, b) => write!(f, "cut {a} -> {b}"),
            Self::Cut(a, b) => write!(f, "cut {a} - {b}"),
            Self::Partition(side) => {
                f.write_str("part off")?;
                side.iter().try_for_each(|node| write!(f, " {node}"))
            }
            Self::Slow(node) => write!(f, "slow {node}"),
            Self::Throttle(node, percent) => write!(f, "multicasts to {node} at {percent} %"),
            Self::ThrottleControl(node, percent) => write!(f, "control to {node} at {percent} %"),
            Self::Loss(percent) => write!(f, "lose {percent} %"),
            Self::Late(percent) => write!(f, "repeat {percent} % late"),
            Self::SlowClock(node, percent) => write!(f, "clock of {node} at {percent} %"),
            Self::Leave(node) => write!(f, "leave {node}"),
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Unlink(client) => write!(f, "break the link of {client}"),
            Self::Aimed(aims) => aims.iter().enumerate().try_for_each(|(place, aim)| {
                write!(f, "{}{aim}", if place == 0 { "" } else { "; after that, " })
            }),
        }
    }
}

/// Faults with their beginnings and ends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule(pub Vec<(Time, Time, Fault)>);

impl Schedule {
    /// Nothing goes wrong.
    pub const fn quiet() -> Self {
        Self(Vec::new())
    }

    /// Adds a fault from one millisecond of the run to another.
    #[must_use]
    pub fn and(mut self, begin: u64, end: u64, fault: Fault) -> Self {
        self.0.push((Time::ZERO + ms(begin), Time::ZERO + ms(end), fault));
        self
    }

    /// When the last fault is over, at the latest.
    pub fn healed(&self) -> Time {
        self.0.iter().map(over).max().unwrap_or_default()
    }

    /// Whether nothing but other programs has disturbed the nodes at this moment, or for so long before.
    pub(crate) fn is_quiet(&self, now: Time, before: Duration) -> bool {
        let disturbs = |it: &&(Time, Time, Fault)| it.0 <= now && now <= over(it) + before;
        self.0.iter().filter(disturbs).all(|(.., fault)| matches!(fault, Fault::Busy(..)))
    }

    /// Makes faults for the first `span` of a run of these nodes.
    ///
    /// At most a minority is down at a time, so that the group survives; cuts and pauses know no
    /// such bound.
    pub fn random(rng: &mut SmallRng, nodes: &[NodeId], span: Duration) -> Self {
        let millis = span.as_millis() as u64;
        let mut schedule = Self::default();
        let mut at = rng.random_range(0..3000);
        while at < millis {
            let lasts = *[50, 300, 800, 2500, 5000].choose(rng).unwrap_or(&300);
            let (begin, end) = (at, at + rng.random_range(lasts / 2..=lasts));
            let fault = Self::pick(rng, nodes);
            if rng.random_range(0..4) == 0 {
                schedule.add_burst(rng, nodes, begin, end);
            }
            schedule.add(nodes, begin, end, fault);
            at += rng.random_range(100..2500);
        }
        schedule
    }

    /// Adds a fault, unless with it too many processes were down.
    fn add(&mut self, nodes: &[NodeId], begin: u64, end: u64, fault: Fault) {
        let many = self.deaths_near(begin, end) + 1 > (nodes.len() - 1) / 2;
        if !(matches!(fault, Fault::Crash(_)) && many) {
            *self = std::mem::take(self).and(begin, end, fault);
        }
    }

    /// How many processes die about a span.
    fn deaths_near(&self, begin: u64, end: u64) -> usize {
        let near = |(b, e, f): &&(Time, Time, Fault)| {
            // A node that came back needs time to be admitted before the next may go.
            let near = *b <= Time::ZERO + ms(end + 4000) && Time::ZERO + ms(begin) <= *e + ms(4000);
            matches!(f, Fault::Crash(_)) && near
        };
        self.0.iter().filter(near).count()
    }

    /// Something that leads to a view change, something aimed at it, and often loss on top.
    fn add_burst(&mut self, rng: &mut SmallRng, nodes: &[NodeId], begin: u64, end: u64) {
        let node = nodes[rng.random_range(0..nodes.len())];
        let cause = match rng.random_range(0..3) {
            0 => Fault::Crash(node),
            1 => Fault::Pause(node),
            _ => Fault::Partition(vec![node]),
        };
        self.add(nodes, begin, end.max(begin + 700), cause);
        let span = rng.random_range(600..1500);
        self.add(nodes, begin, begin + span, Fault::Aimed(Aim::random(rng, nodes)));
        let noise = match rng.random_range(0..3) {
            0 => Fault::Loss(rng.random_range(5..40)),
            1 => Fault::Late(rng.random_range(5..20)),
            _ => return,
        };
        self.add(nodes, begin, begin + span, noise);
    }

    /// Adds spans in which nodes are slow, and in which they have few turns.
    pub fn slow_down(&mut self, rng: &mut SmallRng, nodes: &[NodeId], span: Duration) {
        let millis = span.as_millis() as u64;
        for _ in 0..rng.random_range(0..4) {
            let node = nodes[rng.random_range(0..nodes.len())];
            let (begin, lasts) = (rng.random_range(0..millis.max(1)), rng.random_range(500..4000));
            self.0.push((Time::ZERO + ms(begin), Time::ZERO + ms(begin + lasts), Fault::Slow(node)));
        }
        for _ in 0..rng.random_range(0..3) {
            let (begin, lasts) = (rng.random_range(0..millis.max(1)), rng.random_range(1000..8000));
            for node in nodes {
                let busy = Fault::Busy(*node, rng.random_range(1..240));
                self.0.push((Time::ZERO + ms(begin), Time::ZERO + ms(begin + lasts), busy));
            }
        }
    }

    /// Adds spans in which links to nodes are narrow: for what is multicast at any time, for control in the
    /// midst of a burst, whose steps then come late.
    pub fn throttle(&mut self, rng: &mut SmallRng, nodes: &[NodeId], span: Duration) {
        let aimed = self.0.iter().filter(|(.., fault)| matches!(fault, Fault::Aimed(_)));
        let bursts: Vec<(Time, Time)> = aimed.map(|(begin, end, _)| (*begin, *end)).collect();
        for (begin, end) in bursts {
            if rng.random_range(0..3) == 0 {
                let node = nodes[rng.random_range(0..nodes.len())];
                self.0.push((begin, end, Fault::ThrottleControl(node, rng.random_range(1..20))));
            }
        }
        let millis = span.as_millis() as u64;
        for _ in 0..rng.random_range(0..4) {
            let node = nodes[rng.random_range(0..nodes.len())];
            let (begin, lasts) = (rng.random_range(0..millis.max(1)), rng.random_range(500..4000));
            let fault = Fault::Throttle(node, rng.random_range(1..50));
            self.0.push((Time::ZERO + ms(begin), Time::ZERO + ms(begin + lasts), fault));
        }
    }

    /// Adds partitions, and strikes at the merges that follow them.
    pub fn part(&mut self, rng: &mut SmallRng, nodes: &[NodeId], span: Duration) {
        let millis = span.as_millis() as u64;
        let mut at = rng.random_range(500..4000);
        while at < millis {
            let end = at + rng.random_range(600..2500);
            for _ in 0..rng.random_range(1..3) {
                let count = rng.random_range(1..nodes.len());
                self.add(nodes, at, end, Fault::Partition(nodes.sample(rng, count).copied().collect()));
            }
            if rng.random_range(0..3) > 0 {
                let aim = Aim::one(rng, nodes, &Step::MERGE);
                self.add(nodes, end, end + rng.random_range(500..1500), Fault::Aimed(vec![aim]));
            }
            at = end + rng.random_range(500..3000);
        }
    }

    /// Adds spans in which a node has left its groups, or has stopped in order: one at a time, and so that
    /// with those that die beside it a majority of those left is there.
    pub fn depart(&mut self, rng: &mut SmallRng, nodes: &[NodeId], span: Duration) {
        let millis = span.as_millis() as u64;
        let mut at = rng.random_range(0..4000);
        while at < millis {
            let end = at + rng.random_range(50..3000);
            let node = nodes[rng.random_range(0..nodes.len())];
            let fault = if rng.random_range(0..3) == 0 { Fault::Stop(node) } else { Fault::Leave(node) };
            if self.deaths_near(at, end) < (nodes.len() - 1) / 2 {
                *self = std::mem::take(self).and(at, end, fault);
            }
            at = end + rng.random_range(300..5000);
        }
    }

    /// Adds spans in which a node that no group needs is dead, or stands still.
    pub fn visit(&mut self, rng: &mut SmallRng, node: NodeId, span: Duration) {
        let millis = span.as_millis() as u64;
        let mut at = rng.random_range(0..8000);
        while at < millis {
            let end = at + rng.random_range(50..4000);
            let fault = if rng.random_range(0..3) == 0 { Fault::Pause(node) } else { Fault::Crash(node) };
            *self = std::mem::take(self).and(at, end, fault);
            at = end + rng.random_range(1000..8000);
        }
    }

    /// Adds moments at which the links of clients break, and spans in which a node is not reached by one.
    pub fn unlink(&mut self, rng: &mut SmallRng, clients: &[NodeId], nodes: &[NodeId], span: Duration) {
        let millis = span.as_millis() as u64;
        for client in clients {
            let mut at = rng.random_range(0..2000);
            while at < millis {
                let (node, end) = (nodes[rng.random_range(0..nodes.len())], at + rng.random_range(50..2000));
                let (end, fault) = match rng.random_range(0..4) {
                    0 => (end, Fault::Cut(*client, node)),
                    1 => (end, Fault::CutOneWay(*client, node)),
                    2 => (end, Fault::CutOneWay(node, *client)),
                    _ => (at, Fault::Unlink(*client)),
                };
                *self = std::mem::take(self).and(at, end, fault);
                at += rng.random_range(100..2500);
            }
        }
    }

    fn pick(rng: &mut SmallRng, nodes: &[NodeId]) -> Fault {
        let mut two = nodes.sample(rng, 2).copied();
        let (a, b) = (two.next().unwrap_or(nodes[0]), two.next().unwrap_or(nodes[0]));
        match rng.random_range(0..100) {
            0..22 => Fault::Crash(a),
            22..34 => Fault::Pause(a),
            34..42 => Fault::CutOneWay(a, b),
            42..54 => Fault::Cut(a, b),
            54..64 => {
                let count = rng.random_range(1..nodes.len());
                Fault::Partition(nodes.sample(rng, count).copied().collect())
            }
            64..74 => Fault::Loss(rng.random_range(1..30)),
            74..82 => Fault::Late(rng.random_range(1..20)),
            82..86 => Fault::SlowClock(a, rng.random_range(5..60)),
            86..95 => Fault::Aimed(Aim::random(rng, nodes)),
            _ => Fault::Leave(a),
        }
    }
}

/// When a fault is over, at the latest.
fn over((begin, end, fault): &(Time, Time, Fault)) -> Time {
    match fault {
        Fault::Aimed(_) => *end + end.since(*begin),
        Fault::Late(_) => *end + ms(5000),
        _ => *end,
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
