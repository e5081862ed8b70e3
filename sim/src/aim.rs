//! Faults that are aimed at a step of a view change instead of at a moment.

use std::fmt;

use quorate_membership::NodeId;
use quorate_protocols::{Body, Message};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

/// A step that shows on the network as a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// A member sends a frame of messages.
    Data,
    /// The coordinator asks to seal the view.
    Prepare,
    /// A member answers what it holds.
    Promise,
    /// The coordinator asks to hold the cut.
    Hold,
    /// A member of the next view holds it.
    Holding,
    /// The coordinator asks for votes.
    Accept,
    /// A member votes.
    Accepted,
    /// The coordinator tells the decision.
    Decided,
    /// A coordinator asks that of another side for its offer.
    AskOffer,
    /// The other coordinator offers its side.
    Offer,
}

impl Step {
    /// The steps of a view change, in their order.
    pub const CHANGE: [Self; 7] = [
        Self::Prepare,
        Self::Promise,
        Self::Hold,
        Self::Holding,
        Self::Accept,
        Self::Accepted,
        Self::Decided,
    ];

    /// The steps of a merge of two sides that one coordinator or the other takes.
    pub const MERGE: [Self; 9] = [
        Self::AskOffer,
        Self::Prepare,
        Self::Promise,
        Self::Offer,
        Self::Hold,
        Self::Holding,
        Self::Accept,
        Self::Accepted,
        Self::Decided,
    ];

    /// Which step a message is, if it is one.
    pub const fn of(message: &Message) -> Option<Self> {
        Some(match message.body {
            Body::Data { .. } | Body::Part(_) => Self::Data,
            Body::Prepare { .. } => Self::Prepare,
            Body::Promise(_) => Self::Promise,
            Body::Hold { .. } => Self::Hold,
            Body::Holding { .. } => Self::Holding,
            Body::Accept { .. } => Self::Accept,
            Body::Accepted { .. } => Self::Accepted,
            Body::Decided(_) => Self::Decided,
            Body::AskOffer { .. } => Self::AskOffer,
            Body::Offer { .. } => Self::Offer,
            _ => return None,
        })
    }
}

/// What happens to the one who takes the step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strike {
    /// Only its message is lost to those whom it does not reach.
    Lose,
    /// The process dies and comes back as a new incarnation.
    Crash,
    /// Nothing gets to it or from it.
    CutOff,
    /// It and those whom its message has reached hear only each other.
    PartOff,
    /// It is cut off, and its clock runs at a quarter of its speed, so that it notices late.
    Stun,
}

/// A fault that waits for a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Aim {
    /// The step.
    pub step: Step,
    /// Who has to take it; `None`: whoever does so first.
    pub by: Option<NodeId>,
    /// Whom the message still reaches.
    pub reach: Vec<NodeId>,
    /// What then happens to its sender.
    pub then: Strike,
}

impl Aim {
    /// Strikes whoever takes the step first, before the message reaches anybody.
    pub const fn at(step: Step, then: Strike) -> Self {
        Self { step, by: None, reach: Vec::new(), then }
    }

    /// Waits for this node to take the step.
    #[must_use]
    pub const fn by(mut self, node: NodeId) -> Self {
        self.by = Some(node);
        self
    }

    /// Lets the message reach these nodes.
    #[must_use]
    pub fn reaching(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.reach = nodes.into_iter().collect();
        self
    }

    /// One aim, or a sequence of them that together do harm which one alone cannot do.
    pub(crate) fn random(rng: &mut SmallRng, nodes: &[NodeId]) -> Vec<Self> {
        match rng.random_range(0..10) {
            0..6 => vec![Self::one(rng, nodes, &Step::CHANGE)],
            // The next coordinator is struck as well.
            6 => vec![Self::one(rng, nodes, &Step::CHANGE), Self::one(rng, nodes, &Step::CHANGE)],
            // A coordinator that notices late goes on while its successor is at work.
            7 => vec![
                Self::at(pick(rng, &[Step::Hold, Step::Accept]), Strike::Stun),
                Self::at(pick(rng, &[Step::Hold, Step::Accept, Step::Decided]), Strike::CutOff),
            ],
            // Only one has a frame; it says something that rests on it, and dies too.
            _ => {
                let two: Vec<NodeId> = nodes.sample(rng, 2).copied().collect();
                vec![
                    Self::at(Step::Data, Strike::Crash).by(two[0]).reaching([two[1]]),
                    Self::at(Step::Data, Strike::Lose).by(two[1]).reaching(nodes.iter().copied()),
                    Self::at(Step::Data, Strike::CutOff).by(two[1]),
                ]
            }
        }
    }

    /// Strikes at one of these steps.
    pub(crate) fn one(rng: &mut SmallRng, nodes: &[NodeId], steps: &[Step]) -> Self {
        let step = pick(rng, steps);
        let count = rng.random_range(0..=nodes.len());
        let reach = nodes.sample(rng, count).copied();
        let then = pick(rng, &[Strike::Crash, Strike::CutOff, Strike::PartOff, Strike::Lose]);
        Self::at(step, then).reaching(reach)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Some(node) => write!(f, "when {node} takes {:?}", self.step)?,
            None => write!(f, "at the next {:?}", self.step)?,
        }
        f.write_str(" let it reach")?;
        if self.reach.is_empty() {
            f.write_str(" nobody")?;
        }
        self.reach.iter().try_for_each(|node| write!(f, " {node}"))?;
        write!(f, ", then {:?}", self.then)
    }
}

fn pick<T: Copy>(rng: &mut SmallRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}
