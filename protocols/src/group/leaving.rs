//! Leaving a group of one's own will, and joining it again in the same life.

use std::collections::VecDeque;

use quorate_membership::{Member, NodeId, Time, View, ViewId, agreement::Breach};

use super::{Body, Effect, Effects, Event, Fate, Group, GroupConfig};

/// What a member that has left has to keep in mind if its node joins the group again in the same life:
/// it bears the same name then, and what it was told and has said under that name stands.
///
/// Invariant: (I1) whoever has it never enters a view again that it was in when it left, or an earlier one.
#[derive(Clone, Debug)]
pub struct Legacy {
    me: Member,
    /// The group, by its charter.
    genesis: ViewId,
    highest_round: u64,
    floor: ViewId,
    former_floors: VecDeque<ViewId>,
    given_up: VecDeque<u64>,
    /// The view that let it go.
    known: Option<View>,
}

impl Group {
    /// What is to be kept in mind of this member; `None` if it has not left.
    pub fn legacy(&self) -> Option<Legacy> {
        self.left.then(|| Legacy {
            me: self.me,
            genesis: self.genesis,
            highest_round: self.highest_round,
            floor: self.floor,
            former_floors: self.former_floors.clone(),
            given_up: self.given_up.clone(),
            known: self.known.clone(),
        })
    }

    /// Joins a group again that this node has left in the same life. Otherwise as [`Self::new`].
    pub fn rejoin(config: GroupConfig, legacy: Legacy, now: Time) -> Self {
        let mut group = Self::new(config, legacy.me, now);
        if group.genesis != legacy.genesis {
            return group; // it is another group under the same name
        }
        // A lineage is named after its coordinator and the round, so rounds must not begin anew.
        group.highest_round = legacy.highest_round;
        (group.floor, group.former_floors) = (legacy.floor, legacy.former_floors);
        (group.given_up, group.known) = (legacy.given_up, legacy.known);
        group
    }

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
        self.relaying.clear();
        self.attempt = None;
        out.push(Effect::Deliver(Event::Left));
    }
}
