//! What must hold at every step, whatever the network and the nodes do.
//!
//! | property | in one sentence | file |
//! |---|---|---|
//! | V1 | a message is delivered only in the view in which it was sent | `delivery.rs` |
//! | V2, I8 | members that go from one view to the next together deliver the same in the first, in the same order where the order is total | `delivery.rs` |
//! | V3 | what anybody delivered in uniform order, and what any sender was told is uniform, is delivered by all who close that view | `delivery.rs` |
//! | V4 | no two views with the same number differ, and numbers have no gaps | `delivery.rs` |
//! | V6 | nothing out of nothing, nothing twice, per-sender order always, causal order where promised | `delivery.rs` |
//! | P1-P3 | letters to one member and answers to requests | `letters.rs` |
//! | V7 | a view that a majority has left is not served for longer than it takes to notice | `serving.rs` |
//! | I1 | one decree closes a view | `cuts.rs` |
//! | S7 | members that enter a view have the same state, newcomers included | `state.rs` |
//! | I2 | after its seal a member sends, acknowledges and delivers nothing in that view | `seal.rs` |
//! | I3 | what a majority held before it sealed is in the cut, and what was not sent is not | `cuts.rs` |
//! | I4 | who goes on has delivered exactly the cut; it was held by enough before the vote | `cuts.rs` |
//! | I5 | nobody speaks in a view that it has not entered | `serving.rs` |
//! | I6 | no leases yet: what stands for it is V7 | `serving.rs` |
//! | I7 | no vote below a promise; no decision without a quorum that accepted it in one ballot; no earlier life after a later one | `votes.rs`, `cuts.rs`, `lives.rs` |
//! | F2 | nobody that follows the rules is taken for one that lies | here |
//! | F1 | nobody is accused who is up and connected, however late all are below a stall | `lives.rs` |
//! | transitional sets, cuts of sides | partitionable groups: who comes along, with what delivered; I1, I3, I4 and V7 are for primary groups | `sides.rs` |
//! | I9 | once all is healed, all work gets finished | `../run.rs` |
//!
//! Source of the properties: Birman and Joseph, "Exploiting virtual synchrony in distributed
//! systems" (SOSP 1987); Chockler, Keidar and Vitenberg, "Group communication specifications"
//! (ACM Computing Surveys 2001), section 4.

mod cuts;
mod delivery;
mod letters;
mod lives;
mod seal;
mod serving;
mod sides;
mod state;
mod votes;

use bytes::Bytes;
use quorate_membership::{Member, NodeId, Seq, Time, View, ViewId};
use quorate_protocols::{Event, Fate, Group, GroupConfig, Message, Refusal};

use cuts::Cuts;
use delivery::Delivery;
pub use letters::Letters;
use lives::Lives;
use seal::Seal;
use serving::Serving;
use sides::Sides;
use state::States;
use votes::Votes;

use crate::replica::State;

/// Names a message: the sender, the frame and the place in it.
pub(crate) type Name = (Member, Seq, u32);

/// A property that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The property's short name.
    pub property: &'static str,
    /// What happened.
    pub what: String,
}

/// Watches everything that the members of one group do.
#[derive(Debug)]
pub struct Checker {
    delivery: Delivery,
    seal: Seal,
    lives: Lives,
    /// Primary groups only: there one decree closes a view.
    cuts: Option<Cuts>,
    votes: Votes,
    serving: Serving,
    states: States,
    /// Partitionable groups only.
    sides: Option<Sides>,
    /// Messages to one member, and requests.
    pub(crate) letters: Letters,
    violation: Option<Violation>,
}

impl Checker {
    /// Watches a group with this configuration.
    pub fn new(config: &GroupConfig) -> Self {
        Self {
            delivery: Delivery::new(config.order, config.partitionable),
            seal: Seal::default(),
            lives: Lives::default(),
            cuts: (!config.partitionable).then(|| Cuts::new(config.order)),
            votes: Votes::default(),
            serving: Serving::new(config.timing, config.partitionable),
            states: States::default(),
            sides: config.partitionable.then(Sides::default),
            letters: Letters::default(),
            violation: None,
        }
    }

    /// The first property that did not hold.
    pub fn violation(&self) -> Option<&Violation> {
        let others = || self.delivery.violation().or_else(|| self.letters.violation());
        self.violation.as_ref().or_else(others)
    }

    /// Number of different views installed.
    pub fn views(&self) -> usize {
        self.delivery.views()
    }

    fn note(&mut self, found: Option<Violation>) {
        if let Some(violation) = found {
            self.violation.get_or_insert(violation);
        }
    }

    /// A member is about to take something in.
    pub(crate) fn before(&mut self, group: &Group) {
        let found = self.seal.before(group).or_else(|| self.serving.before(group.me()));
        self.note(found);
    }

    /// A member has taken something in; what it wants done is still to come.
    pub(crate) fn after(&mut self, group: &Group) {
        let found = self.cuts.as_mut().and_then(|cuts| cuts.after(group));
        self.note(found);
    }

    /// A member refuses an input.
    pub(crate) fn on_refusal(&mut self, at: Member, refusal: &Refusal) {
        if let Refusal::Faulty { from, what } = refusal {
            let what = format!("{at} holds {from} for faulty: {what}");
            self.note(Some(Violation { property: "F2 nobody correct is held for a liar", what }));
        }
    }

    /// A member submits a message whose payload nobody else uses.
    pub(crate) fn on_submit(&mut self, by: Member, payload: Bytes) {
        self.delivery.on_submit(by, payload);
    }

    /// Whether this payload was submitted to all.
    pub(crate) fn is_multicast(&self, payload: &Bytes) -> bool {
        self.delivery.is_submitted(payload)
    }

    /// A member sends a message.
    pub(crate) fn on_send(&mut self, by: Member, message: &Message) {
        let found = self.seal.on_send(by, message);
        let found = found.or_else(|| self.votes.on_send(by, message));
        let found = found.or_else(|| self.serving.on_send(by, message));
        let found = found.or_else(|| self.cuts.as_mut().and_then(|cuts| cuts.on_send(by, message)));
        self.note(found);
    }

    /// A submitter learns what became of its message.
    pub(crate) fn on_fate(&mut self, now: Option<Time>, at: Member, payload: &Bytes, fate: Fate) {
        match fate {
            Fate::Uniform => {
                self.delivery.on_uniform(at, payload);
                if let Some(view) = self.delivery.view_of(at) {
                    // `now` is missing where a clock is wrong: then nothing is said about times.
                    self.seal.on_served(at, view);
                    if let Some(now) = now {
                        self.serving.on_told(now, at, view);
                    }
                }
            }
            Fate::Delivered | Fate::Lost => self.letters.on_fate(payload, fate == Fate::Delivered),
            _ => {}
        }
    }

    /// A group tells a member something. `exact` is missing where its clock is wrong: then nothing is said
    /// about times.
    pub(crate) fn on_event(&mut self, now: Time, exact: Option<Time>, at: Member, event: &Event) {
        match event {
            Event::View(view) => self.on_view(now, at, view),
            Event::Message { view, sender, seq, index, uniform, payload, .. } => {
                self.on_message(exact, at, *view, (*sender, *seq, *index), payload);
                self.delivery.on_mark(at, *uniform, payload);
            }
            Event::Direct { view, from, payload } => self.letters.on_letter(at, *view, *from, payload),
            Event::Request { view, request, place: Some((seq, index)), payload } => {
                self.on_message(exact, at, *view, (request.asker, *seq, *index), payload);
            }
            Event::Request { view, request, place: None, payload } => {
                self.letters.on_letter(at, *view, request.asker, payload);
            }
            Event::Transitional { closes, members } => {
                self.delivery.on_transitional(at);
                if let Some(sides) = &mut self.sides {
                    sides.on_transitional(at, *closes, members.clone());
                }
            }
            Event::Removed { .. } | Event::LineageLost | Event::Left => self.on_outside(at),
            _ => {}
        }
    }

    /// A member enters a view.
    fn on_view(&mut self, now: Time, at: Member, view: &View) {
        let before = || self.delivery.progress(at);
        let found = self.cuts.as_mut().and_then(|cuts| cuts.on_view(at, view, before()));
        let found = found.or_else(|| self.sides.as_mut().and_then(|sides| sides.on_view(at, view, before())));
        self.note(found);
        self.serving.on_view(now, at, view);
        self.letters.on_view(at, view.id);
        self.delivery.on_view(at, view);
        self.seal.on_end(at);
    }

    /// A member enters a view of a group that transfers state.
    pub(crate) fn on_state(&mut self, at: Member, view: &View, state: Option<&State>) {
        let found = self.states.on_view(at, view, state);
        self.note(found);
    }

    /// A member was removed, has left, or its lineage was lost: it has closed nothing.
    fn on_outside(&mut self, at: Member) {
        self.serving.on_outside(at);
        if let Some(sides) = &mut self.sides {
            sides.on_outside(at);
        }
        self.delivery.on_outside(at);
        self.seal.on_end(at);
    }

    /// A member delivers a message.
    fn on_message(&mut self, now: Option<Time>, at: Member, view: ViewId, name: Name, payload: &Bytes) {
        self.delivery.on_message(at, view, name, payload);
        self.seal.on_served(at, view);
        if let Some(now) = now {
            self.serving.on_delivered(now, at, view);
        }
    }

    /// A failure detector reports that a node lives anew.
    pub(crate) fn on_superseded(&mut self, at: Member, old: Member, new: Member) {
        let found = Lives::on_superseded(at, old, new);
        self.note(found);
    }

    /// A failure detector loses a node though nothing is wrong.
    pub(crate) fn on_accused(&mut self, at: Member, peer: NodeId) {
        self.note(Some(Lives::on_accused(at, peer)));
    }

    /// A failure detector reports that it and a peer hear each other.
    pub(crate) fn on_reachable(&mut self, at: Member, peer: Member) {
        let found = self.lives.on_reachable(at, peer);
        self.note(found);
    }
}
