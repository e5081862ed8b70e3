//! A member's part in closing a view: promise, hold, vote, and install what was decided.

use std::sync::Arc;

use quorate_membership::{
    Change, Cut, Decree, Member, NodeId, Seq, View, ViewId,
    agreement::{Acceptor, Ballot, Breach, Promise},
    majority,
};

use super::{Body, Effects, Event, Fate, Group, HoldRequest, Message, refilling::Lacking};
use crate::stream::Stream;

impl Group {
    /// Seals the view: from here on nothing is acknowledged, sent or delivered in it.
    pub(super) fn on_prepare(&mut self, from: Member, ballot: Ballot, out: &mut Effects) {
        self.highest_round = self.highest_round.max(ballot.round);
        let view = self.view_id();
        if self.installing.is_some() {
            self.answer_where(from.node, view, out);
            return;
        }
        let body = match self.acceptor.promise(ballot) {
            Ok(accepted) => {
                self.seal();
                let holdings = self.stream.as_ref().map(Stream::holdings).unwrap_or_default();
                Body::Promise(Box::new(Promise { ballot, accepted, activated: true, holdings }))
            }
            Err(outbid) => Body::Refused { promised: outbid.0 },
        };
        self.post(from.node, view, body, out);
    }

    /// The breach of attack 2: what is held of an earlier view is passed off as part of a later one.
    pub(super) fn promise_unactivated(
        &mut self,
        to: Member,
        view: ViewId,
        ballot: Ballot,
        out: &mut Effects,
    ) {
        let holdings = self.holdings().unwrap_or_default();
        let promise = Promise { ballot, accepted: None, activated: true, holdings };
        self.post(to.node, view, Body::Promise(Box::new(promise)), out);
    }

    fn seal(&mut self) {
        if self.sealed_at.is_none() {
            self.refills.clear(); // whoever was asked before may be the one that is lost
        }
        self.sealed_at = Some(self.now);
        let higher = |attempt: &super::Attempt| {
            self.acceptor.promised().is_some_and(|promised| promised > attempt.ballot())
        };
        if self.attempt.as_ref().is_some_and(higher) {
            self.attempt = None;
        }
    }

    pub(super) fn on_hold(&mut self, from: Member, ballot: Ballot, decree: Decree, out: &mut Effects) {
        if self.acceptor.promised().is_some_and(|promised| promised > ballot) {
            return;
        }
        if self.stream.as_ref().is_some_and(|stream| stream.members() != decree.cut.0.len()) {
            return; // no correct coordinator cuts a view of another size
        }
        self.hold = Some(HoldRequest { ballot, asker: from.node, decree });
        self.go_on_holding(out);
    }

    /// A newcomer holds a cut that it has nothing to deliver of.
    pub(super) fn on_hold_outside(
        &mut self,
        from: Member,
        ballot: Ballot,
        decree: &Decree,
        out: &mut Effects,
    ) {
        if decree.view.is_acceptor(self.me) && self.may_enter_from_outside(&decree.view) {
            self.post(from.node, decree.closes, Body::Holding { ballot }, out);
        }
    }

    /// Whether a view can be entered without having been in the one before. Where members have
    /// state, that takes a view that hands it over: data members have got theirs as learners, and a
    /// learner gets it in the view that admits it. One that missed that view, or fell out of a later
    /// one, is listed still and would follow the members from a state that is not theirs.
    fn may_enter_from_outside(&self, view: &View) -> bool {
        let needs_state = self.config.state_transfer && !view.witnesses.contains(&self.me);
        let admitted = !needs_state || view.changes.contains(&(self.me, Change::Learns));
        view.has(self.me) && admitted && self.is_new(view.id)
    }

    /// Something arrived, or time has passed: answer if everything is here, ask for the rest if not.
    pub(super) fn go_on_holding(&mut self, out: &mut Effects) {
        self.go_on_gathering(out);
        if let Some((decree, _)) = &self.installing {
            let cut = decree.cut.clone();
            if self.holds(&cut) {
                self.go_on_with_install(out);
            }
            return;
        }
        let Some(request) = &self.hold else { return };
        let (ballot, asker, cut) = (request.ballot, request.asker, request.decree.cut.clone());
        let donor = ballot.by; // who has gathered it; another one may lead a merge
        if self.holds(&cut) {
            self.hold = None;
            self.post(asker, self.view_id(), Body::Holding { ballot }, out);
        } else {
            self.fetch_cut(&cut, donor, out);
        }
    }

    pub(super) fn holds(&self, cut: &Cut) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.holds(cut))
    }

    fn is_closed(&self, cut: &Cut) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.closed_under_causality(&cut.0) == *cut)
    }

    fn fetch_cut(&mut self, cut: &Cut, donor: NodeId, out: &mut Effects) {
        for (rank, from, through) in self.lacks(cut) {
            self.fetch(donor, rank, Lacking { from, through, lost: true }, out);
        }
    }

    /// Per sender of which something is missing under a cut: its rank, the first and the last of it.
    fn lacks(&self, cut: &Cut) -> Vec<(usize, Seq, Seq)> {
        let holdings = self.stream.iter().flat_map(Stream::holdings).zip(&cut.0).enumerate();
        let lacks = holdings.filter(|(_, (have, want))| have < want);
        lacks.map(|(rank, (have, want))| (rank, have.next(), *want)).collect()
    }

    pub(super) fn on_accept(&mut self, from: Member, ballot: Ballot, decree: Decree, out: &mut Effects) {
        self.highest_round = self.highest_round.max(ballot.round);
        if self.is_former(&decree) {
            self.post(from.node, decree.view.id, Body::Gone, out);
            return;
        }
        let body = match self.acceptor.accept(ballot, decree.clone()) {
            Ok(()) => {
                self.seal();
                Body::Accepted { ballot }
            }
            Err(outbid) => Body::Refused { promised: outbid.0 },
        };
        self.post(from.node, self.view_id(), body, out);
        if self.config.breach == Some(Breach::InstallUndecided) {
            self.on_decided(from, decree, out);
        }
    }

    /// The proof of decision has come: the only way into a view.
    pub(super) fn on_decided(&mut self, from: Member, decree: Decree, out: &mut Effects) {
        let mine = self.view_id();
        let Some(view) = &self.view else {
            if self.may_enter_from_outside(&decree.view) {
                self.enter(decree.view.clone(), Some(decree), out);
            } else if self.known.as_ref().is_some_and(|known| known.id.lineage == decree.view.id.lineage) {
                self.learn_of(&decree.view, out);
            }
            return;
        };
        if decree.closes != view.id || !self.is_new(decree.view.id) {
            let ahead = decree.closes.epoch > mine.epoch && decree.closes.lineage == mine.lineage;
            if ahead || mine.is_genesis() && !decree.closes.is_genesis() {
                self.post(from.node, mine, Body::Where, out);
            }
            return;
        }
        if self.installing.is_some() {
            return;
        }
        self.attempt = None;
        self.hold = None;
        self.installing = Some((decree, self.now));
        self.go_on_with_install(out);
    }

    fn go_on_with_install(&mut self, out: &mut Effects) {
        let Some((decree, since)) = &self.installing else { return };
        let stays = decree.view.has(self.me);
        let patient = self.now < *since + self.config.timing.round();
        let cut = decree.cut.clone();
        let goes = !(stays || self.wants_out && patient);
        if self.holds(&cut) && !self.is_closed(&cut) {
            self.installing = None; // no correct coordinator cuts a message off from its causes
        } else if self.holds(&cut) {
            self.install(out);
        } else if goes {
            let decree = decree.clone();
            self.tell_transitional(&decree, out);
            self.step_out(out); // removed while it was away: what it missed it will not get
        } else {
            let others = decree.view.members.iter().map(|m| m.node).filter(|n| *n != self.me.node);
            let donors: Vec<NodeId> = others.collect();
            let there: Vec<NodeId> = donors.iter().copied().filter(|node| self.was_there(*node)).collect();
            self.fetch_decided(&cut, if there.is_empty() { &donors } else { &there }, out);
        }
    }

    /// Whether a node was a data member of the view that is closed, in the life in which it is reached now:
    /// whoever came later has nothing of that view.
    fn was_there(&self, node: NodeId) -> bool {
        let member = self.view.iter().flat_map(|view| &view.members).find(|member| member.node == node);
        member.is_some_and(|member| !self.is_superseded(*member)) && self.reachable.contains(&node)
    }

    /// Asks for what is missing under the cut of a decided view: one after the other who has it.
    fn fetch_decided(&mut self, cut: &Cut, donors: &[NodeId], out: &mut Effects) {
        for (rank, from, last) in self.lacks(cut) {
            let Some(donor) = donors.get(self.refills.turn(donors.len())).copied() else { return };
            self.fetch(donor, rank, Lacking { from, through: last, lost: true }, out);
        }
    }

    pub(super) fn tick_sealed(&mut self, out: &mut Effects) {
        if self.installing.is_some() {
            self.go_on_with_install(out);
        } else {
            self.go_on_holding(out);
        }
    }

    /// Delivers the rest of the old view up to the cut, then the new view.
    fn install(&mut self, out: &mut Effects) {
        let Some((decree, _)) = self.installing.take() else { return };
        self.tell_transitional(&decree, out);
        if self.config.breach == Some(Breach::ViewOvertakes) {
            self.tell(Event::View(Arc::new(decree.view.clone())), out);
        }
        if self.stream.is_some() && self.config.breach != Some(Breach::EnterWithoutCut) {
            while let Some(passed) = self.stream.as_mut().and_then(|s| s.deliver_up_to(&decree.cut)) {
                self.announce(passed, out);
            }
            debug_assert!(
                self.stream.as_ref().is_none_or(|s| s.delivered_all(&decree.cut)),
                "the cut is closed"
            );
        }
        self.settle_at_cut(&decree, out);
        if decree.view.has(self.me) {
            self.enter(decree.view.clone(), Some(decree), out);
        } else {
            self.installing = Some((decree, self.now));
            self.step_out(out);
        }
    }

    /// Tells who comes along, before what only they are known to deliver.
    fn tell_transitional(&mut self, decree: &Decree, out: &mut Effects) {
        let mut sides = decree.view.sides.iter();
        let Some(side) = sides.find(|side| side.closes == decree.closes) else { return };
        let all = self.config.breach == Some(Breach::TransitionalTooLarge);
        let members = if all { &decree.view.members } else { &side.members };
        self.tell(Event::Transitional { closes: decree.closes, members: members.clone() }, out);
    }

    /// Own messages below the cut are delivered by all who go on; own messages above it by nobody. One
    /// that is removed may lack what comes before its own, and then has not delivered them: whoever
    /// held them for the next view may be dead by now, so it acknowledges none of those.
    fn settle_at_cut(&mut self, decree: &Decree, out: &mut Effects) {
        let rank = self.view.as_ref().and_then(|view| view.rank(self.me));
        let rank = rank.filter(|_| self.config.breach != Some(Breach::LostTooEarly));
        let through = rank.and_then(|rank| decree.cut.0.get(rank)).copied().unwrap_or_default();
        let here = self.stream.as_ref().map(Stream::own_delivered).unwrap_or_default();
        let certain = through.min(here);
        self.settle_through(certain, certain, out);
        self.until_everywhere.clear();
        for (seq, ticket) in std::mem::take(&mut self.until_uniform) {
            let fate = if seq <= through { Fate::Unknown } else { Fate::Lost };
            self.tell_fate(ticket, fate, out);
        }
    }

    /// The group went on without this member: it leaves for good if it asked to, else it comes back.
    fn step_out(&mut self, out: &mut Effects) {
        let Some((decree, _)) = self.installing.take() else { return };
        self.settle_at_cut(&decree, out);
        let next = decree.view.clone();
        self.remember(decree);
        if self.wants_out {
            self.known = Some(next);
            self.leave_now(out);
        } else {
            self.go_outside(&next, out);
        }
    }

    /// Begins a view.
    pub(super) fn enter(&mut self, mut view: View, decree: Option<Decree>, out: &mut Effects) {
        if let Some(decree) = decree {
            self.note_removed(&decree);
            self.remember(decree);
        }
        let (order, breach) = (self.config.order, self.config.breach);
        if breach == Some(Breach::OwnView) {
            view.members.retain(|member| self.reaches(*member));
        }
        let rank = view.rank(self.me);
        let receives = rank.is_some() || view.learners.contains(&self.me);
        let stream = || Stream::new(order, view.members.len(), rank, breach);
        let kept = (view.learners.len(), self.config.learner_bytes_max);
        let size = view.members.len();
        let votes = view.witnesses.len() * usize::from(breach == Some(Breach::WitnessHolds));
        let uniform_at = if self.config.partitionable { size } else { majority(size + votes) - votes };
        self.stream = receives.then(|| stream().for_learners(kept.0, kept.1).uniform_at(uniform_at));
        self.acceptor = Acceptor::new(breach);
        self.sealed_at = None;
        self.attempt = None;
        self.hold = None;
        self.not_before = self.now;
        self.entered = self.now;
        self.seen.clear();
        self.until_uniform.clear();
        self.until_everywhere.clear();
        self.joiners.retain(|node, _| !view.has_node(*node));
        self.leaving.retain(|member| view.has(*member));
        self.ready.clear();
        self.sides.clear();
        self.lags.on_view(self.now, &view, self.config.lag_for);
        self.note_learners(&view);
        self.refills.clear();
        self.relaying.clear();
        self.contacts.add(view.acceptors().map(|m| m.node));
        self.wedged = false;
        self.row_due = true;
        self.gone.retain(|_, gone| gone.lineage == view.id.lineage && *gone >= view.id);
        self.given_up.retain(|lineage| *lineage != view.id.lineage);
        self.raise_floor(view.id);
        self.known = None;
        let closed = self.view_id();
        self.view = Some(view.clone());
        self.reset_evidence();
        let view = Arc::new(view);
        self.open_transfers(&view, out);
        self.tell(Event::View(Arc::clone(&view)), out);
        if view.sides.len() > 1 {
            self.tell(Event::Merged { sides: view.sides.clone() }, out);
        }
        self.strike_absent(&view, out);
        self.reopen_directs(closed, &view, out);
        // Whoever was alone in the view before may enter this one long after the others have left it, and is in doubt.
        self.alone &= breach != Some(Breach::EnterUnasked);
        let asked = self.doubts;
        self.watch_majority(out);
        if self.doubts == asked {
            self.doubt_anew(out);
        }
        self.replay_early(out);
    }

    fn replay_early(&mut self, out: &mut Effects) {
        let epoch = self.view_id().epoch;
        self.early_bytes = 0;
        for (from, message) in std::mem::take(&mut self.early) {
            if message.view.epoch >= epoch {
                // What is refused here would have been refused when it came.
                let _ = self.on_message(from, message, out);
            }
        }
    }

    pub(super) fn answer_where(&mut self, to: NodeId, have: ViewId, out: &mut Effects) {
        // The genesis is the same for every founding, so only the view that follows it now counts.
        let closes = |d: &Decree| d.closes == have || d.view.sides.iter().any(|side| side.closes == have);
        let follows = |d: &&Decree| closes(d) && (!have.is_genesis() || d.view.id == self.view_id());
        let next = self.past.iter().rev().map(|past| &past.decree).find(follows).cloned();
        let pending = self.installing.as_ref().map(|(decree, _)| decree.clone()).filter(closes);
        let (view, body) = match (next.or(pending), &self.view) {
            (Some(decree), _) => (have, Body::Decided(decree)),
            (None, Some(view)) if !view.id.is_genesis() => {
                (view.id, Body::Current { view: view.clone(), asked: have })
            }
            _ => return,
        };
        self.post(to, view, body, out);
    }

    /// After leaving, the node still tells others how the view it left was decided.
    pub(super) fn on_message_after_leaving(&mut self, from: Member, message: &Message, out: &mut Effects) {
        self.say_gone(from, message, out); // others may wait for its word
        match message.body {
            _ if message.body == Body::Where || message.body.waits_in_its_view() => {
                self.answer_where(from.node, message.view, out);
            }
            Body::Join { .. } => self.tell_known(from, message.view, out),
            Body::Fetch(gap) => self.on_fetch(from, message.view, gap, out),
            Body::Decided(ref decree) if !decree.view.has_node(self.me.node) => {
                self.post(from.node, decree.view.id, Body::Gone, out); // or it would be told again
            }
            _ => {}
        }
    }
}
