//! Messages to one member, and requests with their answers.
//!
//! | property | in one sentence |
//! |---|---|
//! | P1 | a letter reaches its addressee only, once, after the earlier ones of its sender, in the view it names |
//! | P2 | a letter called delivered was delivered, and one called lost never is |
//! | P3 | an answer answers that very request, each member answers once, and nothing comes after the end |

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_membership::{Member, ViewId};
use quorate_protocols::{RequestId, Ticket};

use super::Violation;

#[derive(Debug)]
struct Sent {
    by: Member,
    to: Member,
    delivered: bool,
    lost: bool,
}

/// Watches all letters and requests of one group. Payloads are numbers in the order of submission.
#[derive(Debug, Default)]
pub struct Letters {
    views: BTreeMap<Member, ViewId>,
    sent: BTreeMap<Bytes, Sent>,
    last: BTreeMap<(Member, Member), Bytes>,
    /// Open requests, with who has answered.
    asked: BTreeMap<RequestId, (Bytes, BTreeSet<Member>)>,
    violation: Option<Violation>,
}

impl Letters {
    pub(crate) const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn fail(&mut self, property: &'static str, what: String) {
        self.violation.get_or_insert(Violation { property, what });
    }

    /// A member enters a view.
    pub fn on_view(&mut self, at: Member, view: ViewId) {
        self.views.insert(at, view);
    }

    /// A member sends to another.
    pub fn on_send(&mut self, by: Member, to: Member, payload: Bytes) {
        self.sent.insert(payload, Sent { by, to, delivered: false, lost: false });
    }

    /// A letter is delivered.
    pub fn on_letter(&mut self, at: Member, view: ViewId, from: Member, payload: &Bytes) {
        if self.views.get(&at) != Some(&view) {
            return self.fail("P1 letters", format!("{at} delivered a letter of {view} in another view"));
        }
        let Some(sent) = self.sent.get_mut(payload).filter(|sent| sent.by == from && sent.to == at) else {
            return self
                .fail("P1 letters", format!("{at} delivered a letter that {from} did not send to it"));
        };
        let (again, lost) = (std::mem::replace(&mut sent.delivered, true), sent.lost);
        if again || self.last.get(&(from, at)).is_some_and(|last| last > payload) {
            return self.fail("P1 letters", format!("{at} delivered a letter of {from} again or late"));
        }
        if lost {
            return self.fail("P2 fates of letters", format!("{at} delivered what {from} was told is lost"));
        }
        self.last.insert((from, at), payload.clone());
    }

    /// A sender is told that its letter was delivered, or that it was lost.
    pub fn on_fate(&mut self, payload: &Bytes, delivered: bool) {
        let Some(sent) = self.sent.get_mut(payload) else { return };
        sent.lost |= !delivered;
        if sent.delivered != delivered {
            let what = format!("{} was told delivered: {delivered}; that is not so at {}", sent.by, sent.to);
            self.fail("P2 fates of letters", what);
        }
    }

    /// A member asks.
    pub fn on_ask(&mut self, by: Member, ticket: Ticket, payload: Bytes) {
        let request = RequestId { asker: by, number: ticket.0 };
        self.asked.insert(request, (payload, BTreeSet::new()));
    }

    /// An answer has come.
    pub fn on_answer(&mut self, at: Member, ticket: Ticket, from: Member, payload: &Bytes) {
        let request = RequestId { asker: at, number: ticket.0 };
        let Some((question, answered)) = self.asked.get_mut(&request) else {
            return self.fail("P3 answers", format!("{from} answered {request} after its end"));
        };
        if question != payload || !answered.insert(from) {
            self.fail("P3 answers", format!("{from} answered {request} twice or with something else"));
        }
    }

    /// The collection has ended.
    pub fn on_collected(&mut self, at: Member, ticket: Ticket) {
        if self.asked.remove(&RequestId { asker: at, number: ticket.0 }).is_none() {
            self.fail("P3 answers", format!("the request {} of {at} ended twice", ticket.0));
        }
    }
}
