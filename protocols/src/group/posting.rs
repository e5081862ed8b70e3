//! What a member says to others, and to itself.

use std::{collections::BTreeSet, sync::Arc};

use quorate_membership::{NodeId, ViewId};

use super::{Body, Effect, Effects, Group, Message};

impl Group {
    pub(super) fn post(&mut self, to: NodeId, view: ViewId, body: Body, out: &mut Effects) {
        let message = Message { view, body };
        if to == self.me.node {
            self.loopback.push_back(message);
        } else {
            out.push(Effect::Send { to: Arc::from([to]), message: Box::new(message) });
        }
    }

    pub(super) fn post_all(
        &mut self,
        to: impl IntoIterator<Item = NodeId>,
        view: ViewId,
        body: Body,
        out: &mut Effects,
    ) {
        let all: BTreeSet<NodeId> = to.into_iter().collect();
        let message = Message { view, body };
        if all.contains(&self.me.node) {
            self.loopback.push_back(message.clone());
        }
        let others: Arc<[NodeId]> = all.into_iter().filter(|node| *node != self.me.node).collect();
        if !others.is_empty() {
            out.push(Effect::Send { to: others, message: Box::new(message) });
        }
    }

    /// What this member says to itself goes the way of all messages.
    pub(super) fn drain_loopback(&mut self, out: &mut Effects) {
        while let Some(message) = self.loopback.pop_front() {
            let said = self.on_message(self.me, message, out);
            debug_assert!(said.is_ok(), "a member refuses itself: {said:?}");
        }
    }
}
