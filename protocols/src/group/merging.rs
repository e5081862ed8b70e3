//! Partitionable groups: several sides close their views for one.
//!
//! One coordinator leads. It asks those of the other sides for offers: each seals its own view,
//! gathers what its members hold and cuts it, exactly as if it closed the view by itself, and then
//! offers cut and members instead of proposing a view. The leader proposes one view for all sides
//! and has it held and accepted by everybody in it, in each side under the ballot of that side's
//! coordinator. Until then every side can go its own way at any time by a higher ballot, so
//! that whoever crashes or is cut off holds nobody up for longer than a few rounds.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{
    Change, Cut, Member, NodeId, Side, View, ViewId,
    agreement::{Ballot, Phase},
};
use serde::{Deserialize, Serialize};

use super::{Body, Effects, Group, closing::Attempt};

/// Members, and why they come or go.
type Changes = Vec<(Member, Change)>;

/// Rounds for which an offer stands.
const OFFER_ROUNDS: u32 = 3;

/// What a side brings into a merge.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The ballot under which its members have sealed the view.
    pub ballot: Ballot,
    /// Where the view is cut.
    pub cut: Cut,
    /// Those who come along, in rank order.
    pub members: Vec<Member>,
    /// Those who do not, and why.
    pub gone: Changes,
}

/// The other sides in an attempt.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// Those that this one leads, by coordinator.
    others: Vec<(Member, View)>,
    offers: BTreeMap<ViewId, Offer>,
    /// The leader to which this side is offered, and its attempt.
    leader: Option<(NodeId, Ballot)>,
    offered: bool,
}

impl Merge {
    pub(super) fn led(others: Vec<(Member, View)>) -> Self {
        Self { others, ..Self::default() }
    }

    pub(super) const fn leader(&self) -> Option<NodeId> {
        match self.leader {
            Some((node, _)) => Some(node),
            None => None,
        }
    }

    fn is_complete(&self) -> bool {
        self.others.iter().all(|(_, view)| self.offers.contains_key(&view.id))
    }
}

impl Attempt {
    /// Groups nodes by side: the view that they are asked about, and the ballot.
    pub(super) fn by_side(&self, own: ViewId, mut nodes: Vec<NodeId>) -> Vec<(ViewId, Ballot, Vec<NodeId>)> {
        let mut all = Vec::new();
        for (view, offer) in &self.merge.offers {
            let theirs = |node: &mut NodeId| offer.members.iter().any(|m| m.node == *node);
            let theirs: Vec<NodeId> = nodes.extract_if(.., theirs).collect();
            all.push((*view, offer.ballot, theirs));
        }
        all.push((own, self.ballot(), nodes));
        all
    }

    /// Whether an answer under this ballot in that view is one to this attempt.
    fn speaks_for(&self, view: ViewId, ballot: Ballot) -> bool {
        self.merge.offers.get(&view).is_some_and(|offer| offer.ballot == ballot)
    }
}

impl Group {
    /// Asks the other coordinators for what is missing.
    pub(super) fn ask_offers(&mut self, out: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let ballot = attempt.ballot();
        let lacks = |(_, view): &&(Member, View)| !attempt.merge.offers.contains_key(&view.id);
        let asks: Vec<(NodeId, ViewId)> =
            attempt.merge.others.iter().filter(lacks).map(|(m, view)| (m.node, view.id)).collect();
        for (node, view) in asks {
            self.post(node, view, Body::AskOffer { ballot }, out);
        }
    }

    /// Another coordinator leads a merge: this one seals its side's view for it.
    pub(super) fn on_ask_offer(&mut self, from: Member, ballot: Ballot, out: &mut Effects) {
        if let Some((node, asked)) = self.attempt.as_mut().and_then(|attempt| attempt.merge.leader.as_mut()) {
            if *node == from.node {
                *asked = ballot;
            }
            return;
        }
        let mine = self.coordinator() == Some(self.me) && from.node < self.me.node;
        if !mine || self.attempt.is_some() || self.installing.is_some() || self.now < self.not_before {
            return;
        }
        let mut why = self.condemned();
        why.extend(self.leaving.iter().map(|m| (*m, Change::Left)));
        let merge = Merge { leader: Some((from.node, ballot)), ..Merge::default() };
        self.start_attempt(why, merge, out);
    }

    /// Everything is gathered here: offers it if somebody else leads. Returns whether that, or the
    /// offer of another side, is what comes next instead of a proposal.
    pub(super) fn offer_or_wait(&mut self, cut: &Cut, out: &mut Effects) -> bool {
        let (now, round) = (self.now, self.config.timing.round());
        let Some(attempt) = &mut self.attempt else { return false };
        let Some((leader, answers)) = attempt.merge.leader else {
            let wait = !attempt.merge.is_complete();
            if wait {
                self.ask_offers(out);
            }
            return wait;
        };
        if !std::mem::replace(&mut attempt.merge.offered, true) {
            attempt.deadline = now + round * OFFER_ROUNDS;
        }
        let (ballot, cut) = (attempt.ballot(), cut.clone());
        if let Some((members, gone)) = self.own_side() {
            let offer = Offer { ballot, cut, members, gone };
            self.post(leader, self.view_id(), Body::Offer { answers, offer }, out);
        }
        true
    }

    /// Who of this side goes on, and who does not, and why.
    fn own_side(&self) -> Option<(Vec<Member>, Changes)> {
        let (attempt, view) = (self.attempt.as_ref()?, self.view.as_ref()?);
        let excluded = &attempt.coordinator.plan().excluded;
        let members: Vec<Member> =
            attempt.coordinator.answered().into_iter().filter(|m| !excluded.contains(m)).collect();
        let why = |m: &Member| attempt.why.get(m).copied().unwrap_or(Change::Unreachable);
        let gone = view.members.iter().filter(|m| !members.contains(m)).map(|m| (*m, why(m))).collect();
        Some((members, gone))
    }

    pub(super) fn on_offer(&mut self, view: ViewId, answers: Ballot, offer: Offer, out: &mut Effects) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.ballot() == answers) else {
            return;
        };
        let open = matches!(attempt.coordinator.phase(), Phase::Preparing | Phase::Gathering { .. });
        let Some((_, side)) = attempt.merge.others.iter().find(|(_, side)| side.id == view) else { return };
        let fits = offer.cut.0.len() == side.members.len()
            && offer.members.iter().all(|member| side.members.contains(member));
        if !open || !fits {
            return;
        }
        attempt.merge.offers.insert(view, offer);
        if attempt.merge.is_complete() && matches!(attempt.coordinator.phase(), Phase::Gathering { .. }) {
            self.ask(out);
        }
    }

    /// The time for offers is over: goes on with those that have come. Returns whether it did.
    pub(super) fn go_on_without_offers(&mut self, out: &mut Effects) -> bool {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.merge.leader.is_none()) else {
            return false;
        };
        if attempt.merge.is_complete() {
            return false;
        }
        let Merge { others, offers, .. } = &mut attempt.merge;
        others.retain(|(_, view)| offers.contains_key(&view.id));
        self.ask(out);
        true
    }

    /// One view for this side and all that were offered. Its lineage names this attempt, so no
    /// other view has its name.
    pub(super) fn next_of_sides(&self, cut: Cut) -> Option<View> {
        let (attempt, view) = (self.attempt.as_ref()?, self.view.as_ref()?);
        let (members, mut changes) = self.own_side()?;
        let mut sides = vec![Side { closes: view.id, cut, members }];
        let mut nodes: BTreeSet<NodeId> = sides[0].members.iter().map(|m| m.node).collect();
        for (_, other) in &attempt.merge.others {
            let Some(offer) = attempt.merge.offers.get(&other.id) else { continue };
            if offer.members.is_empty() || offer.members.iter().any(|m| nodes.contains(&m.node)) {
                continue;
            }
            nodes.extend(offer.members.iter().map(|m| m.node));
            changes.extend(offer.members.iter().map(|m| (*m, Change::Joined)));
            changes.extend(offer.gone.iter().copied());
            sides.push(Side { closes: other.id, cut: offer.cut.clone(), members: offer.members.clone() });
        }
        changes.retain(|(member, change)| *change == Change::Joined || !nodes.contains(&member.node));
        let members = sides.iter().flat_map(|side| side.members.iter().copied()).collect();
        let epoch = sides.iter().map(|side| side.closes.epoch).max()? + 1;
        let id = ViewId { lineage: self.new_lineage(), epoch };
        Some(View { id, members, witnesses: Vec::new(), learners: Vec::new(), changes, sides })
    }

    /// Another side has gone its own way: this attempt cannot be completed.
    pub(super) fn on_refused_elsewhere(&mut self, view: ViewId, promised: Ballot) {
        let outbid =
            |attempt: &Attempt| attempt.merge.offers.get(&view).is_some_and(|offer| offer.ballot < promised);
        if self.attempt.as_ref().is_some_and(outbid) {
            self.attempt = None;
        }
    }

    /// The ballot of this attempt, if an answer under that ballot in another side's view is one to it.
    pub(super) fn ballot_for(&self, view: ViewId, ballot: Ballot) -> Option<Ballot> {
        let attempt = self.attempt.as_ref()?;
        attempt.speaks_for(view, ballot).then(|| attempt.ballot())
    }
}
