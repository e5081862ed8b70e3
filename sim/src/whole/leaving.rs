//! Nodes that go in order: from their groups, which they join again in the same life, or altogether.

use quorate_membership::{GroupId, Member, NodeId, Timing};
use quorate_protocols::{Group, Input, Presence};

use super::{World, network::What, node::Bound};
use crate::Fault;

impl World {
    /// A node begins to go in order, or to stop.
    pub(super) fn depart(&mut self, index: usize, node: NodeId) {
        let Some(life) = self.alive(node) else { return };
        let stops = matches!(self.schedule.0[index].2, Fault::Stop(_));
        if let Some(parts) = self.nodes.get_mut(&node).and_then(|node| node.parts.as_mut()) {
            parts.told_to_stop |= stops;
        }
        self.push(self.now, if stops { What::Stop(life) } else { What::Leave(life) });
    }

    /// A node that went comes back; one that has not gone yet does so later.
    pub(super) fn come_back(&mut self, index: usize, node: NodeId) {
        let stops = matches!(self.schedule.0[index].2, Fault::Stop(_));
        match self.alive(node) {
            Some(_) if stops && self.nodes[&node].parts.as_ref().is_some_and(|it| it.told_to_stop) => {
                self.soon(80_000..120_000, What::End(index));
            }
            Some(_) if stops => {} // it has come back already
            Some(life) => self.push(self.now, What::Join(life)),
            None if stops => self.start(node),
            None => {} // it carries its groups when it starts
        }
    }

    /// The life of a node, if it runs.
    pub(super) fn alive(&self, node: NodeId) -> Option<Member> {
        self.nodes.get(&node).filter(|node| node.parts.is_some()).map(|node| node.life)
    }

    /// Whether a node is a member of a group, or about to become one.
    pub(super) fn carries(&self, life: Member, group: GroupId) -> bool {
        let node = self.nodes.get(&life.node).filter(|node| node.life == life);
        let group = node.and_then(|node| node.parts.as_ref()?.groups.get(&group));
        group.is_some_and(|group| !group.has_left())
    }

    /// A node leaves its groups.
    pub(super) fn leave(&mut self, life: Member) {
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let stay = parts.groups.iter().filter(|(_, group)| !group.has_left());
        let groups: Vec<GroupId> = stay.map(|(id, _)| *id).collect();
        parts.away.extend(&groups);
        for group in groups {
            self.feed(life, group, vec![Input::Leave]);
        }
    }

    /// A newcomer of a group cannot learn the marks of publishers: it leaves, and joins again.
    pub(super) fn give_up(&mut self, life: Member, group: GroupId) {
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        parts.away.insert(group);
        self.tally.gave_up += 1;
        self.feed(life, group, vec![Input::Leave]);
        self.soon(80_000..120_000, What::Join(life));
    }

    /// A group has let its member go: the node carries it no longer.
    pub(super) fn on_left(&mut self, life: Member, group: GroupId) {
        self.tally.left += 1;
        self.carry(life, group, false);
        if group == self.published_group() {
            self.close_clients(life);
        }
        let Some(parts) = self.nodes.get(&life.node).and_then(|node| node.parts.as_ref()) else { return };
        if parts.stopping && parts.groups.values().all(Group::has_left) {
            self.push(self.now, What::Quit(life));
        }
    }

    /// A node joins the groups again that it has left, as soon as they have let it go.
    pub(super) fn join_again(&mut self, life: Member) {
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        if parts.stopping {
            return;
        }
        let gone = |id: &GroupId| parts.groups.get(id).is_some_and(Group::has_left);
        let groups: Vec<GroupId> = parts.away.extract_if(.., gone).collect();
        let wait = !parts.away.is_empty();
        for group in groups {
            self.join(life, group);
        }
        if wait {
            self.soon(80_000..120_000, What::Join(life));
        }
    }

    /// Joins one group again.
    fn join(&mut self, life: Member, id: GroupId) {
        let Some(config) = self.configs.iter().find(|config| config.group == id).cloned() else { return };
        let (now, breach) = (self.nodes[&life.node].clock.read(self.now), self.breach);
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let Some(legacy) = parts.groups.get(&id).and_then(Group::legacy) else { return };
        parts.groups.insert(id, Group::rejoin(config, legacy, now));
        parts.group_wakes.remove(&id);
        parts.noticed.remove(&id);
        parts.replicas.remove(&id);
        if let Some(bound) = parts.bound.get_mut(&id) {
            *bound = Bound::new(life, bound.stay + 1, breach);
        }
        let known = parts.presence.introduction();
        self.bus.on_joined(life, id);
        self.tally.joined += 1;
        self.carry(life, id, true);
        self.feed(life, id, known);
    }

    /// A node stops: it leaves its groups, then the cluster, and does not wait long for either.
    pub(super) fn stop(&mut self, life: Member) {
        let clock = self.nodes[&life.node].clock;
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        if std::mem::replace(&mut parts.stopping, true) {
            return;
        }
        let carries_none = parts.groups.values().all(Group::has_left);
        self.tally.stopped += 1;
        let patience = clock.moment(clock.read(self.now) + Timing::DEFAULT.round() * 3);
        self.push(patience.max(self.now), What::Quit(life));
        if carries_none {
            self.push(self.now, What::Quit(life));
        }
        self.leave(life);
    }

    /// A node that stops says so to the cluster, and is gone.
    pub(super) fn quit(&mut self, life: Member) {
        self.presence(life, Presence::leave);
        self.end_process(life.node);
    }
}
