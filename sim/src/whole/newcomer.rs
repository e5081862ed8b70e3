//! Newcomers of a bound group ask for the marks of publishers, and others tell them, or lie.

use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId, View, ViewId};
use quorate_protocols::bus::{Admission, Arrival, Decision, Marks};

use super::{
    NODES, World,
    network::{Frame, What},
    publication::content_of,
};

impl World {
    /// A newcomer asks for the marks of publishers until a member has told them.
    pub(super) fn ask_marks(&mut self, life: Member, id: GroupId) {
        let Some((view, member)) = self.bound(life, id).and_then(|bound| bound.core.ask()) else {
            return;
        };
        self.soon(40_000..60_000, What::AskMarks(life, id));
        self.send(life, member.node, Frame::MarksWanted(id, view));
        self.lie(life, id, view);
    }

    /// A node that carries nothing tells a newcomer that nobody has published anything.
    fn lie(&mut self, to: Member, id: GroupId, view: ViewId) {
        let liar = self.nodes.get(&NodeId::new(NODES)).filter(|node| node.parts.is_some());
        if let Some(liar) = liar.map(|node| node.life) {
            self.send(liar, to.node, Frame::Marks(id, view, Marks::default()));
        }
    }

    pub(super) fn on_marks_wanted(&mut self, life: Member, from: Member, id: GroupId, view: ViewId) {
        let marks = self.bound(life, id).and_then(|bound| bound.core.snapshot(view).cloned());
        if let Some(marks) = marks {
            self.send(life, from.node, Frame::Marks(id, view, marks));
        }
    }

    pub(super) fn on_marks(&mut self, life: Member, from: Member, id: GroupId, view: ViewId, marks: Marks) {
        let Some(bound) = self.bound(life, id) else { return };
        let mut decided = Vec::new();
        // Refused is what nobody asked for, or what came second.
        let _refused = bound.core.learn(from, view, marks, |decision, payload| {
            decided.push((decision, payload.cloned().unwrap_or_default()));
        });
        for (decision, payload) in decided {
            self.on_decided(life, id, &decision, &payload);
        }
    }

    /// A group with bound subjects enters a view.
    pub(super) fn on_bound_view(&mut self, life: Member, id: GroupId, view: &View) {
        let Some(bound) = self.bound(life, id) else { return };
        if let Arrival::Decided(decision) = bound.core.on_view(view, Bytes::new(), 0) {
            self.on_decided(life, id, &decision, &Bytes::new());
        }
        if self.bound(life, id).is_some_and(|bound| bound.core.take_given_up()) {
            self.push(self.now, What::GiveUp(life, id));
        }
        self.ask_marks(life, id);
    }

    /// What a bound group has delivered passes to the readers, or is dropped.
    pub(super) fn on_decided(&mut self, life: Member, id: GroupId, decision: &Decision, payload: &Bytes) {
        let content = content_of(payload);
        self.bus.clients.on_decided(life, id, decision, content.map(|(content, _)| content));
        if decision.admission != Admission::New {
            self.tally.dropped += 1;
            return;
        }
        self.bus.on_position(life, id, decision.position, payload);
        if let Some((content, subject)) = content.filter(|_| decision.sender == Some(life)) {
            self.serve_queues(life, content, subject);
        }
    }
}
