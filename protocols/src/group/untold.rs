//! Members that were removed and may not know it.
//!
//! One that was cut off for so short a time that it did not notice, by a slow clock or because only
//! others lost it, waits for nothing. If the decision was lost with the link, a quiet group would
//! never tell it again. So the coordinator repeats the decision to whoever it hears, until that one
//! asks to be admitted or says that it has left.

use quorate_membership::{Change, Decree, Member, NodeId, Time, ViewId};

use super::{Effects, Group};

/// Members that are remembered; beyond them the one removed longest ago is forgotten.
const UNTOLD_MAX: usize = 256;

/// A removed member that has not shown that it knows.
#[derive(Debug)]
pub(super) struct Untold {
    /// The last view that it was in.
    closes: ViewId,
    /// When it was removed, or came back into reach.
    since: Time,
}

impl Group {
    /// A decided view leaves members out.
    pub(super) fn note_removed(&mut self, decree: &Decree) {
        let view = &decree.view;
        self.untold.retain(|member, _| !view.has_node(member.node));
        if self.config.partitionable {
            return; // sides tell each other
        }
        let (closes, since) = (decree.closes, self.now);
        let unaware = |change: &Change| matches!(change, Change::Unreachable | Change::TooSlow);
        let removed = view.changes.iter().filter(|(m, change)| unaware(change) && !view.has_node(m.node));
        self.untold.extend(removed.map(|(member, _)| (*member, Untold { closes, since })));
        while self.untold.len() > UNTOLD_MAX {
            let oldest = self.untold.iter().min_by_key(|(_, untold)| untold.closes).map(|(m, _)| *m);
            oldest.and_then(|member| self.untold.remove(&member));
        }
    }

    /// A node came into reach: if it was removed, it may be as it was before.
    pub(super) fn retell(&mut self, node: NodeId) {
        let now = self.now;
        self.untold.iter_mut().filter(|(m, _)| m.node == node).for_each(|(_, untold)| untold.since = now);
    }

    /// A member shows that it knows of everything through this view.
    pub(super) fn knows(&mut self, member: Member, through: ViewId) {
        let same = |untold: &Untold| untold.closes.lineage == through.lineage;
        if self.untold.get(&member).is_some_and(|untold| same(untold) && untold.closes <= through) {
            self.untold.remove(&member);
        }
    }

    /// Whom this member tells now, and of the end of which view: who does not answer for so long
    /// has nothing of the group any more.
    pub(super) fn to_tell(&self) -> impl Iterator<Item = (NodeId, ViewId)> + '_ {
        let coordinates =
            !self.untold.is_empty() && self.coordinator().is_some_and(|member| member.node == self.me.node);
        let earliest = self.now - self.config.timing.founding();
        let due = move |(member, untold): &(&Member, &Untold)| {
            coordinates && untold.since > earliest && self.reaches(**member)
        };
        self.untold.iter().filter(due).map(|(member, untold)| (member.node, untold.closes))
    }

    pub(super) fn tick_untold(&mut self, out: &mut Effects) {
        for (node, closes) in self.to_tell().collect::<Vec<_>>() {
            self.answer_where(node, closes, out);
        }
    }
}
