//! I7 for ballots: whoever promised a ballot takes part in no lower one.
//!
//! Broken by: n3 promises 5/n2, then accepts at 4/n1.

use std::collections::BTreeMap;

use quorate_membership::{Member, ViewId, agreement::Ballot};
use quorate_protocols::{Body, Message};

use super::Violation;

/// The highest ballot that each life has answered, per view.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<(Member, ViewId), Ballot>);

impl Votes {
    pub(super) fn on_send(&mut self, by: Member, message: &Message) -> Option<Violation> {
        let ballot = match &message.body {
            Body::Promise(promise) => promise.ballot,
            Body::Accepted { ballot } => *ballot,
            _ => return None,
        };
        if message.view.is_genesis() {
            return None; // one life may take part in several foundings, all of which close it
        }
        let highest = self.0.entry((by, message.view)).or_insert(ballot);
        if ballot < *highest {
            let what = format!("{by} takes part in {ballot} after {highest} about {}", message.view);
            return Some(Violation { property: "I7 promises are kept", what });
        }
        *highest = ballot;
        None
    }
}
