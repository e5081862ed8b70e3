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
//! | I2 | after its seal a member sends, acknowledges and delivers nothing in that view | `seal.rs` |
//!
//! Source of the properties: Birman and Joseph, "Exploiting virtual synchrony in distributed
//! systems" (SOSP 1987); Chockler, Keidar and Vitenberg, "Group communication specifications"
//! (ACM Computing Surveys 2001), section 4.

mod delivery;
mod letters;
mod lives;
mod seal;

use bytes::Bytes;
use quorate_membership::{Member, Seq, Time, View, ViewId};
use quorate_protocols::{Fate, Group, GroupConfig, Message};

use delivery::Delivery;
pub use letters::Letters;
use lives::Lives;
use seal::Seal;

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
    /// Messages to one member, and requests.
    pub(crate) letters: Letters,
    violation: Option<Violation>,
}

impl Checker {
    /// Watches a group with this configuration.
    pub fn new(config: &GroupConfig) -> Self {
        Self {
            delivery: Delivery::new(config.order),
            seal: Seal::default(),
            lives: Lives::default(),
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
        let found = self.seal.before(group);
        self.note(found);
    }

    /// A member submits a message whose payload nobody else uses.
    pub(crate) fn on_submit(&mut self, by: Member, payload: Bytes) {
        self.delivery.on_submit(by, payload);
    }

    /// A member sends a message.
    pub(crate) fn on_send(&mut self, by: Member, message: &Message) {
        let found = self.seal.on_send(by, message);
        self.note(found);
    }

    /// A submitter learns what became of its message.
    pub(crate) fn on_fate(&mut self, at: Member, payload: &Bytes, fate: Fate) {
        match fate {
            Fate::Uniform => {
                self.delivery.on_uniform(at, payload);
                if let Some(view) = self.delivery.view_of(at) {
                    self.seal.on_served(at, view);
                }
            }
            Fate::Delivered | Fate::Lost => self.letters.on_fate(payload, fate == Fate::Delivered),
            _ => {}
        }
    }

    /// A member enters a view.
    pub(crate) fn on_view(&mut self, _now: Time, at: Member, view: &View) {
        self.letters.on_view(at, view.id);
        self.delivery.on_view(at, view);
        self.seal.on_end(at);
    }

    /// A member was removed, has left, or its lineage was lost: it has closed nothing.
    pub(crate) fn on_outside(&mut self, at: Member) {
        self.delivery.on_outside(at);
        self.seal.on_end(at);
    }

    /// A member delivers a message.
    pub(crate) fn on_message(&mut self, at: Member, view: ViewId, name: Name, payload: &Bytes) {
        self.delivery.on_message(at, view, name, payload);
        self.seal.on_served(at, view);
    }

    /// A failure detector reports that it and a peer hear each other.
    pub(crate) fn on_reachable(&mut self, at: Member, peer: Member) {
        let found = self.lives.on_reachable(at, peer);
        self.note(found);
    }
}
