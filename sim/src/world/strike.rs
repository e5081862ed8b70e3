//! Aimed faults: they wait for a step of a view change and strike whoever takes it.

use std::{sync::Arc, time::Duration};

use quorate_membership::{Member, NodeId};
use quorate_protocols::{Body, Message};

use super::{World, what::What};
use crate::{Fault, Step, Strike};

/// What an aimed fault is doing to the cluster at present.
#[derive(Debug, Default)]
pub(super) struct Hit {
    /// Nodes that hear only each other.
    pub(super) apart: Vec<NodeId>,
    /// A process to start again.
    down: Option<NodeId>,
    /// A clock to set right.
    slow: Option<NodeId>,
}

impl World {
    /// Sends a message, unless a fault has waited for just this one. Returns whether the sender
    /// is still alive.
    pub(super) fn send(&mut self, from: Member, to: &[NodeId], message: Message) -> bool {
        if !matches!(message.body, Body::Data { .. } | Body::Refill { .. } | Body::Status { .. }) {
            self.say(|| format!("{from} to {to:?}: {} {:?}", message.view, message.body));
        }
        let fired = self.fire(from.node, &message);
        let message = Arc::new(message);
        let Some((index, reach, strike)) = fired else {
            for node in to {
                self.carry(from, *node, &message);
            }
            return true;
        };
        let served: Vec<NodeId> = to.iter().copied().filter(|node| reach.contains(node)).collect();
        self.say(|| format!("{from} is struck at {:?}, which reaches {served:?}", Step::of(&message)));
        for node in &served {
            self.carry(from, *node, &message);
        }
        self.strike(index, from.node, &served, strike);
        self.nodes[&from.node].is_up()
    }

    /// The armed fault, if any, that has waited for this message: its receivers, and the blow.
    fn fire(&mut self, from: NodeId, message: &Message) -> Option<(usize, Vec<NodeId>, Strike)> {
        let step = Step::of(message)?;
        let (&index, &place) = self.armed.iter().find(|(index, place)| {
            let Fault::Aimed(aims) = &self.schedule.0[**index].2 else { return false };
            aims.get(**place).is_some_and(|aim| aim.step == step && aim.by.is_none_or(|by| by == from))
        })?;
        let Fault::Aimed(aims) = &self.schedule.0[index].2 else { return None };
        let (aim, more) = (aims[place].clone(), place + 1 < aims.len());
        if more {
            self.armed.insert(index, place + 1);
        } else {
            self.armed.remove(&index);
        }
        Some((index, aim.reach, aim.then))
    }

    fn strike(&mut self, index: usize, node: NodeId, served: &[NodeId], strike: Strike) {
        self.tally.strikes += 1;
        let mut hit = Hit::default();
        match strike {
            Strike::Lose => {}
            Strike::Crash if self.may_lose_another() => {
                hit.down = Some(node);
                self.crash(node);
            }
            Strike::Crash | Strike::CutOff => hit.apart = vec![node],
            Strike::PartOff => {
                hit.apart = served.to_vec();
                hit.apart.push(node);
            }
            Strike::Stun => {
                hit.apart = vec![node];
                hit.slow = Some(node);
                self.set_clock(node, 25);
            }
        }
        let (begin, end, _) = &self.schedule.0[index];
        let span = end.since(*begin);
        self.hit_number += 1;
        self.hits.insert(self.hit_number, hit);
        self.at(span, What::Heal(self.hit_number));
    }

    pub(super) fn heal(&mut self, number: usize) {
        let Some(hit) = self.hits.remove(&number) else { return };
        self.say(|| format!("heals: {hit:?}"));
        if let Some(node) = hit.down.filter(|node| !self.nodes[node].is_up()) {
            self.restart(node);
        }
        if let Some(node) = hit.slow {
            self.set_clock(node, 100);
        }
    }

    /// Whether a process may die without the group losing a majority of its memory. One that came
    /// back needs time to be admitted before the next may go.
    fn may_lose_another(&self) -> bool {
        let settling = Duration::from_secs(4);
        let recent = |node: &super::node::Node| {
            !node.is_up() || node.died.is_some_and(|at| self.now.since(at) < settling)
        };
        let down = self.nodes.values().filter(|node| recent(node)).count();
        // Crashes that are planned for the near future count too.
        let planned = |(begin, _, fault): &&(quorate_membership::Time, quorate_membership::Time, Fault)| {
            matches!(fault, Fault::Crash(_)) && *begin >= self.now && begin.since(self.now) < settling
        };
        let soon = self.schedule.0.iter().filter(planned).count();
        down + soon < (self.nodes.len() - 1) / 2
    }
}
