//! Ways into a group and out of it: founding, joining, being removed, leaving, losing a lineage.

use std::collections::BTreeSet;

use quorate_membership::{
    Change, Decree, Incarnation, Member, NodeId, Time, View, ViewId, agreement::Acceptor,
};

use super::{Body, Effect, Effects, Event, FORMER_LINEAGES_MAX, Fate, Group, Message};

/// Nodes that ask to be admitted at one time. Whoever is not admitted asks again, so the one heard
/// longest ago makes room for a further one.
const JOINERS_MAX: usize = 256;
/// Nodes that one that asks to be admitted may say it hears.
pub(super) const HEARS_MAX: usize = 10_000;

/// A node that asks to be admitted.
#[derive(Debug)]
pub(super) struct Joiner {
    member: Member,
    pub(super) at: Time,
    hears: BTreeSet<NodeId>,
}

impl Group {
    /// A declared founder starts in the genesis: the declared nodes are its acceptors.
    pub(super) fn enter_genesis(&mut self) {
        let declared = |nodes: &[NodeId]| -> Vec<Member> {
            nodes.iter().map(|node| Member::new(*node, Incarnation::UNKNOWN)).collect()
        };
        let members = declared(&self.config.founders);
        let witnesses = declared(&self.config.witnesses);
        let (learners, changes, sides) = (Vec::new(), Vec::new(), Vec::new());
        let genesis = View { id: ViewId::GENESIS, members, witnesses, learners, changes, sides };
        let founds = genesis.is_acceptor(self.me) && !self.config.partitionable;
        self.view = founds.then_some(genesis);
        self.acceptor = Acceptor::new(self.config.breach);
        self.sealed_at = None;
        self.born = self.now;
        self.reset_evidence();
    }

    /// Founded once all declared nodes are here, or a majority of them has waited long enough.
    pub(super) fn may_found(&self, view: &View) -> bool {
        let here = |m: &Member| m.node == self.me.node || self.reachable.contains(&m.node);
        let count = view.acceptors().filter(here).count();
        let patient = self.now < self.born + self.config.timing.founding();
        count == view.acceptors().count() || !patient && count >= view.agreement_quorum()
    }

    /// Names a founding after its coordinator's life and the attempt: no other founding has both.
    /// The odd constants spread the three numbers over the whole word.
    pub(super) const fn new_lineage(&self) -> u64 {
        let life = self.me.incarnation.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let node = self.me.node.get().wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        life ^ node.rotate_left(21) ^ self.highest_round.wrapping_mul(0x1656_67b1_9e37_79f9).rotate_left(42)
    }

    pub(super) fn on_join(&mut self, from: Member, floor: ViewId, hears: Vec<NodeId>, out: &mut Effects) {
        self.knows(from, floor);
        let Some(view) = self.view.as_ref().filter(|view| !view.id.is_genesis()) else { return };
        let filled = view.learners.contains(&from) || self.config.state_transfer && view.rank(from).is_some();
        if filled && !is_fresh(view, from, floor) {
            // It has fallen behind for good: it gives up its place and comes as a newcomer.
            self.leaving.insert(from);
        } else if view.has(from) && is_closed_to(view, floor) {
            // It had to go outside and cannot come back to this view: its place is empty.
            return self.on_gone(from, view.id, out);
        } else if view.has(from) {
            // It is in the view, never entered it, and went outside: it enters on being told.
            let entry = self.past.back().map(|past| past.decree.clone()).filter(|d| d.view.id == view.id);
            if let Some(decree) = entry {
                self.post(from.node, decree.closes, Body::Decided(decree), out);
            }
            return;
        }
        self.gone.remove(&from); // it comes as a newcomer, with no say in what was before
        if self.is_superseded(from) || view.has_node(from.node) && !is_newer(view, from) {
            return;
        }
        let view = view.clone();
        let joiner = Joiner { member: from, at: self.now, hears: hears.into_iter().collect() };
        self.joiners.insert(from.node, joiner);
        if self.joiners.len() > JOINERS_MAX {
            let oldest = self.joiners.iter().filter(|(node, _)| **node != from.node);
            let oldest = oldest.min_by_key(|(_, joiner)| joiner.at).map(|(node, _)| *node);
            oldest.and_then(|node| self.joiners.remove(&node));
        }
        self.post(from.node, view.id, Body::Current(view), out);
    }

    /// Newcomers that every member of the view and they hear mutually: admitting one that some
    /// member does not reach would only lead to its removal.
    pub(super) fn admissible<'a>(&'a self, view: &'a View) -> impl Iterator<Item = Member> + 'a {
        let hears = |joiner: &Joiner| {
            view.acceptors().all(|m| joiner.hears.contains(&m.node) || !self.stays(m))
                && self.reachable.contains(&joiner.member.node)
        };
        let clash = |joiner: &Joiner| view.has_node(joiner.member.node);
        let barred = |joiner: &Joiner| self.lags.is_barred(self.now, joiner.member.node);
        let fit = self.joiners.values().filter(move |j| hears(j) && !clash(j) && !barred(j));
        fit.filter(|joiner| !self.is_superseded(joiner.member)).map(|joiner| joiner.member)
    }

    fn stays(&self, member: Member) -> bool {
        member.node == self.me.node || self.reachable.contains(&member.node)
    }

    pub(super) fn on_current(&mut self, from: Member, view: &View, out: &mut Effects) {
        let mine = self.view_id();
        if view.id.is_genesis() {
            return;
        }
        if view.id == mine {
            self.see(from);
            return;
        }
        if self.given_up.contains(&view.id.lineage) && !self.is_new(view.id) {
            return; // it was given up as it stands there
        }
        let elsewhere = !mine.is_genesis();
        if self.is_new(view.id) && !elsewhere {
            self.given_up.retain(|lineage| *lineage != view.id.lineage); // it may have gone on
        }
        let Some(present) = &self.view else {
            self.contacts.add(view.acceptors().map(|m| m.node));
            self.known = Some(view.clone());
            self.give_up_dead_lineage(out);
            return;
        };
        let newer = view.id.lineage == mine.lineage && view.id.epoch > mine.epoch;
        if !(newer || present.id.is_genesis()) || self.installing.is_some() {
            return;
        }
        // Too far behind to be told step by step.
        let founding = present.id.is_genesis();
        self.forget_unsettled(Fate::Unknown, out);
        if founding && view.is_acceptor(self.me) && view.id.epoch == 1 && self.is_new(view.id) {
            self.enter(view.clone(), None, out);
        } else {
            self.go_outside(view, out);
        }
    }

    /// Whether this member was neither in this view nor told that it went on without it. An old
    /// proof of decision that arrives late must not lead back.
    pub(super) fn is_new(&self, view: ViewId) -> bool {
        let mut floors = self.former_floors.iter().chain([&self.floor]);
        floors.all(|floor| view.lineage != floor.lineage || view.epoch > floor.epoch)
    }

    /// Nothing through this view is new any more.
    pub(super) fn raise_floor(&mut self, view: ViewId) {
        if view.lineage == self.floor.lineage {
            self.floor = self.floor.max(view);
            return;
        }
        self.former_floors.push_back(self.floor);
        let former = self.former_floors.iter().position(|floor| floor.lineage == view.lineage);
        let former = former.and_then(|index| self.former_floors.remove(index));
        self.floor = former.map_or(view, |former| former.max(view));
        if self.former_floors.len() > FORMER_LINEAGES_MAX {
            self.former_floors.pop_front();
        }
    }

    pub(super) fn forget_unsettled(&mut self, fate: Fate, out: &mut Effects) {
        self.until_everywhere.clear();
        for (_, ticket) in std::mem::take(&mut self.until_uniform) {
            self.tell_fate(ticket, fate, out);
        }
    }

    /// Goes on as a newcomer, knowing whom to ask.
    pub(super) fn go_outside(&mut self, next: &View, out: &mut Effects) {
        let was_member = !self.view_id().is_genesis();
        self.step_outside(next, out);
        if self.wants_out {
            return self.leave_now(out);
        }
        self.known = Some(next.clone());
        if was_member {
            let mine = next.changes.iter().find(|(member, _)| *member == self.me);
            let reason = mine.map(|(_, change)| *change);
            out.push(Effect::Deliver(Event::Removed { view: next.id, reason }));
        }
        // It asks to join at its next tick, not at once: every answer could send it outside again.
        self.give_up_dead_lineage(out);
    }

    fn step_outside(&mut self, next: &View, out: &mut Effects) {
        self.drop_directs(out);
        self.drop_asks(out);
        self.raise_floor(next.id);
        self.view = None;
        self.stream = None;
        self.acceptor = Acceptor::new(self.config.breach);
        self.sealed_at = None;
        self.attempt = None;
        self.hold = None;
        self.installing = None;
        self.wedged = false;
        self.alone = false;
        self.joiners.clear();
        self.untold.clear();
        self.leaving.clear();
        self.ready.clear();
        self.transfers.clear();
        self.early.clear();
        self.early_bytes = 0;
        self.seen.clear();
        self.reset_evidence();
        self.contacts.add(next.acceptors().map(|m| m.node));
    }

    fn ask_to_join(&mut self, out: &mut Effects) {
        let hears = self.reachable.iter().copied().collect();
        let contacts = self.contacts.nodes();
        self.post_all(contacts, self.floor, Body::Join { hears }, out);
    }

    /// If so many members were replaced by newer lives that the rest is no majority, this lineage
    /// can never decide anything again. Unless it went on before those members ended: whoever is
    /// left of them knows, so each has to say that it is still in the same view, or has given up.
    pub(super) fn give_up_dead_lineage(&mut self, out: &mut Effects) {
        let Some(view) = self.last_known().filter(|view| !view.id.is_genesis()) else { return };
        if self.config.partitionable {
            return; // it is never lost as long as one member lives
        }
        let left = || view.acceptors().filter(|m| !self.is_superseded(*m));
        let same_view = view.id == self.view_id();
        let is_here = |m: Member| m == self.me || same_view && self.opinions.contains_key(&m.node);
        if left().count() >= view.agreement_quorum() || !left().all(is_here) {
            return;
        }
        let last = view.clone();
        let member = self.view.is_some();
        self.known = None;
        self.forget_unsettled(Fate::Unknown, out);
        self.step_outside(&last, out);
        if member {
            out.push(Effect::Deliver(Event::LineageLost));
        }
        if self.wants_out {
            return self.leave_now(out); // there is nothing left to leave in order
        }
        self.past.clear();
        self.gone.clear();
        self.given_up.retain(|lineage| *lineage != last.id.lineage);
        self.given_up.push_back(last.id.lineage);
        if self.given_up.len() > FORMER_LINEAGES_MAX {
            self.given_up.pop_front();
        }
        self.enter_genesis();
    }

    /// The latest view known to stand: one that was decided though it cannot be entered yet, the
    /// present one, or one that goes on without this member.
    pub(super) fn last_known(&self) -> Option<&View> {
        let decided = self.installing.as_ref().map(|(decree, _)| &decree.view);
        decided.or(self.view.as_ref()).or(self.known.as_ref())
    }

    /// Whether this decree founds a lineage that this member was in before. A vote on it that is
    /// still under way, or comes late, is no part of the present founding: it was decided, whoever
    /// can enter it is told so, and here it leads nowhere.
    pub(super) fn is_former(&self, decree: &Decree) -> bool {
        decree.closes.is_genesis() && !self.is_new(decree.view.id)
    }

    /// Answers what belongs to a lineage given up: this member votes in it no more. Unless it
    /// is news of a later view, which may show that the lineage lives. A learner may be left in the
    /// very view that was given up, and be told so by nothing else.
    pub(super) fn say_gone(&mut self, to: Member, message: &Message, out: &mut Effects) {
        let news = match &message.body {
            Body::Current(view) => self.is_new(view.id),
            Body::Decided(decree) => self.is_new(decree.view.id),
            Body::Gone => true,
            _ => false,
        };
        if self.given_up.contains(&message.view.lineage) && !news {
            let floor = self.shun(message.view);
            self.post(to.node, floor, Body::Gone, out);
        }
    }

    /// Never enters this view of a lineage that was given up, whatever is heard of it later. Returns
    /// the last view of which that is so.
    fn shun(&mut self, view: ViewId) -> ViewId {
        let mut floors = self.former_floors.iter_mut().chain([&mut self.floor]);
        let Some(floor) = floors.find(|floor| floor.lineage == view.lineage) else { return view };
        *floor = view.max(*floor);
        *floor
    }

    /// A member will never vote in this view or in an earlier one. That is of no account for a later
    /// one: it may have been admitted anew, and what it says of that it says again.
    pub(super) fn on_gone(&mut self, from: Member, view: ViewId, out: &mut Effects) {
        self.knows(from, view);
        if self.view.as_ref().is_some_and(|view| view.id.is_genesis()) {
            return self.withdraw_founding(view.lineage, out);
        }
        let known = self.last_known().map_or(ViewId::GENESIS, |view| view.id);
        if !known.is_genesis() && view.lineage == known.lineage && view >= known {
            self.gone.insert(from, view);
            self.give_up_dead_lineage(out);
        }
    }

    /// This lineage was founded and given up: a vote for it must not stand in the way of the next.
    fn withdraw_founding(&mut self, lineage: u64, out: &mut Effects) {
        let founds = |decree: &Decree| decree.view.id.lineage == lineage;
        self.acceptor.withdraw(founds);
        if let Some(attempt) = self.attempt.take_if(|attempt| attempt.decree().is_some_and(founds)) {
            // One of those who promised had voted for it, and would have it taken over again.
            let gone = ViewId { lineage, ..ViewId::GENESIS };
            self.post_all(attempt.promised(), gone, Body::Gone, out);
        }
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

    fn ask_to_leave(&mut self, out: &mut Effects) {
        let Some(view) = &self.view else { return };
        let peers: Vec<NodeId> = view.acceptors().map(|m| m.node).filter(|n| *n != self.me.node).collect();
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

    pub(super) fn tick_entry(&mut self, out: &mut Effects) {
        if self.left {
            return;
        }
        self.retire_past();
        let mine = self.view_id();
        if self.config.partitionable && self.view.is_none() {
            return; // it is about to begin alone
        }
        if self.view.is_none() {
            self.ask_to_join(out);
        } else if mine.is_genesis() {
            // Whoever has gone on already says so.
            let contacts = self.contacts.nodes();
            self.post_all(contacts, mine, Body::Where, out);
        } else if let Some((from, _)) = self.early.first() {
            let ahead = from.node;
            self.post(ahead, mine, Body::Where, out);
        } else if self.stream.is_none() {
            // A witness has no rows to exchange, so it asks.
            let unseen: Vec<NodeId> = self.unseen().map(|m| m.node).collect();
            self.post_all(unseen, mine, Body::Where, out);
        }
        if self.wants_out {
            self.ask_to_leave(out);
        }
        self.remind_unseen(out);
    }

    /// The senior member makes sure that everybody in the view knows of it.
    fn remind_unseen(&mut self, out: &mut Effects) {
        if self.coordinator().is_none_or(|member| member.node != self.me.node) {
            return;
        }
        let Some(decree) = self.past.back().map(|past| past.decree.clone()) else { return };
        let unseen: Vec<NodeId> = self.unseen().map(|m| m.node).collect();
        if decree.view.id == self.view_id() {
            self.post_all(unseen, decree.closes, Body::Decided(decree), out);
        }
    }
}

/// Whether this learner was admitted by this view and has not been in it.
fn is_fresh(view: &View, learner: Member, floor: ViewId) -> bool {
    !is_closed_to(view, floor) && view.changes.contains(&(learner, Change::Learns))
}

/// Whether the floor of somebody outside says that this view is closed to it.
const fn is_closed_to(view: &View, floor: ViewId) -> bool {
    floor.lineage == view.id.lineage && floor.epoch >= view.id.epoch
}

fn is_newer(view: &View, member: Member) -> bool {
    view.participants().any(|m| m.node == member.node && m.incarnation < member.incarnation)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_membership::GroupId;

    use super::*;
    use crate::{GroupConfig, Input, Message};

    #[test]
    fn however_many_nodes_ask_to_be_admitted_so_many_are_kept_and_the_latest_among_them() {
        let mut out = Effects::new();
        let me = Member::new(NodeId::new(1), Incarnation::new(1));
        let config = GroupConfig::new(GroupId::new(1), vec![me.node]);
        let mut group = Group::new(config, me, Time::ZERO);
        let mut now = Time::ZERO;
        for _ in 0..60 {
            now = now + Duration::from_millis(50);
            group.handle(now, Input::Wake, &mut out).expect("no refusal");
            group.flush(now, &mut out);
        }
        let view = group.view_id();
        assert_eq!(view.epoch, 1, "a founder that is alone founds its group");
        for node in 2..2000 {
            let from = Member::new(NodeId::new(node), Incarnation::new(1));
            let message = Message { view, body: Body::Join { hears: vec![me.node] } };
            group.handle(now, Input::Received { from, message }, &mut out).expect("no refusal");
        }
        assert_eq!(group.joiners.len(), JOINERS_MAX);
        assert!(group.joiners.contains_key(&NodeId::new(1999)));
    }
}
