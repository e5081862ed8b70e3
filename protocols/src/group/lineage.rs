//! Lineages: which of their views are over for this member, and when one can never go on.

use quorate_membership::{Decree, Member, View, ViewId};

use super::{Body, Effect, Effects, Event, FORMER_LINEAGES_MAX, Fate, Group, Message};

impl Group {
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
        self.past.clear();
        self.gone.clear();
        self.given_up.retain(|lineage| *lineage != last.id.lineage);
        self.given_up.push_back(last.id.lineage);
        if self.given_up.len() > FORMER_LINEAGES_MAX {
            self.given_up.pop_front();
        }
        if self.wants_out {
            return self.leave_now(out); // there is nothing left to leave in order
        }
        self.enter_genesis();
        for node in self.reachable.clone() {
            self.greet_founder(node, out); // it may have asked while this member was elsewhere
        }
    }

    /// The latest view known to stand: one that was decided though it cannot be entered yet, the
    /// present one, or one that goes on without this member.
    pub(super) fn last_known(&self) -> Option<&View> {
        let decided = self.installing.as_ref().map(|(decree, _)| &decree.view);
        decided.or(self.view.as_ref()).or(self.known.as_ref())
    }

    /// While outside: a view goes on without this member. One that is behind may tell of an earlier one.
    pub(super) fn learn_of(&mut self, view: &View, out: &mut Effects) {
        self.contacts.add(view.acceptors().map(|m| m.node));
        let later = |known: &View| known.id.lineage == view.id.lineage && known.id > view.id;
        if !self.known.as_ref().is_some_and(later) {
            self.known = Some(view.clone());
            self.give_up_dead_lineage(out);
        }
    }

    /// Somebody asks to be admitted who may know only the view in which this member was last, and then waits
    /// for its word before it gives the lineage up. It has left, or is outside, too: it tells how that view ended.
    pub(super) fn tell_known(&mut self, to: Member, floor: ViewId, out: &mut Effects) {
        let later = |known: &View| known.id.lineage == floor.lineage && known.id > floor;
        if let Some(known) = self.known.clone().filter(later) {
            self.post(to.node, known.id, Body::Current { view: known, asked: floor }, out);
        }
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
            Body::Current { view, .. } => self.is_new(view.id),
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
        let known = self.last_known().map_or(self.genesis, |view| view.id);
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
            let gone = ViewId { lineage, ..self.genesis };
            self.post_all(attempt.promised(), gone, Body::Gone, out);
        }
    }
}
