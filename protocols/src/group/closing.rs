//! The coordinator's part in closing a view: when to attempt it, with whom, and its steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_membership::{
    Change, Cut, Decree, Member, NodeId, Seq, Time, View, ViewId,
    agreement::{Agreement, Ballot, Breach, Coordinator, Phase, Plan, Promise, Step},
};

use super::{Body, Effects, Group, SlowPolicy, merging::Merge, refilling::Lacking};

/// An attempt of this member to close the view.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) coordinator: Coordinator,
    pub(super) why: BTreeMap<Member, Change>,
    /// When the present phase goes on with what it has, or the attempt is given up.
    pub(super) deadline: Time,
    /// The part of other sides in it.
    pub(super) merge: Merge,
}

impl Attempt {
    pub(super) const fn ballot(&self) -> Ballot {
        self.coordinator.ballot()
    }

    pub(super) const fn decree(&self) -> Option<&Decree> {
        self.coordinator.decree()
    }

    /// Those who have promised.
    pub(super) fn promised(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.coordinator.answered().into_iter().chain(self.coordinator.witnesses()).map(|member| member.node)
    }
}

impl Group {
    /// Starts to close the view if this member is the one to do so and there is a reason.
    pub(super) fn consider(&mut self, out: &mut Effects) {
        let quiet = self.attempt.is_some() || self.installing.is_some() || self.now < self.not_before;
        let Some(view) = self.view.as_ref().filter(|_| !quiet && !self.left) else { return };
        let Some(senior) = self.coordinator().filter(|member| member.node == self.me.node) else { return };
        let genesis = view.id.is_genesis();
        let founded = genesis && self.may_found(view);
        let mut why = if genesis { BTreeMap::new() } else { self.condemned() };
        if !genesis {
            why.extend(self.too_slow().map(|member| (member, Change::TooSlow)));
        }
        why.extend(self.leaving.iter().filter(|m| view.has(**m)).map(|m| (*m, Change::Left)));
        why.extend(self.admissible(view).map(|member| (member, self.entry(member))));
        let promotable: Vec<Member> = self.promotable(view).filter(|m| !why.contains_key(m)).collect();
        why.extend(promotable.into_iter().map(|member| (member, Change::Joined)));
        let stuck = self.sealed_at.is_some_and(|at| self.now >= at + self.config.timing.round())
            || self.opinions.values().any(|opinion| opinion.sealed) && !self.is_sealed();
        let cause = stuck || !why.is_empty();
        // A side puts itself in order before it merges.
        let others = if cause { Vec::new() } else { self.mergeable() };
        if !(founded || !genesis && (cause || !others.is_empty())) {
            return;
        }
        debug_assert_eq!(senior.node, self.me.node);
        self.start_attempt(why, Merge::led(others), out);
    }

    pub(super) fn start_attempt(&mut self, why: BTreeMap<Member, Change>, merge: Merge, out: &mut Effects) {
        let Some(view) = self.view.clone() else { return };
        self.highest_round += 1;
        let ballot = Ballot { round: self.highest_round, by: self.me.node };
        let excluded: BTreeSet<Member> =
            why.iter().filter(|(_, change)| !is_entry(**change)).map(|(member, _)| *member).collect();
        let demotes = self.config.slow == SlowPolicy::Demote;
        let answers = |change: &Change| *change == Change::Left || demotes && *change == Change::TooSlow;
        let gone = |m: &Member| why.get(m).is_some_and(|change| !answers(change));
        let here = |m: &Member| m.node == self.me.node || self.reachable.contains(&m.node);
        let awaited = view.acceptors().filter(|m| here(m) && !gone(m)).map(|m| m.node).collect();
        let agreement = if self.config.partitionable { Agreement::Everybody } else { Agreement::Majority };
        let plan = Plan { awaited, excluded, agreement };
        let coordinator = Coordinator::new(view, ballot, plan, self.config.breach);
        let deadline = self.now + self.patience();
        self.attempt = Some(Attempt { coordinator, why, deadline, merge });
        self.ask(out);
    }

    /// How long a phase may take. Many groups are founded at a time, and an attempt that is given up while the answers to
    /// it are on their way only adds to what holds them up: it may take as long as the founding has taken before.
    fn patience(&self) -> Duration {
        if self.view.as_ref().is_some_and(|view| view.id.is_genesis()) {
            self.config.timing.round().max(self.now.since(self.born))
        } else {
            self.config.timing.round()
        }
    }

    /// All founders are in reach, and a majority may not go on without the rest yet. One that has not answered may not
    /// have begun, or be busy with thousands of other groups: a view without it would only be followed by another.
    fn expects_all_founders(&self) -> bool {
        let genesis = self.view.as_ref().filter(|view| view.id.is_genesis());
        self.is_patient() && genesis.is_some_and(|view| view.acceptors().all(|m| self.reaches(m)))
    }

    /// Asks the present phase's question of everybody who has not answered it.
    pub(super) fn ask(&mut self, out: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let phase = attempt.coordinator.phase().clone();
        if let Phase::Gathering { union, .. } = phase {
            return self.gather(&union, out);
        }
        self.ask_those(attempt.coordinator.unanswered(), out);
        if phase == Phase::Preparing {
            self.ask_offers(out);
        }
    }

    /// A founder that has just begun has missed what the others were asked before.
    pub(super) fn ask_founder(&mut self, node: NodeId, out: &mut Effects) {
        let founds = self.view.as_ref().is_some_and(|view| view.id.is_genesis());
        let Some(attempt) = self.attempt.as_ref().filter(|_| founds) else { return };
        let unanswered = attempt.coordinator.unanswered();
        self.ask_those(unanswered.into_iter().filter(|it| *it == node).collect(), out);
    }

    fn ask_those(&mut self, nodes: Vec<NodeId>, out: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let phase = attempt.coordinator.phase().clone();
        for (view, ballot, nodes) in attempt.by_side(self.view_id(), nodes) {
            let body = match phase.clone() {
                Phase::Holding(decree) => Body::Hold { ballot, decree },
                Phase::Accepting(decree) => Body::Accept { ballot, decree },
                _ => Body::Prepare { ballot },
            };
            self.post_all(nodes, view, body, out);
        }
    }

    /// Fetches what is missing here of the union, or goes on if nothing is.
    fn gather(&mut self, union: &[Seq], out: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let mut missing = Vec::new();
        let holdings = self.stream.as_ref().map(crate::stream::Stream::holdings).unwrap_or_default();
        for (rank, (have, want)) in holdings.iter().zip(union).enumerate() {
            if have < want {
                let holder = attempt.coordinator.holders(rank, *want).find(|node| *node != self.me.node);
                missing.extend(
                    holder
                        .map(|node| (node, rank, Lacking { from: have.next(), through: *want, lost: true })),
                );
            }
        }
        if holdings.iter().zip(union).any(|(have, want)| have < want) {
            for (node, rank, lacking) in missing {
                self.fetch(node, rank, lacking, out);
            }
            return;
        }
        self.propose(union, out);
    }

    fn propose(&mut self, union: &[Seq], out: &mut Effects) {
        let cut = self.stream.as_ref().map_or(Cut(Vec::new()), |s| s.closed_under_causality(union));
        if self.offer_or_wait(&cut, out) {
            return;
        }
        let sides = self.config.partitionable;
        let next = if sides { self.next_of_sides(cut.clone()) } else { self.next_view() };
        let Some(next) = next else { return };
        let deadline = self.now + self.patience();
        let Some(attempt) = &mut self.attempt else { return };
        if next.members.is_empty() {
            // Everybody leaves: there is nobody to open a view for, so this one ends with us.
            self.attempt = None;
            self.leave_now(out);
            return;
        }
        attempt.coordinator.gathered(cut, next);
        attempt.deadline = deadline;
        self.ask(out);
    }

    /// Those who answered, less those who go, plus those who come.
    fn next_view(&self) -> Option<View> {
        let (attempt, view) = (self.attempt.as_ref()?, self.view.as_ref()?);
        let stays = |m: &Member| !attempt.coordinator.plan().excluded.contains(m);
        let mut members: Vec<Member> = attempt.coordinator.answered().into_iter().filter(stays).collect();
        let mut witnesses: Vec<Member> = attempt.coordinator.witnesses().into_iter().filter(stays).collect();
        let mut learners = self.next_learners(view, attempt);
        let mut changes = Vec::new();
        if view.id.is_genesis() {
            changes.extend(members.iter().chain(&witnesses).map(|m| (*m, Change::Founded)));
        } else {
            let promoted = |m: &Member| attempt.why.get(m) == Some(&Change::Joined);
            let stays = |m: &Member| members.contains(m) || witnesses.contains(m);
            let gone = view.acceptors().filter(|m| !stays(m));
            let gone =
                gone.chain(view.learners.iter().copied().filter(|m| !learners.contains(m) && !promoted(m)));
            changes.extend(gone.map(|m| (m, attempt.why.get(&m).copied().unwrap_or(Change::Unreachable))));
            let comes = |(m, change): (&Member, &Change)| (*change == Change::Learns).then_some(*m);
            for newcomer in attempt.why.iter().filter_map(comes) {
                learners.push(newcomer);
                changes.push((newcomer, Change::Learns));
            }
            let comes = |(m, change): (&Member, &Change)| (*change == Change::Joined).then_some(*m);
            learners.retain(|m| !members.contains(m));
            for newcomer in attempt.why.iter().filter_map(comes) {
                if !members.iter().chain(&witnesses).any(|m| m.node == newcomer.node) {
                    // A witness that comes back is a witness again: it holds nothing.
                    let votes_only = self.config.witnesses.contains(&newcomer.node);
                    if votes_only { &mut witnesses } else { &mut members }.push(newcomer);
                    changes.push((newcomer, Change::Joined));
                }
            }
        }
        let lineage = if view.id.is_genesis() { self.new_lineage() } else { view.id.lineage };
        let id = ViewId { lineage, epoch: view.id.epoch + 1 };
        Some(View { id, members, witnesses, learners, changes, sides: Vec::new() })
    }

    /// As what a newcomer is admitted: if it needs state, it learns first. A witness needs none.
    fn entry(&self, newcomer: Member) -> Change {
        let votes_only = self.config.witnesses.contains(&newcomer.node);
        if self.config.state_transfer && !votes_only { Change::Learns } else { Change::Joined }
    }

    /// The learners that neither go nor are promoted, and whoever is demoted.
    fn next_learners(&self, view: &View, attempt: &Attempt) -> Vec<Member> {
        let stays = |m: &&Member| !attempt.why.contains_key(m);
        let mut learners: Vec<Member> = view.learners.iter().filter(stays).copied().collect();
        if self.config.slow == SlowPolicy::Demote {
            // Who has not answered may have delivered what the cut leaves out: it cannot go along.
            let slow = |m: &Member| attempt.why.get(m) == Some(&Change::TooSlow);
            learners.extend(attempt.coordinator.answered().into_iter().filter(slow));
        }
        learners
    }

    pub(super) fn on_promise(&mut self, from: Member, promise: Promise, out: &mut Effects) {
        let Some(attempt) = &mut self.attempt else { return };
        let step = attempt.coordinator.on_promise(from, promise);
        self.take(step, out);
    }

    pub(super) fn on_holding(&mut self, from: Member, ballot: Ballot, out: &mut Effects) {
        let Some(attempt) = &mut self.attempt else { return };
        let step = attempt.coordinator.on_holding(from, ballot);
        self.take(step, out);
    }

    pub(super) fn on_accepted(&mut self, from: Member, ballot: Ballot, out: &mut Effects) {
        let Some(attempt) = &mut self.attempt else { return };
        let step = attempt.coordinator.on_accepted(from, ballot);
        self.take(step, out);
    }

    fn take(&mut self, step: Step, out: &mut Effects) {
        match step {
            Step::Wait => {}
            Step::Gather | Step::Vote => {
                let deadline = self.now + self.patience();
                if let Some(attempt) = &mut self.attempt {
                    attempt.deadline = deadline;
                }
                self.ask(out);
            }
            Step::Decided(decree) => self.tell_decided(&decree, out),
        }
    }

    fn tell_decided(&mut self, decree: &Decree, out: &mut Effects) {
        self.attempt = None;
        let old = self.view.iter().flat_map(View::participants);
        let all: Vec<NodeId> = old.chain(decree.view.participants()).map(|m| m.node).collect();
        self.post_all(all, decree.closes, Body::Decided(decree.clone()), out);
    }

    /// A higher ballot is about: let its coordinator finish, and try again later if it does not.
    pub(super) fn on_refused(&mut self, promised: Ballot) {
        self.highest_round = self.highest_round.max(promised.round);
        if self.attempt.as_ref().is_some_and(|attempt| attempt.coordinator.ballot() < promised) {
            self.attempt = None;
            self.not_before = self.now + self.config.timing.round();
        }
    }

    /// What arrived may complete what the coordinator was gathering.
    pub(super) fn go_on_gathering(&mut self, out: &mut Effects) {
        let Some(Phase::Gathering { union, .. }) =
            self.attempt.as_ref().map(|a| a.coordinator.phase().clone())
        else {
            return;
        };
        let lacks =
            |s: &crate::stream::Stream| s.holdings().iter().zip(&union).any(|(have, want)| have < want);
        if !self.stream.as_ref().is_some_and(lacks) {
            self.gather(&union, out);
        }
    }

    pub(super) fn tick_attempt(&mut self, out: &mut Effects) {
        let fit = self.coordinator().is_some_and(|member| member.node == self.me.node);
        let Some(attempt) = &mut self.attempt else { return };
        let led = attempt.merge.leader().is_none_or(|leader| self.reachable.contains(&leader));
        if !fit || !led {
            self.attempt = None; // a coordinator that no majority reaches stops
            return;
        }
        let is_over = self.now >= attempt.deadline;
        if !is_over || self.expects_all_founders() {
            self.ask(out);
            return;
        }
        let Some(attempt) = &self.attempt else { return };
        if matches!(attempt.coordinator.phase(), Phase::Gathering { .. }) && self.go_on_without_offers(out) {
            return;
        }
        let Some(attempt) = &mut self.attempt else { return };
        let last = match attempt.coordinator.phase() {
            Phase::Preparing => attempt.coordinator.choose(),
            Phase::Holding(_) => attempt.coordinator.vote(),
            Phase::Gathering { .. } => attempt.coordinator.vote_on_adopted(),
            Phase::Accepting(_) => Step::Wait,
        };
        if self.config.breach == Some(Breach::NeverRetry) && last == Step::Wait {
            return;
        }
        if last == Step::Wait {
            // Stuck: somebody died or was cut off on the way. Start again, with the evidence of now.
            self.attempt = None;
        } else {
            self.take(last, out);
        }
        if self.config.breach == Some(Breach::AcceptWithoutHolding) {
            self.ask(out);
        }
    }
}

/// Whether a change brings a member in.
const fn is_entry(change: Change) -> bool {
    matches!(change, Change::Joined | Change::Learns)
}
