//! I5: nobody sends, acknowledges or reports holdings of a view that it has not entered. V7: a view
//! that a majority has left for the next one is not served for longer than it takes to notice.
//!
//! I5 broken by: n3 has not entered v4 and tells the coordinator what it holds of it. V7: n3 stood
//! still for five seconds, wakes up, and delivers in v3 while the others are in v4.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_membership::{Member, Time, Timing, View, ViewId, majority};
use quorate_protocols::{Body, Message, Way};

use super::Violation;

/// Watches who serves which view, and until when.
#[derive(Debug)]
pub(super) struct Serving {
    /// Three detection times: silence is noticed within one, and what the others went on to is
    /// heard of within two more even if many messages are lost.
    grace: Duration,
    /// Whether one view serves at a time; in a partitionable group each side has its own.
    one: bool,
    present: BTreeMap<Member, ViewId>,
    /// Those who are learners in their view: they follow the members at their own pace and answer
    /// to nobody, so what they deliver late is not served.
    learning: BTreeSet<Member>,
    entered: BTreeMap<ViewId, BTreeSet<Member>>,
    /// Since when a majority of a later view has been in it.
    over: BTreeMap<ViewId, Time>,
    /// Served too late, unless the step turns out to be the one that ends the view.
    late: BTreeMap<Member, String>,
}

impl Serving {
    pub(super) fn new(timing: Timing, partitionable: bool) -> Self {
        Self {
            one: !partitionable,
            grace: timing.detect() * 3,
            present: BTreeMap::new(),
            learning: BTreeSet::new(),
            entered: BTreeMap::new(),
            over: BTreeMap::new(),
            late: BTreeMap::new(),
        }
    }

    /// The step before has not ended the view.
    pub(super) fn before(&mut self, me: Member) -> Option<Violation> {
        let what = self.late.remove(&me)?;
        Some(Violation { property: "V7 one view serves", what })
    }

    pub(super) fn on_send(&self, by: Member, message: &Message) -> Option<Violation> {
        let speaks = match &message.body {
            Body::Data { .. } | Body::Status { .. } => true,
            Body::Part(part) => part.way != Way::Refill,
            Body::Promise(promise) => promise.activated && !message.view.is_genesis(),
            _ => false,
        };
        let present = self.present.get(&by);
        let what = || format!("{by} is in {present:?} and sends {:?} of {}", message.body, message.view);
        (speaks && present != Some(&message.view))
            .then(|| Violation { property: "I5 only those that entered", what: what() })
    }

    pub(super) fn on_view(&mut self, now: Time, at: Member, view: &View) {
        self.late.remove(&at);
        self.present.insert(at, view.id);
        if view.learners.contains(&at) {
            self.learning.insert(at);
        } else {
            self.learning.remove(&at);
        }
        let members = self.entered.entry(view.id).or_default();
        members.insert(at);
        if self.one
            && members.len() == majority(view.members.len() + view.witnesses.len())
            && view.id.epoch > 1
        {
            let closed = ViewId { epoch: view.id.epoch - 1, ..view.id };
            self.over.insert(closed, now);
        }
    }

    pub(super) fn on_outside(&mut self, at: Member) {
        self.late.remove(&at);
        self.present.remove(&at);
    }

    /// A member whose clock is right delivers a message.
    pub(super) fn on_delivered(&mut self, now: Time, at: Member, view: ViewId) {
        if !self.learning.contains(&at) {
            self.on_told(now, at, view);
        }
    }

    /// A member whose clock is right is told that its own message is uniform: that is an
    /// acknowledgement, whoever it is.
    pub(super) fn on_told(&mut self, now: Time, at: Member, view: ViewId) {
        let late = |over: &&Time| now > **over + self.grace;
        let over = self.over.get(&view).filter(late);
        if let Some(over) = over {
            self.late.insert(at, format!("{at} serves {view}, which the others left at {over}"));
        }
    }
}
