//! Who has lost whom, and who therefore coordinates and who has to go.
//!
//! A suspicion is evidence, not a verdict. Every member tells the others whom it has lost; from
//! the same evidence all of them work out who coordinates: the senior member that a majority
//! reaches. That one removes a member when two have lost it, or when a broken link between two
//! members that others reach has lasted too long: then the junior of the two has to go.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{Change, Incarnation, Member, NodeId, Time, View, agreement::Breach};

use super::{Body, Effects, Event, Group, WedgeReason};

/// What a member says of the others.
#[derive(Debug)]
pub(super) struct Opinion {
    at: Time,
    /// Whom it has lost, and since when it says so.
    lost: BTreeMap<NodeId, Time>,
    pub(super) sealed: bool,
}

impl Group {
    pub(super) fn on_reachable(&mut self, member: Member, out: &mut Effects) {
        self.meet(member, out);
        self.reachable.insert(member.node);
        self.silent.remove(&member.node);
        self.unheard.remove(&member.node);
        // What was asked for or sent on a link that broke is lost.
        self.refills.forget_donor(self.now, member.node);
        self.directs.hurry(member);
        self.retell(member.node);
        if !self.is_stranger(member.node) && self.lost_since.remove(&member.node).is_some() {
            // Either of us may have been removed meanwhile, and in a quiet group nothing else says so.
            self.seen.remove(&member.node);
            if self.said_lost.contains(&member.node) {
                self.tell_opinion(out); // the others must not go on believing the former one
            }
            if self.lost_since.is_empty() && self.view_id().is_genesis() {
                self.next_tick = None; // founders that are all in reach ask at once, and then wait for longer
            }
        }
        self.greet_founder(member.node, out);
        self.watch_majority(out);
    }

    pub(super) fn on_unreachable(&mut self, node: NodeId, out: &mut Effects) {
        self.reachable.remove(&node);
        self.silent.insert(node);
        self.unheard.remove(&node);
        self.refills.forget_donor(self.now, node);
        self.joiners.remove(&node);
        self.strangers.remove(&node);
        self.note_lost(node, out);
        self.watch_majority(out);
    }

    /// Tells the others that a member is out of reach.
    pub(super) fn note_lost(&mut self, node: NodeId, out: &mut Effects) {
        if self.view.as_ref().is_some_and(|view| view.has_node(node)) {
            self.lost_since.entry(node).or_insert(self.now);
            self.tell_opinion(out);
        }
    }

    /// Remembers the latest life of a node; a newer one proves that the older has ended.
    pub(super) fn meet(&mut self, member: Member, out: &mut Effects) {
        self.forget_stranger(member);
        if self.lives.meet(member) {
            self.give_up_dead_lineage(out);
        }
    }

    pub(super) fn is_superseded(&self, member: Member) -> bool {
        let known = self.last_known().map_or(self.genesis, |view| view.id);
        if self.gone.get(&member).is_some_and(|gone| gone.lineage == known.lineage && *gone >= known) {
            return true;
        }
        let declared = member.incarnation == Incarnation::UNKNOWN;
        !declared && self.lives.know_later(member)
    }

    /// Starts the count anew for a new view.
    ///
    /// Founders and newcomers enter it as soon as its coordinator hears them, and the others may be about to: whoever
    /// has neither been heard nor reported silent is not lost until it has had the time to be either.
    pub(super) fn reset_evidence(&mut self) {
        self.opinions.clear();
        self.lost_since.clear();
        self.said_lost.clear();
        let waited = std::mem::take(&mut self.unheard);
        let Some(view) = &self.view else { return };
        let careless = view.id.is_genesis() || self.config.breach == Some(Breach::UnheardIsLost);
        let heard = |node: &NodeId| self.reachable.contains(node) && !self.is_stranger(*node);
        let absent = view.participants().map(|m| m.node);
        let absent = absent.filter(|node| *node != self.me.node && !heard(node));
        let known = |node: &NodeId| careless || self.silent.contains(node) || self.is_stranger(*node);
        let (lost, unheard): (Vec<NodeId>, Vec<NodeId>) = absent.partition(known);
        self.lost_since = lost.into_iter().map(|node| (node, self.now)).collect();
        let until = self.now + self.config.timing.detect() + self.config.timing.heartbeat();
        let until = |node: &NodeId| waited.get(node).copied().unwrap_or(until);
        self.unheard = unheard.into_iter().map(|node| (node, until(&node))).collect();
    }

    pub(super) fn on_opinion(&mut self, from: Member, lost: &[NodeId], sealed: bool) {
        let before = self.opinions.remove(&from.node).map(|opinion| opinion.lost).unwrap_or_default();
        let since = |node: &NodeId| before.get(node).copied().unwrap_or(self.now);
        let lost = lost.iter().map(|node| (*node, since(node))).collect();
        self.opinions.insert(from.node, Opinion { at: self.now, lost, sealed });
    }

    pub(super) fn tick_evidence(&mut self, out: &mut Effects) {
        let now = self.now;
        let lost: Vec<NodeId> =
            self.unheard.extract_if(.., |_, until| *until <= now).map(|(it, _)| it).collect();
        for node in lost {
            self.note_lost(node, out);
        }
        let oldest = self.now - self.config.timing.detect();
        self.opinions.retain(|_, opinion| opinion.at >= oldest);
        self.joiners.retain(|_, joiner| joiner.at >= oldest);
        self.ready.retain(|_, at| *at >= oldest);
        let founds = self.view.as_ref().is_some_and(|view| view.id.is_genesis());
        if !self.lost_since.is_empty() || self.is_sealed() && !founds || self.alone {
            self.tell_opinion(out);
        }
        self.give_up_dead_lineage(out);
        self.watch_majority(out);
    }

    fn tell_opinion(&mut self, out: &mut Effects) {
        let Some(view) = self.view.as_ref().filter(|view| view.is_acceptor(self.me)) else { return };
        let peers: Vec<NodeId> = view.acceptors().map(|m| m.node).filter(|n| *n != self.me.node).collect();
        self.said_lost = self.lost_since.keys().copied().collect();
        let body =
            Body::Opinion { lost: self.lost_since.keys().copied().collect(), sealed: self.is_sealed() };
        self.post_all(peers, self.view_id(), body, out);
    }

    /// Stands still while no majority of the view is in reach, or has confirmed it after a stall,
    /// and goes on when it has.
    pub(super) fn watch_majority(&mut self, out: &mut Effects) {
        let Some(view) = &self.view else { return };
        let reached = view.acceptors().filter(|m| self.reaches(*m)).count();
        if view.id.is_genesis() {
            return;
        }
        let alone = reached < view.agreement_quorum() && !self.config.partitionable;
        if std::mem::replace(&mut self.alone, alone) && !alone {
            // The others may have gone on meanwhile; and those who come back, too, need time to be heard.
            self.not_before = self.now + self.config.timing.detect() + self.config.timing.heartbeat();
            return self.doubt_view(out);
        }
        let doubt = self.doubt.as_ref().map(|_| WedgeReason::Stalled);
        let reason = if alone { Some(WedgeReason::NoMajority) } else { doubt };
        if reason.is_some() == self.wedged {
            return;
        }
        self.wedged = reason.is_some();
        self.tell(reason.map_or(Event::Resumed, Event::Wedged), out);
    }

    pub(super) fn reaches(&self, member: Member) -> bool {
        let heard = self.reachable.contains(&member.node) && !self.is_stranger(member.node);
        member.node == self.me.node || heard && !self.is_superseded(member)
    }

    /// Whether `by` has lost `node`, as far as is known here, and since when.
    fn lost_by(&self, by: Member, node: NodeId) -> Option<Time> {
        if by.node == self.me.node {
            return self.lost_since.get(&node).copied();
        }
        self.opinions.get(&by.node)?.lost.get(&node).copied()
    }

    /// The senior data member that a majority reaches; in a partitionable group, that this one reaches.
    pub(super) fn coordinator(&self) -> Option<Member> {
        let view = self.view.as_ref()?;
        view.members.iter().copied().find(|candidate| self.is_fit(view, *candidate))
    }

    fn is_fit(&self, view: &View, candidate: Member) -> bool {
        // One that is too slow cannot be left to judge itself; it has had a round to notice.
        let late = self.now - self.config.lag_for - self.config.timing.round();
        if self.is_superseded(candidate) || self.too_slow_since(late).any(|member| member == candidate) {
            return false;
        }
        let careless = matches!(self.config.breach, Some(Breach::CloseByMinority | Breach::Duel));
        if self.config.partitionable || careless {
            return self.reaches(candidate);
        }
        let reaches = |by: &Member| {
            by.node != candidate.node && self.reaches(*by) && self.lost_by(*by, candidate.node).is_none()
        };
        let others = view.acceptors().filter(reaches).count();
        let itself = others > 0 || candidate.node == self.me.node;
        others + usize::from(itself) >= view.agreement_quorum()
    }

    /// Whom the evidence condemns, with the reason.
    pub(super) fn condemned(&self) -> BTreeMap<Member, Change> {
        let Some(view) = &self.view else { return BTreeMap::new() };
        let mut gone = BTreeMap::new();
        let members: Vec<Member> = view.acceptors().collect();
        for member in &members {
            let heard = || members.iter().filter(|by| self.reaches(**by));
            let witnesses = heard().filter(|by| self.lost_by(**by, member.node).is_some()).count();
            // Where no majority is needed, all who are left may be one.
            let unanimous = self.config.partitionable && witnesses > 0 && witnesses == heard().count();
            if self.config.partitionable && self.gone.contains_key(member) {
                gone.insert(*member, Change::Unreachable);
            } else if self.is_superseded(*member) {
                gone.insert(*member, Change::Superseded);
            } else if member.node != self.me.node && (witnesses >= 2 || unanimous) {
                gone.insert(*member, Change::Unreachable);
            }
        }
        // Nobody waits for a learner, so its coordinator alone may let it go.
        for learner in &view.learners {
            if self.is_superseded(*learner) {
                gone.insert(*learner, Change::Superseded);
            } else if self.lost_since.contains_key(&learner.node) {
                gone.insert(*learner, Change::Unreachable);
            }
        }
        for (senior, junior) in self.broken_links(&members) {
            if !gone.contains_key(&senior) && !gone.contains_key(&junior) {
                gone.insert(junior, Change::Unreachable);
            }
        }
        gone
    }

    /// Pairs of members that have not heard each other for too long, the one to keep first.
    fn broken_links(&self, members: &[Member]) -> BTreeSet<(Member, Member)> {
        let limit = self.now - self.config.timing.broken_link();
        let mut pairs = BTreeSet::new();
        for (rank, senior) in members.iter().enumerate() {
            for junior in &members[rank + 1..] {
                let lost = [self.lost_by(*senior, junior.node), self.lost_by(*junior, senior.node)];
                if !lost.into_iter().flatten().any(|since| since <= limit) {
                    continue;
                }
                // The coordinator keeps itself: whom it does not reach it cannot take along.
                let pair = if junior.node == self.me.node { (*junior, *senior) } else { (*senior, *junior) };
                pairs.insert(pair);
            }
        }
        pairs
    }
}
