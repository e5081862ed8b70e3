//! Requests to members, and the collection of their answers with the view as the roll-call.
//!
//! The members of the view in which a request was sent are those who may answer. Each either
//! answers, or a view without it says that it no longer can: nobody waits for the dead. Answers
//! travel point-to-point, and unlike other letters also in later views.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_membership::{Member, View, majority};

use super::{Effect, Effects, Fate, Group, Refusal, Submission, Ticket};
use crate::direct::{Letter, Purpose, RequestId};

/// Who is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Audience {
    /// All data members of the view, this one included, by a multicast in the group's order.
    Group,
    /// One member, point-to-point.
    One(Member),
}

/// How many answers are wanted of those who are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Collect {
    /// One.
    First,
    /// More than half.
    Majority,
    /// All.
    All,
}

/// How a collection of answers ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Collected {
    /// As many answers as wanted have come.
    Enough,
    /// All who still can have answered; the others are gone.
    Short,
    /// This member is no data member any more, or the request was lost: no further answer will come.
    Lost,
}

/// A request whose answers are collected.
#[derive(Debug)]
pub(super) struct Asking {
    collect: Collect,
    /// The roll-call: who may still answer. Empty until the request is sent.
    open: BTreeSet<Member>,
    wanted: usize,
    answers: usize,
}

impl Asking {
    fn call(&mut self, roll: BTreeSet<Member>) {
        self.wanted = match self.collect {
            Collect::First => 1,
            Collect::Majority => majority(roll.len()),
            Collect::All => roll.len(),
        };
        self.open = roll;
    }

    fn outcome(&self) -> Option<Collected> {
        if self.answers >= self.wanted {
            return Some(Collected::Enough);
        }
        self.open.is_empty().then_some(Collected::Short)
    }
}

impl Group {
    pub(super) fn on_ask(
        &mut self,
        ticket: Ticket,
        to: Audience,
        payload: Bytes,
        collect: Collect,
    ) -> Result<(), Refusal> {
        if self.asks.contains_key(&ticket) {
            return Err(Refusal::TicketInUse(ticket));
        }
        if self.asks.len() >= self.config.requests_max {
            return Err(Refusal::TooManyRequests { max: self.config.requests_max });
        }
        self.may_submit(payload.len())?;
        let mut asking = Asking { collect, open: BTreeSet::new(), wanted: 0, answers: 0 };
        match to {
            Audience::Group => {
                self.enqueue(Submission {
                    ticket,
                    head: Bytes::new(),
                    payloads: payload.into(),
                    asks: true,
                })?;
            }
            Audience::One(member) => {
                let purpose = Purpose::Request(ticket.0);
                self.push_letter(member, Letter { purpose, payload, ticket: Some(ticket) })?;
                asking.call(BTreeSet::from([member]));
            }
        }
        self.asks.insert(ticket, asking);
        Ok(())
    }

    /// A multicast request goes out in this view: its members are the roll-call.
    pub(super) fn call_roll(&mut self, ticket: Ticket) {
        let roll = self.view.iter().flat_map(|view| view.members.iter().copied()).collect();
        if let Some(asking) = self.asks.get_mut(&ticket) {
            asking.call(roll);
        }
    }

    /// The application answers a request.
    pub(super) fn on_answer(&mut self, request: RequestId, payload: Bytes) -> Result<(), Refusal> {
        self.may_submit(payload.len())?;
        let purpose = Purpose::Answer(request.number);
        self.push_letter(request.asker, Letter { purpose, payload, ticket: None })
    }

    pub(super) fn on_answer_from(&mut self, from: Member, ticket: Ticket, payload: Bytes, out: &mut Effects) {
        let Some(asking) = self.asks.get_mut(&ticket) else { return };
        if asking.open.remove(&from) {
            asking.answers += 1;
            out.push(Effect::Answer { ticket, from, payload });
            self.end_if_collected(ticket, out);
        }
    }

    /// A view begins: whoever is no data member in it answers no more, and is answered no more.
    pub(super) fn strike_absent(&mut self, view: &View, out: &mut Effects) {
        if !view.members.contains(&self.me) {
            return self.drop_asks(out);
        }
        let mut struck = Vec::new();
        for (ticket, asking) in &mut self.asks {
            let absent = asking.open.extract_if(.., |member| !view.members.contains(member));
            struck.extend(absent.map(|member| (*ticket, member)));
        }
        for (ticket, member) in struck {
            out.push(Effect::Absent { ticket, member });
            self.end_if_collected(ticket, out);
        }
    }

    fn end_if_collected(&mut self, ticket: Ticket, out: &mut Effects) {
        if let Some(outcome) = self.asks.get(&ticket).and_then(Asking::outcome) {
            self.asks.remove(&ticket);
            out.push(Effect::Collected { ticket, outcome });
        }
    }

    /// The submitter wants no more answers.
    pub(super) fn on_give_up(&mut self, ticket: Ticket) {
        self.asks.remove(&ticket);
    }

    /// Tells what became of a submission. A lost request collects no answers.
    pub(super) fn tell_fate(&mut self, ticket: Ticket, fate: Fate, out: &mut Effects) {
        out.push(Effect::Fate { ticket, fate });
        if matches!(fate, Fate::Lost | Fate::Unknown) && self.asks.remove(&ticket).is_some() {
            out.push(Effect::Collected { ticket, outcome: Collected::Lost });
        }
    }

    /// This member is outside or learns, where no letters reach it: what it has sent is answered by
    /// nobody.
    pub(super) fn drop_asks(&mut self, out: &mut Effects) {
        let sent: Vec<Ticket> = self
            .asks
            .iter()
            .filter(|(_, asking)| !asking.open.is_empty())
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in sent {
            self.asks.remove(&ticket);
            out.push(Effect::Collected { ticket, outcome: Collected::Lost });
        }
    }
}
