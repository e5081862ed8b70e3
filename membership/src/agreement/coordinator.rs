//! The proposing half: one attempt to close a view, from the first question to the decision.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ballot, Breach, Promise};
use crate::{Cut, Decree, Member, NodeId, Seq, View, closing_quorum, majority};

/// Whose acceptance decides a decree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Agreement {
    /// That of a majority of the closed view's acceptors: there is one next view.
    #[default]
    Majority,
    /// That of everybody in the next view, and of nobody else: those who cannot be reached go their
    /// own way. As nobody enters a view that somebody in it has not accepted, what was accepted
    /// and not decided binds nobody, and is not taken over.
    ///
    /// Source: Moser, Amir, Melliar-Smith and Agarwal, "Extended Virtual Synchrony" (ICDCS 1994),
    /// for views of all sides of a partition.
    Everybody,
}

/// What the coordinator intends, fixed when the attempt starts.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Members that are expected to answer; the attempt waits for them.
    pub awaited: BTreeSet<NodeId>,
    /// Members that shall not be in the next view, though they may answer.
    pub excluded: BTreeSet<Member>,
    /// Who decides.
    pub agreement: Agreement,
}

/// Where an attempt stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Asking the members to seal the view and to say what they hold.
    Preparing,
    /// Fetching what this member lacks of the union of all answers.
    Gathering {
        /// Per data member the last frame that anybody who answered holds.
        union: Vec<Seq>,
        /// A decree that must be taken over; its cut is then `union`.
        adopted: Option<Decree>,
    },
    /// Waiting until enough members of the next view hold the cut.
    Holding(Decree),
    /// Waiting for the vote.
    Accepting(Decree),
}

/// What the attempt asks of its owner after an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// The phase is now [`Phase::Gathering`]: fetch, then call [`Coordinator::gathered`].
    Gather,
    /// The phase is now [`Phase::Accepting`]: put the decree to the vote.
    Vote,
    /// All who decide ([`Agreement`]) have accepted: the decree is decided.
    Decided(Decree),
}

/// One attempt to close a view under one ballot.
///
/// An attempt that got stuck is dropped, and a new one started under a higher ballot.
#[derive(Clone, Debug)]
pub struct Coordinator {
    view: View,
    ballot: Ballot,
    plan: Plan,
    phase: Phase,
    promises: BTreeMap<NodeId, (Member, Promise)>,
    held: BTreeSet<NodeId>,
    accepted: BTreeSet<NodeId>,
    /// Whether the decree was accepted by somebody under an earlier ballot.
    adopted: bool,
    breach: Option<Breach>,
}

impl Coordinator {
    /// Starts an attempt to close `view`.
    pub const fn new(view: View, ballot: Ballot, plan: Plan, breach: Option<Breach>) -> Self {
        Self {
            view,
            ballot,
            plan,
            phase: Phase::Preparing,
            promises: BTreeMap::new(),
            held: BTreeSet::new(),
            accepted: BTreeSet::new(),
            adopted: false,
            breach,
        }
    }

    /// The ballot of this attempt.
    pub const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The decree that this attempt takes over or puts to the vote, once there is one.
    pub const fn decree(&self) -> Option<&Decree> {
        match &self.phase {
            Phase::Preparing => None,
            Phase::Gathering { adopted, .. } => adopted.as_ref(),
            Phase::Holding(decree) | Phase::Accepting(decree) => Some(decree),
        }
    }

    /// Where the attempt stands.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What was intended.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Those who have promised, in rank order, data members only, in their present lives.
    pub fn answered(&self) -> Vec<Member> {
        let lives = |m: &Member| self.promises.get(&m.node).map(|(life, _)| *life);
        self.view.members.iter().filter_map(lives).collect()
    }

    /// Witnesses who have promised.
    pub fn witnesses(&self) -> Vec<Member> {
        let lives = |m: &Member| self.promises.get(&m.node).map(|(life, _)| *life);
        self.view.witnesses.iter().filter_map(lives).collect()
    }

    /// Who, of those that answered, holds frame `seq` of the sender with this rank.
    pub fn holders(&self, rank: usize, seq: Seq) -> impl Iterator<Item = NodeId> + '_ {
        let holds = move |promise: &Promise| promise.holdings.get(rank).is_some_and(|held| *held >= seq);
        self.promises.iter().filter(move |(_, (_, p))| p.activated && holds(p)).map(|(node, _)| *node)
    }

    /// Who still has to answer the present phase's question.
    pub fn unanswered(&self) -> Vec<NodeId> {
        let open = |node: &NodeId| match &self.phase {
            Phase::Preparing | Phase::Gathering { .. } => !self.promises.contains_key(node),
            Phase::Holding(_) => !self.held.contains(node),
            Phase::Accepting(_) => !self.accepted.contains(node),
        };
        match &self.phase {
            Phase::Holding(decree) => decree.view.acceptors().map(|m| m.node).filter(open).collect(),
            Phase::Accepting(decree) if self.plan.agreement == Agreement::Everybody => {
                decree.view.acceptors().map(|m| m.node).filter(open).collect()
            }
            _ => self.view.acceptors().map(|m| m.node).filter(open).collect(),
        }
    }

    /// Takes in a promise, and goes on once everybody who is awaited has answered.
    pub fn on_promise(&mut self, from: Member, promise: Promise) -> Step {
        let stale = promise.ballot != self.ballot || self.phase != Phase::Preparing;
        let any_life = self.breach == Some(Breach::AnyLife) && self.view.has_node(from.node);
        if stale || !(self.view.is_acceptor(from) || any_life) {
            return Step::Wait;
        }
        let ragged = promise.activated
            && self.view.rank(from).is_some()
            && !self.view.id.is_genesis()
            && promise.holdings.len() != self.view.members.len();
        let strange = promise.accepted.as_ref().is_some_and(|(_, decree)| decree.closes != self.view.id);
        if ragged || strange {
            return Step::Wait; // a lying peer; without its answer the attempt goes on
        }
        self.promises.insert(from.node, (from, promise));
        if self.plan.awaited.iter().all(|node| self.promises.contains_key(node)) {
            self.choose()
        } else {
            Step::Wait
        }
    }

    /// Goes on with those who have answered, if an agreement majority and a seal set are among them.
    pub fn choose(&mut self) -> Step {
        if self.phase != Phase::Preparing || !self.may_close() {
            return Step::Wait;
        }
        let taken = self.promises.values().filter_map(|(_, p)| p.accepted.clone()).max_by_key(|(b, _)| *b);
        let taken = taken.filter(|_| {
            self.breach != Some(Breach::ForgetAccepted) && self.plan.agreement == Agreement::Majority
        });
        let adopted = taken.map(|(_, decree)| decree);
        let union = adopted.as_ref().map_or_else(|| self.union(), |decree| decree.cut.0.clone());
        self.phase = Phase::Gathering { union, adopted };
        Step::Gather
    }

    fn may_close(&self) -> bool {
        if self.breach == Some(Breach::CloseByMinority) {
            return true;
        }
        if self.plan.agreement == Agreement::Everybody {
            return !self.promises.is_empty();
        }
        let n = self.view.members.len();
        let sealed = self.answered().len();
        self.promises.len() >= self.view.agreement_quorum() && sealed >= closing_quorum(n, majority(n))
    }

    /// What anybody holds of the view, of those who answered and had activated it.
    fn union(&self) -> Vec<Seq> {
        let reports = || self.promises.values().map(|(_, p)| p).filter(|p| p.activated);
        let held = |rank| reports().filter_map(move |p: &Promise| p.holdings.get(rank).copied());
        let ranks = 0..if self.view.id.is_genesis() { 0 } else { self.view.members.len() };
        if self.breach == Some(Breach::MinimumCut) {
            return ranks.map(|rank| held(rank).min().unwrap_or_default()).collect();
        }
        ranks.map(|rank| held(rank).max().unwrap_or_default()).collect()
    }

    /// Everything under the union is here; `cut` is its causally closed part and `next` the view
    /// to propose. A decree that had to be adopted is proposed instead.
    pub fn gathered(&mut self, cut: Cut, next: View) -> Decree {
        let Phase::Gathering { adopted, .. } = &self.phase else {
            unreachable!("gathered is called in the phase that asks for it");
        };
        self.adopted = adopted.is_some();
        let decree = adopted.clone().unwrap_or(Decree { closes: self.view.id, cut, view: next });
        if self.breach == Some(Breach::CountLearners) {
            let newcomers = decree.view.acceptors().filter(|m| !self.view.is_acceptor(*m));
            self.held.extend(newcomers.map(|m| m.node));
        }
        self.phase = Phase::Holding(decree.clone());
        decree
    }

    /// What is missing here cannot be had: goes on to the vote if the decree had to be adopted.
    ///
    /// It may have been decided, and this member need not hold the cut of a view that others enter.
    pub fn vote_on_adopted(&mut self) -> Step {
        let Phase::Gathering { adopted: Some(decree), .. } = self.phase.clone() else { return Step::Wait };
        self.gathered(decree.cut, decree.view);
        self.vote()
    }

    /// A member of the next view holds everything under the cut.
    pub fn on_holding(&mut self, from: Member, ballot: Ballot) -> Step {
        match &self.phase {
            Phase::Holding(decree) if ballot == self.ballot && decree.view.is_acceptor(from) => {
                let all = decree.view.acceptors().count();
                self.held.insert(from.node);
                if self.held.len() == all { self.vote() } else { Step::Wait }
            }
            _ => Step::Wait,
        }
    }

    /// Puts the decree to the vote with those who hold it, if they are a majority of the next
    /// view's data members and all newcomers are among them.
    ///
    /// A decree that was accepted before had been held by so many before its first vote. It may have
    /// been decided, so it has to be voted on even if they have died since.
    pub fn vote(&mut self) -> Step {
        let Phase::Holding(decree) = self.phase.clone() else { return Step::Wait };
        let holding = decree.view.members.iter().filter(|m| self.held.contains(&m.node)).count();
        let ready = decree.view.acceptors().all(|m| self.view.is_acceptor(m) || self.held.contains(&m.node));
        let needed = match self.plan.agreement {
            Agreement::Majority => majority(decree.view.members.len()),
            Agreement::Everybody => decree.view.members.len(),
        };
        let enough = self.adopted || holding >= needed && ready;
        if !enough && self.breach != Some(Breach::AcceptWithoutHolding) {
            return Step::Wait;
        }
        self.phase = Phase::Accepting(decree);
        Step::Vote
    }

    /// Counts a vote. It counts only from the very life that had promised: a member that restarted
    /// in between has forgotten its promise.
    pub fn on_accepted(&mut self, from: Member, ballot: Ballot) -> Step {
        let Phase::Accepting(decree) = &self.phase else { return Step::Wait };
        let promised = match self.promises.get(&from.node) {
            Some((life, _)) => *life == from,
            None => !self.view.id.is_genesis(), // a view past the genesis lists its members' lives
        };
        let next = self.breach == Some(Breach::NextViewDecides);
        let (votes, needed) = match self.plan.agreement {
            Agreement::Majority if next => (decree.view.is_acceptor(from), decree.view.agreement_quorum()),
            Agreement::Majority => (self.view.is_acceptor(from), self.view.agreement_quorum()),
            Agreement::Everybody => (decree.view.is_acceptor(from), decree.view.acceptors().count()),
        };
        if ballot != self.ballot || !votes || !promised {
            return Step::Wait;
        }
        let decree = decree.clone();
        self.accepted.insert(from.node);
        let needed = if self.breach == Some(Breach::CloseByMinority) { 1 } else { needed };
        if self.accepted.len() >= needed { Step::Decided(decree) } else { Step::Wait }
    }
}
