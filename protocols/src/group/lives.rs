//! The latest life of each node, for as long as something of an earlier one may still come.

use std::collections::{BTreeMap, VecDeque};

use quorate_membership::{Incarnation, Member, NodeId, Time};

use super::Group;

/// The latest life that was met of each node, and which of them are gone.
#[derive(Debug, Default)]
pub(super) struct Lives {
    latest: BTreeMap<NodeId, Incarnation>,
    /// Since when they are, the one that is so for longest first.
    departed: VecDeque<(Time, Member)>,
}

impl Lives {
    /// Returns whether this is a later life than was known, or the first.
    pub(super) fn meet(&mut self, member: Member) -> bool {
        let life = self.latest.entry(member.node).or_default();
        let newer = *life < member.incarnation;
        *life = member.incarnation.max(*life);
        newer
    }

    /// Whether a later life of the node was met.
    pub(super) fn know_later(&self, member: Member) -> bool {
        self.latest.get(&member.node).is_some_and(|life| *life > member.incarnation)
    }

    fn depart(&mut self, now: Time, node: NodeId) {
        if let Some(life) = self.latest.get(&node) {
            self.departed.retain(|(_, member)| member.node != node);
            self.departed.push_back((now, Member::new(node, *life)));
        }
    }

    /// Forgets who departed before `since` and has not come anew; whoever is kept departs anew.
    fn forget(&mut self, now: Time, since: Time, keeps: impl Fn(NodeId) -> bool) {
        while let Some((_, member)) = self.departed.pop_front_if(|(at, _)| *at < since) {
            if self.latest.get(&member.node) != Some(&member.incarnation) {
                continue;
            }
            if keeps(member.node) {
                self.departed.push_back((now, member));
            } else {
                self.latest.remove(&member.node);
            }
        }
    }
}

impl Group {
    /// A node is gone, and no link to it is left. Frames that it had sent may wait in queues of this
    /// node for a while, so that its life is remembered for as long as
    /// [`Timing::departed`](quorate_membership::Timing::departed), and then for as long as it has a
    /// part in the view or is heard.
    pub(super) fn on_departed(&mut self, node: NodeId) {
        self.lives.depart(self.now, node);
        self.contacts.forget(node);
        self.silent.remove(&node);
    }

    pub(super) fn forget_departed(&mut self) {
        let (now, since) = (self.now, self.now - self.config.timing.departed());
        let views = [self.view.as_ref(), self.known.as_ref()];
        let has_part = |node| node == self.me.node || views.iter().flatten().any(|view| view.has_node(node));
        self.lives.forget(now, since, |node| has_part(node) || self.reachable.contains(&node));
    }

    /// Nodes of which this member remembers in which life it met them last.
    pub fn known_lives(&self) -> usize {
        self.lives.latest.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn life(node: u64, life: u64) -> Member {
        Member::new(NodeId::new(node), Incarnation::new(life))
    }

    #[test]
    fn a_life_is_known_until_it_has_been_gone_for_long_whatever_comes_late() {
        let mut lives = Lives::default();
        assert!(lives.meet(life(1, 2)) && !lives.meet(life(1, 2)) && !lives.meet(life(1, 1)));
        lives.depart(Time::ZERO, NodeId::new(1));
        lives.forget(Time::ZERO, Time::ZERO, |_| false);
        assert!(lives.know_later(life(1, 1)) && !lives.know_later(life(1, 2)));
        let day = Time::ZERO + DAY;
        lives.forget(day, day, |_| true);
        assert!(lives.know_later(life(1, 1)), "it still has a part");
        lives.forget(day + DAY, day + DAY, |_| false);
        assert!(lives.latest.is_empty() && lives.departed.is_empty());
    }

    #[test]
    fn who_came_anew_is_not_forgotten() {
        let mut lives = Lives::default();
        lives.meet(life(1, 1));
        lives.depart(Time::ZERO, NodeId::new(1));
        lives.meet(life(1, 2));
        let day = Time::ZERO + DAY;
        lives.forget(day, day, |_| false);
        assert!(lives.know_later(life(1, 1)));
    }
}
