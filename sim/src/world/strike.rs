//! Aimed faults: they wait for a step of a view change and strike whoever takes it.

use std::{sync::Arc, time::Duration};

use quorate_membership::{Member, NodeId};
use quorate_protocols::{Body, Message};

use super::{World, what::What};
use crate::{
    Step, Strike,
    armed::{Fired, Hit, may_lose_another},
};

impl World {
    /// Sends a message, unless a fault has waited for just this one. Returns whether the sender
    /// is still alive.
    pub(super) fn send(&mut self, from: Member, to: &[NodeId], message: Message) -> bool {
        if !matches!(
            message.body,
            Body::Data { .. } | Body::Part(_) | Body::Refill { .. } | Body::Status { .. }
        ) {
            self.say(|| format!("{from} to {to:?}: {} {:?}", message.view, message.body));
        }
        let fired = self.armed.fire(&self.schedule, from.node, &message);
        let message = Arc::new(message);
        let Some(Fired { span, reach, then }) = fired else {
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
        self.strike(span, from.node, served, then);
        self.nodes[&from.node].is_up()
    }

    fn strike(&mut self, span: Duration, node: NodeId, reached: Vec<NodeId>, strike: Strike) {
        self.tally.strikes += 1;
        let hit = Hit::of(strike, node, reached, self.may_lose_another());
        if let Some(node) = hit.down {
            self.crash(node);
        }
        if let Some(node) = hit.slow {
            self.set_clock(node, 25);
        }
        let number = self.armed.hit(hit);
        self.at(span, What::Heal(number));
    }

    pub(super) fn heal(&mut self, number: usize) {
        let Some(hit) = self.armed.heal(number) else { return };
        self.say(|| format!("heals: {hit:?}"));
        if let Some(node) = hit.down.filter(|node| !self.nodes[node].is_up()) {
            self.restart(node);
        }
        if let Some(node) = hit.slow {
            self.set_clock(node, 100);
        }
    }

    fn may_lose_another(&self) -> bool {
        let nodes = self.nodes.values().map(|node| (node.is_up(), node.died));
        may_lose_another(self.now, &self.schedule, nodes)
    }
}
