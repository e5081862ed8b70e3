//! I1: one decree closes a view. I3: its cut has every frame that a majority held before sealing,
//! and none that was not sent. Nothing is put to the vote before enough of the next view hold it.
//! I7: nothing is decided before a quorum of the view that is closed has accepted it in one ballot.
//! I4: who goes on has delivered exactly the cut.
//!
//! I1 broken by: n1 tells {n1, n2} as the view after v3, n4 tells {n3, n4, n5}. I3: n1 and n2 of
//! three hold s7 when they seal, and the cut says s6. I4: n1 enters v4 having delivered s6 of v3.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{Cut, Decree, Member, Seq, View, ViewId, agreement::Ballot, majority};
use quorate_protocols::{Body, Group, Message, Order};

use super::Violation;

const DECIDED: &str = "I1 one decree closes a view";
const COMPLETE: &str = "I3 held by a majority, so in the cut";
const SENT: &str = "I3 a cut is made of what was sent";
const HELD: &str = "hold before the vote";
const QUORUM: &str = "I7 a quorum before the decision";
const EXACT: &str = "I4 delivered exactly the cut";

/// Watches how views are closed.
#[derive(Debug)]
pub(super) struct Cuts {
    order: Order,
    views: BTreeMap<ViewId, View>,
    /// What each life holds of the view it is in.
    held: BTreeMap<Member, (ViewId, Vec<Seq>)>,
    /// What each life held of a view when it was last seen without a seal.
    unsealed: BTreeMap<ViewId, BTreeMap<Member, Vec<Seq>>>,
    sent: BTreeMap<(ViewId, Member), Seq>,
    said: BTreeSet<(ViewId, Ballot, Member)>,
    voted: BTreeMap<ViewId, Vec<(Ballot, Decree)>>,
    /// Who has accepted what was put to the vote, those who put it there among them.
    accepted: BTreeMap<(ViewId, Ballot), BTreeSet<Member>>,
    decided: BTreeMap<ViewId, Decree>,
}

impl Cuts {
    pub(super) const fn new(order: Order) -> Self {
        Self {
            order,
            views: BTreeMap::new(),
            held: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            sent: BTreeMap::new(),
            said: BTreeSet::new(),
            voted: BTreeMap::new(),
            accepted: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    /// What a member holds now.
    pub(super) fn after(&mut self, group: &Group) -> Option<Violation> {
        let (view, holdings) = (group.view()?, group.holdings()?);
        let me = group.me();
        if let Some(own) = view.rank(me).and_then(|rank| holdings.get(rank)) {
            self.sent.insert((view.id, me), *own);
        }
        if !group.is_sealed() && view.rank(me).is_some() {
            self.unsealed.entry(view.id).or_default().insert(me, holdings.clone());
        }
        self.held.insert(me, (view.id, holdings));
        let decree = self.decided.get(&view.id).filter(|_| !group.is_sealed())?;
        self.complete(decree)
    }

    pub(super) fn on_send(&mut self, by: Member, message: &Message) -> Option<Violation> {
        match &message.body {
            Body::Holding { ballot } => {
                self.said.insert((message.view, *ballot, by));
                None
            }
            Body::Accepted { ballot } => {
                self.accepted.entry((message.view, *ballot)).or_default().insert(by);
                None
            }
            Body::Accept { ballot, decree } if !decree.closes.is_genesis() => {
                self.on_vote(by, *ballot, decree)
            }
            Body::Decided(decree) if !decree.closes.is_genesis() => self.on_decided(by, decree),
            _ => None,
        }
    }

    fn on_vote(&mut self, by: Member, ballot: Ballot, decree: &Decree) -> Option<Violation> {
        self.accepted.entry((decree.closes, ballot)).or_default().insert(by);
        let votes = self.voted.entry(decree.closes).or_default();
        let (of_ballot, taken_over) = (
            votes.iter().find(|(other, _)| *other == ballot).cloned(),
            votes.iter().any(|(_, other)| other == decree),
        );
        if let Some((_, other)) = of_ballot {
            let what =
                || format!("{by} puts {} to the vote as {ballot}, and {} before", decree.view, other.view);
            return (other != *decree).then(|| Violation { property: DECIDED, what: what() });
        }
        votes.push((ballot, decree.clone()));
        let old = self.views.get(&decree.closes)?;
        for (sender, cut) in old.members.iter().zip(&decree.cut.0) {
            let sent = self.sent.get(&(decree.closes, *sender)).copied().unwrap_or_default();
            if *cut > sent {
                let what = format!("{by} cuts {} at {cut} of {sender}, which sent {sent}", decree.closes);
                return Some(Violation { property: SENT, what });
            }
        }
        if taken_over {
            return None; // it was held before its first vote, and some of the holders may be dead
        }
        let holds = |m: &Member| {
            if *m == by {
                self.holds(*m, decree.closes, &decree.cut)
            } else {
                let state = old.rank(*m).is_none() || self.holds(*m, decree.closes, &decree.cut);
                self.said.contains(&(decree.closes, ballot, *m))
                    && (state || !self.is_there(*m, decree.closes))
            }
        };
        let holders = decree.view.members.iter().filter(|m| holds(m)).count();
        let newcomer = decree.view.members.iter().find(|m| old.rank(**m).is_none() && !holds(m));
        let enough = holders >= majority(decree.view.members.len()) && newcomer.is_none();
        let what =
            || format!("{by} puts {} to the vote; {holders} hold the cut, not {newcomer:?}", decree.view);
        (!enough).then(|| Violation { property: HELD, what: what() })
    }

    fn is_there(&self, member: Member, view: ViewId) -> bool {
        self.held.get(&member).is_some_and(|(of, _)| *of == view)
    }

    fn holds(&self, member: Member, view: ViewId, cut: &Cut) -> bool {
        let held = self.held.get(&member).filter(|(of, _)| *of == view);
        held.is_some_and(|(_, held)| held.iter().zip(&cut.0).all(|(has, needs)| has >= needs))
    }

    fn on_decided(&mut self, by: Member, decree: &Decree) -> Option<Violation> {
        if let Some(known) = self.decided.get(&decree.closes) {
            let what = || format!("{by} tells {} and {:?}, others {known:?}", decree.view, decree.cut);
            return (known != decree).then(|| Violation { property: DECIDED, what: what() });
        }
        self.decided.insert(decree.closes, decree.clone());
        self.undecided(by, decree).or_else(|| self.complete(decree))
    }

    /// Whoever tells of a decision can only know it from a quorum.
    fn undecided(&self, by: Member, decree: &Decree) -> Option<Violation> {
        // Who is alone in a view asks nobody.
        let view = self.views.get(&decree.closes).filter(|view| view.agreement_quorum() > 1)?;
        let ballots = self.voted.get(&decree.closes).into_iter().flatten();
        let accepted = ballots.filter(|(_, voted)| voted == decree).map(|(ballot, _)| {
            let accepted = self.accepted.get(&(decree.closes, *ballot));
            accepted.map_or(0, |by| view.acceptors().filter(|member| by.contains(member)).count())
        });
        let most = accepted.max().unwrap_or_default();
        let what = || format!("{by} tells {}, which {most} of {view} have accepted", decree.view);
        (most < view.agreement_quorum()).then(|| Violation { property: QUORUM, what: what() })
    }

    /// Only where a majority's holding is a promise: the cuts of the orders between leave out what
    /// lost its causes.
    fn complete(&self, decree: &Decree) -> Option<Violation> {
        if !matches!(self.order, Order::Fifo | Order::Uniform) {
            return None;
        }
        let (view, held) = (self.views.get(&decree.closes)?, self.unsealed.get(&decree.closes)?);
        for (rank, cut) in decree.cut.0.iter().enumerate() {
            let holders = held.values().filter(|holdings| holdings[rank] > *cut).count();
            if holders >= majority(view.members.len()) {
                let what =
                    format!("{} is cut at {cut} of {}, {holders} held more", view.id, view.members[rank]);
                return Some(Violation { property: COMPLETE, what });
            }
        }
        None
    }

    /// A member enters a view, having delivered this much per sender in the one before.
    pub(super) fn on_view(
        &mut self,
        at: Member,
        view: &View,
        before: Option<(&View, BTreeMap<Member, Seq>)>,
    ) -> Option<Violation> {
        self.views.entry(view.id).or_insert_with(|| view.clone());
        let (old, delivered) = before?;
        let decree = self.decided.get(&old.id).filter(|decree| decree.view.id == view.id)?;
        old.rank(at)?;
        let differs = old
            .members
            .iter()
            .zip(&decree.cut.0)
            .find(|(sender, cut)| delivered.get(sender).copied().unwrap_or_default() != **cut);
        let what = |(sender, cut): (&Member, &Seq)| {
            let got = delivered.get(sender).copied().unwrap_or_default();
            format!("{at} leaves {} with {got} of {sender}, the cut is {cut}", old.id)
        };
        differs.map(|pair| Violation { property: EXACT, what: what(pair) })
    }
}
