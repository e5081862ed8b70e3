//! Aimed faults: they wait for a step of a view change and strike whoever takes it.

use std::{sync::Arc, time::Duration};

use quorate_membership::{GroupId, Member, NodeId};
use quorate_protocols::Message;

use super::{
    WITNESS, World,
    network::{Frame, What},
    node::Node,
};
use crate::{
    Step, Strike,
    armed::{Fired, Hit, may_lose_another},
};

impl World {
    /// Sends a message of a group, unless a fault has waited for just this one.
    pub(super) fn multicast(&mut self, life: Member, group: GroupId, to: &[NodeId], message: Message) {
        let fired = self.armed.fire(&self.schedule, life.node, &message);
        let step = Step::of(&message);
        let message = Arc::new(message);
        let spared = |node: &NodeId| fired.as_ref().is_none_or(|fired| fired.reach.contains(node));
        let (reached, missed): (Vec<NodeId>, Vec<NodeId>) = to.iter().partition(|node| spared(node));
        for node in &reached {
            self.send(life, *node, Frame::Group(group, Arc::clone(&message)));
        }
        let Some(Fired { span, then, .. }) = fired else { return };
        self.say(|| format!("{life} is struck at {step:?}, which reaches {reached:?}: {then:?}"));
        for node in missed {
            self.break_link(life.node, node); // nothing else loses what was sent on a link
        }
        self.strike(span, life.node, reached, then);
    }

    fn strike(&mut self, span: Duration, node: NodeId, reached: Vec<NodeId>, strike: Strike) {
        self.tally.strikes += 1;
        let hit = Hit::of(strike, node, reached, self.may_lose_another());
        if let Some(node) = hit.down {
            self.end_process(node);
        }
        if let Some(node) = hit.slow {
            self.set_clock(node, 25);
        }
        let number = self.armed.hit(hit);
        self.push(self.now + span, What::Heal(number));
    }

    pub(super) fn heal(&mut self, number: usize) {
        let Some(hit) = self.armed.heal(number) else { return };
        self.say(|| format!("heals: {hit:?}"));
        if let Some(node) = hit.down.filter(|node| self.nodes[node].parts.is_none()) {
            self.start(node);
        }
        if let Some(node) = hit.slow {
            self.set_clock(node, 100);
        }
    }

    fn may_lose_another(&self) -> bool {
        let whole =
            |node: &Node| node.parts.as_ref().is_some_and(|it| it.away.is_empty() && !it.told_to_stop);
        let needed: Vec<_> = self.nodes.iter().filter(|(id, _)| id.get() <= WITNESS).collect();
        let nodes = needed.iter().map(|(_, node)| (whole(node), node.died));
        may_lose_another(self.now, &self.schedule, nodes)
    }

    /// Makes a node's clock run slow, or right again; what it waits for comes at the new pace.
    pub(super) fn set_clock(&mut self, node: NodeId, percent: u32) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&node) else { return };
        node.clock.run_at(now, percent);
        let (life, clock) = (node.life, node.clock);
        let Some(parts) = &node.parts else { return };
        let groups = parts.group_wakes.iter().map(|(id, at)| (*at, What::GroupWake(life, *id, *at)));
        let detector = parts.detector_wake.map(|at| (at, What::DetectorWake(life, at)));
        let cluster = parts.cluster_wake.map(|at| (at, What::ClusterWake(life, at)));
        let wakes: Vec<_> = groups.chain(detector).chain(cluster).collect();
        for (at, what) in wakes {
            self.push(clock.moment(at).max(now), what);
        }
    }
}
