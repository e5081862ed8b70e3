//! Aimed faults that wait for their step, and what those that have struck are doing.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::{NodeId, Time};
use quorate_protocols::Message;

use crate::{Fault, Schedule, Step, Strike};

/// What an aimed fault is doing to the cluster at present.
#[derive(Debug, Default)]
pub(crate) struct Hit {
    /// Nodes that hear only each other.
    pub(crate) apart: Vec<NodeId>,
    /// A process to start again.
    pub(crate) down: Option<NodeId>,
    /// A clock to set right.
    pub(crate) slow: Option<NodeId>,
}

impl Hit {
    /// What a strike does to the sender of a message that reached these nodes. A process that must not
    /// die now is cut off instead.
    pub(crate) fn of(strike: Strike, sender: NodeId, reached: Vec<NodeId>, may_die: bool) -> Self {
        match strike {
            Strike::Lose => Self::default(),
            Strike::Crash if may_die => Self { down: Some(sender), ..Self::default() },
            Strike::Crash | Strike::CutOff => Self { apart: vec![sender], ..Self::default() },
            Strike::PartOff => Self { apart: [reached, vec![sender]].concat(), ..Self::default() },
            Strike::Stun => Self { apart: vec![sender], slow: Some(sender), ..Self::default() },
        }
    }
}

/// A fault that has waited for just this message.
#[derive(Debug)]
pub(crate) struct Fired {
    /// For how long what is struck stays so.
    pub(crate) span: Duration,
    /// Whom the message still reaches.
    pub(crate) reach: Vec<NodeId>,
    pub(crate) then: Strike,
}

/// The aimed faults of a schedule.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    /// Those that wait, and the place of the aim that each waits for.
    waiting: BTreeMap<usize, usize>,
    hits: BTreeMap<usize, Hit>,
    number: usize,
}

impl Armed {
    pub(crate) fn arm(&mut self, index: usize) {
        self.waiting.insert(index, 0);
    }

    pub(crate) fn disarm(&mut self, index: usize) {
        self.waiting.remove(&index);
    }

    /// The fault, if any, that has waited for this message.
    pub(crate) fn fire(&mut self, schedule: &Schedule, from: NodeId, message: &Message) -> Option<Fired> {
        let step = Step::of(message)?;
        let (index, place, aims) = self.waiting.iter().find_map(|(index, place)| {
            let Fault::Aimed(aims) = &schedule.0[*index].2 else { return None };
            let aim = aims.get(*place)?;
            let hits = aim.step == step && aim.by.is_none_or(|by| by == from);
            hits.then_some((*index, *place, aims))
        })?;
        if place + 1 < aims.len() {
            self.waiting.insert(index, place + 1);
        } else {
            self.waiting.remove(&index);
        }
        let (begin, end, _) = &schedule.0[index];
        let aim = &aims[place];
        Some(Fired { span: end.since(*begin), reach: aim.reach.clone(), then: aim.then })
    }

    /// A fault has struck. Returns the number under which it heals.
    pub(crate) fn hit(&mut self, hit: Hit) -> usize {
        self.number += 1;
        self.hits.insert(self.number, hit);
        self.number
    }

    pub(crate) fn heal(&mut self, number: usize) -> Option<Hit> {
        self.hits.remove(&number)
    }

    /// Whether two nodes do not hear each other because of what was struck.
    pub(crate) fn part(&self, a: NodeId, b: NodeId) -> bool {
        self.hits.values().any(|hit| hit.apart.contains(&a) != hit.apart.contains(&b))
    }
}

/// A node that came back needs time to be admitted before the next may go.
const SETTLING: Duration = Duration::from_secs(4);

/// Whether a process may die without a group losing a majority of its memory, given for each node
/// whether it is up and when it last died. Crashes that are planned for the near future count too.
pub(crate) fn may_lose_another(
    now: Time,
    schedule: &Schedule,
    nodes: impl ExactSizeIterator<Item = (bool, Option<Time>)>,
) -> bool {
    let all = nodes.len();
    let recent = |(up, died): &(bool, Option<Time>)| !up || died.is_some_and(|at| now.since(at) < SETTLING);
    let down = nodes.filter(recent).count();
    let planned = |(begin, _, fault): &&(Time, Time, Fault)| {
        matches!(fault, Fault::Crash(_)) && *begin >= now && begin.since(now) < SETTLING
    };
    down + schedule.0.iter().filter(planned).count() < (all - 1) / 2
}
