//! Ways into a group and out of it: founding, joining, being removed.

use std::collections::BTreeSet;

use quorate_membership::{
    Change, Incarnation, Member, NodeId, Time, View, ViewId,
    agreement::{Acceptor, Breach},
};

use super::{Body, Effect, Effects, Event, Fate, Group};

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
        let genesis = View { id: self.genesis, members, witnesses, learners, changes, sides };
        let founds = genesis.is_acceptor(self.me) && !self.config.partitionable;
        self.view = founds.then_some(genesis);
        self.acceptor = Acceptor::new(self.config.breach);
        self.sealed_at = None;
        self.born = self.now;
        self.reset_evidence();
    }

    /// Founded once all declared nodes are here, or a majority of them has waited long enough.
    pub(super) fn may_found(&self, view: &View) -> bool {
        let count = view.acceptors().filter(|m| self.reaches(*m)).count();
        count == view.acceptors().count() || !self.is_patient() && count >= view.agreement_quorum()
    }

    /// Whether the founders still wait for all that were declared.
    pub(super) fn is_patient(&self) -> bool {
        self.now < self.born + self.config.timing.founding()
            && self.config.breach != Some(Breach::FoundAtOnce)
    }

    /// A node comes into reach while the group is being founded: whoever leads the founding asks it, and a junior one
    /// says that it is there, since it may have begun after it was asked.
    pub(super) fn greet_founder(&mut self, node: NodeId, out: &mut Effects) {
        let Some(genesis) = self.view.as_ref().filter(|view| view.id.is_genesis()) else { return };
        let rank = |node: NodeId| genesis.acceptors().position(|founder| founder.node == node);
        let is_senior = rank(node).is_some_and(|theirs| rank(self.me.node).is_some_and(|mine| theirs < mine));
        if is_senior {
            self.post(node, genesis.id, Body::Where, out);
        }
        self.ask_founder(node, out);
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
        let Some(view) = self.view.as_ref().filter(|view| !view.id.is_genesis()) else {
            return self.tell_known(from, floor, out);
        };
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
        self.post(from.node, view.id, Body::Current { view, asked: floor }, out);
    }

    /// Newcomers that every member of the view and they hear mutually: admitting one that some
    /// member does not reach would only lead to its removal.
    pub(super) fn admissible<'a>(&'a self, view: &'a View) -> impl Iterator<Item = Member> + 'a {
        let careless = self.config.breach == Some(Breach::AdmitUnheard);
        let hears = move |joiner: &Joiner| {
            view.acceptors().all(|m| careless || joiner.hears.contains(&m.node) || !self.stays(m))
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

    pub(super) fn on_current(&mut self, from: Member, view: &View, asked: ViewId, out: &mut Effects) {
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
        let Some(present) = &self.view else { return self.learn_of(view, out) };
        let newer = view.id.lineage == mine.lineage && view.id.epoch > mine.epoch;
        if !(newer || present.id.is_genesis()) || self.installing.is_some() {
            return;
        }
        let founding = present.id.is_genesis();
        if !founding && asked != mine {
            // An answer of long ago: from where this member is now it may be told step by step.
            return self.post(from.node, mine, Body::Where, out);
        }
        // Too far behind to be told step by step.
        self.forget_unsettled(Fate::Unknown, out);
        if founding && view.is_acceptor(self.me) && view.id.epoch == 1 && self.is_new(view.id) {
            self.enter(view.clone(), None, out);
        } else {
            self.go_outside(view, out);
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
        self.known = Some(next.clone());
        if self.wants_out {
            return self.leave_now(out);
        }
        if was_member {
            let mine = next.changes.iter().find(|(member, _)| *member == self.me);
            let reason = mine.map(|(_, change)| *change);
            out.push(Effect::Deliver(Event::Removed { view: next.id, reason }));
        }
        // It asks to join at its next tick, not at once: every answer could send it outside again.
        self.give_up_dead_lineage(out);
    }

    pub(super) fn step_outside(&mut self, next: &View, out: &mut Effects) {
        self.drop_directs(out);
        self.drop_asks(out);
        self.raise_floor(next.id);
        self.view = None;
        self.entered = self.now;
        self.stream = None;
        self.relaying.clear();
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

    pub(super) fn tick_entry(&mut self, out: &mut Effects) {
        if self.left {
            return;
        }
        self.retire_past();
        let mine = self.view_id();
        if self.config.partitionable && self.view.is_none() {
            return; // it is about to begin alone
        }
        let once = self.config.breach == Some(Breach::AnnounceOnce);
        if self.view.is_none() && !(once && self.now > self.born + self.config.timing.round()) {
            self.ask_to_join(out);
        } else if mine.is_genesis() {
            self.ask_who_founds(out);
        } else if let Some((from, _)) = self.early.first() {
            let ahead = from.node;
            self.post(ahead, mine, Body::Where, out);
        } else if self.stream.is_none() {
            // A witness has no rows to exchange, so it asks.
            let unseen: Vec<NodeId> = self.unseen().map(|m| m.node).collect();
            self.post_all(unseen, mine, Body::Where, out);
        }
        if self.wants_out && !once {
            self.ask_to_leave(out);
        }
        self.remind_unseen(out);
    }

    /// Whoever has gone on already says so. While the founders wait for all, one that leads the founding asks by itself, and
    /// the others ask that one.
    fn ask_who_founds(&mut self, out: &mut Effects) {
        let leads = self.coordinator().filter(|_| self.is_patient()).map(|member| member.node);
        let asked = leads.map_or_else(|| self.contacts.nodes(), |leads| vec![leads]);
        let asked = asked.into_iter().filter(|node| *node != self.me.node);
        self.post_all(asked.collect::<Vec<_>>(), self.genesis, Body::Where, out);
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
