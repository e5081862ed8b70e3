//! What goes wrong, and when: made from a seed, replayable, and shrinkable one fault at a time.

use std::{fmt, time::Duration};

use quorate_membership::{NodeId, Time};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

/// Something that goes wrong for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The process dies and comes back without its memory, as a new incarnation.
    Crash(NodeId),
    /// The process stands still; what arrives waits.
    Pause(NodeId),
    /// Nothing gets from the first to the second.
    CutOneWay(NodeId, NodeId),
    /// Nothing gets from one to the other, either way.
    Cut(NodeId, NodeId),
    /// These nodes do not hear the others, nor the others them.
    Partition(Vec<NodeId>),
    /// Of a hundred messages so many are lost, and as many arrive twice.
    Loss(u32),
    /// The member leaves and joins again as a new incarnation.
    Leave(NodeId),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::CutOneWay(a, b) => write!(f, "cut {a} -> {b}"),
            Self::Cut(a, b) => write!(f, "cut {a} - {b}"),
            Self::Partition(side) => {
                f.write_str("part off")?;
                side.iter().try_for_each(|node| write!(f, " {node}"))
            }
            Self::Loss(percent) => write!(f, "lose {percent} %"),
            Self::Leave(node) => write!(f, "leave {node}"),
        }
    }
}

/// Faults with their beginnings and ends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule(pub Vec<(Time, Time, Fault)>);

impl Schedule {
    /// Makes faults for the first `span` of a run of these nodes.
    ///
    /// At most a minority is down at a time, so that the group survives; cuts and pauses know no
    /// such bound.
    pub fn random(rng: &mut SmallRng, nodes: &[NodeId], span: Duration) -> Self {
        let millis = span.as_millis() as u64;
        let mut faults: Vec<(Time, Time, Fault)> = Vec::new();
        let mut at = rng.random_range(0..3000);
        while at < millis {
            let lasts = *[50, 300, 800, 2500, 5000].choose(rng).unwrap_or(&300);
            let (begin, end) =
                (Time::ZERO + ms(at), Time::ZERO + ms(at + rng.random_range(lasts / 2..=lasts)));
            let fault = Self::pick(rng, nodes);
            let down = |(b, e, f): &&(Time, Time, Fault)| {
                // A node that came back needs time to be admitted before the next may go.
                matches!(f, Fault::Crash(_)) && *b <= end + ms(4000) && begin <= *e + ms(4000)
            };
            let many = faults.iter().filter(down).count() + 1 > (nodes.len() - 1) / 2;
            if !(matches!(fault, Fault::Crash(_)) && many) {
                faults.push((begin, end, fault));
            }
            at += rng.random_range(100..2500);
        }
        Self(faults)
    }

    fn pick(rng: &mut SmallRng, nodes: &[NodeId]) -> Fault {
        let mut two = nodes.sample(rng, 2).copied();
        let (a, b) = (two.next().unwrap_or(nodes[0]), two.next().unwrap_or(nodes[0]));
        match rng.random_range(0..100) {
            0..30 => Fault::Crash(a),
            30..45 => Fault::Pause(a),
            45..55 => Fault::CutOneWay(a, b),
            55..70 => Fault::Cut(a, b),
            70..82 => {
                let count = rng.random_range(1..nodes.len());
                Fault::Partition(nodes.sample(rng, count).copied().collect())
            }
            82..95 => Fault::Loss(rng.random_range(1..30)),
            _ => Fault::Leave(a),
        }
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
