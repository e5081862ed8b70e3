//! Leaving a group of one's own will.

use quorate_membership::{NodeId, agreement::Breach};

use super::{Body, Effect, Effects, Event, Fate, Group};

impl Group {
    pub(super) fn on_leave(&mut self, out: &mut Effects) {
        self.wants_out = true;
        if self.view.as_ref().is_none_or(|view| view.id.is_genesis()) {
            self.leave_now(out);
            return;
        }
        self.leaving.insert(self.me);
        self.ask_to_leave(out);
    }

    pub(super) fn ask_to_leave(&mut self, out: &mut Effects) {
        let Some(view) = &self.view else { return };
        let told = if self.config.breach == Some(Breach::AnnounceOnce) { 1 } else { usize::MAX };
        let told = view.acceptors().map(|m| m.node).take(told);
        let peers: Vec<NodeId> = told.filter(|n| *n != self.me.node).collect();
        self.post_all(peers, self.view_id(), Body::Leave, out);
    }

    pub(super) fn leave_now(&mut self, out: &mut Effects) {
        self.forget_unsettled(Fate::Unknown, out);
        self.drop_directs(out);
        for submission in std::mem::take(&mut self.outbox) {
            self.tell_fate(submission.ticket, Fate::Lost, out);
        }
        self.drop_asks(out);
        self.transfers.clear();
        self.outbox_bytes = 0;
        self.left = true;
        self.view = None;
        self.stream = None;
        self.attempt = None;
        out.push(Effect::Deliver(Event::Left));
    }
}
