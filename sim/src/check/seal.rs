//! I2: after its seal a member sends, acknowledges and delivers nothing in that view, except what
//! it delivers up to the cut on its way into the next one.
//!
//! Broken by: n1 promises to close v3, then sends a row of v3.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{Member, ViewId};
use quorate_protocols::{Body, Group, Message, Way};

use super::Violation;

const PROPERTY: &str = "I2 silent after the seal";

/// Who has sealed which view.
#[derive(Debug, Default)]
pub(super) struct Seal {
    sealed: BTreeMap<Member, ViewId>,
    /// Delivered after the seal: excused if the view ends before anything else happens there.
    ending: BTreeSet<Member>,
}

impl Seal {
    pub(super) fn before(&mut self, group: &Group) -> Option<Violation> {
        let me = group.me();
        if let Some(view) = group.view().filter(|_| group.is_sealed()) {
            self.sealed.insert(me, view.id);
        }
        let what = || format!("{me} delivered or settled after its seal, and the view went on");
        self.ending.remove(&me).then(|| Violation { property: PROPERTY, what: what() })
    }

    pub(super) fn on_send(&mut self, by: Member, message: &Message) -> Option<Violation> {
        match &message.body {
            Body::Promise(_) | Body::Accepted { .. } => {
                self.sealed.insert(by, message.view);
                None
            }
            Body::Data { .. } | Body::Part(_) | Body::Status { .. } | Body::Confirmed { .. }
                if self.sealed.get(&by) == Some(&message.view) && !is_refill(&message.body) =>
            {
                let what = format!("{by} had sealed {} and sent {:?}", message.view, message.body);
                Some(Violation { property: PROPERTY, what })
            }
            _ => None,
        }
    }

    /// A message was delivered, or its sender told that it is uniform.
    pub(super) fn on_served(&mut self, at: Member, view: ViewId) {
        if self.sealed.get(&at) == Some(&view) {
            self.ending.insert(at);
        }
    }

    /// The view ended here.
    pub(super) fn on_end(&mut self, at: Member) {
        self.ending.remove(&at);
    }
}

/// Whether it is part of a frame that somebody has asked for, who may need it to hold what the cut takes in.
fn is_refill(body: &Body) -> bool {
    matches!(body, Body::Part(part) if part.way == Way::Refill)
}
