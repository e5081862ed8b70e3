//! Messages from one member to another, inside one view.
//!
//! A message is delivered in the view in which it was sent or not at all. Whether it was delivered
//! before the view ended its sender learns from the addressee, which remembers how far it came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_membership::{Member, NodeId, Seq, View, ViewId, agreement::Breach};

use super::{Body, Effect, Effects, Event, Fate, Group, Refusal, Ticket};
use crate::direct::{Incoming, Letter, Letters, Outgoing, Purpose, RequestId};

/// The channels of the present view, and what is still open about closed ones.
#[derive(Debug, Default)]
pub(super) struct Directs {
    outgoing: BTreeMap<Member, Outgoing>,
    incoming: BTreeMap<Member, Incoming>,
    /// Whom to tell how far their letters were delivered.
    due: BTreeSet<Member>,
    /// Letters on the way when their view ended, per addressee and view.
    unsettled: BTreeMap<(Member, ViewId), VecDeque<(Seq, Ticket)>>,
}

impl Directs {
    /// Whether a letter waits for an answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsettled.is_empty() || self.outgoing.values().any(|end| !end.is_empty())
    }

    /// A member is in reach on a new link.
    pub(super) fn hurry(&mut self, to: Member) {
        self.outgoing.get_mut(&to).into_iter().for_each(Outgoing::hurry);
    }

    /// Ends the receiving ends: per sender, how far its letters were delivered.
    pub(super) fn take_delivered(&mut self) -> BTreeMap<Member, Seq> {
        self.due.clear();
        let ends = std::mem::take(&mut self.incoming);
        ends.into_iter().map(|(from, end)| (from, end.delivered())).collect()
    }
}

impl Group {
    pub(super) fn on_send_to(&mut self, ticket: Ticket, to: Member, payload: Bytes) -> Result<(), Refusal> {
        self.may_submit(payload.len())?;
        self.push_letter(to, Letter { purpose: Purpose::Message, payload, ticket: Some(ticket) })
    }

    /// Hands a letter to the channel to a data member of the present view.
    pub(super) fn push_letter(&mut self, to: Member, letter: Letter) -> Result<(), Refusal> {
        // The genesis lists nodes, not members.
        if self.view.as_ref().is_none_or(|view| view.id.is_genesis() || !view.members.contains(&to)) {
            return Err(Refusal::NotHere { member: to });
        }
        let (waiting, window) =
            (self.directs.outgoing.get(&to).map_or(0, Outgoing::bytes), self.config.direct_window_bytes);
        if waiting > 0 && waiting + letter.size() > window {
            return Err(Refusal::WouldBlock { waiting, window });
        }
        self.directs.outgoing.entry(to).or_default().push(letter);
        Ok(())
    }

    /// Sends what was never sent and acknowledges what was delivered, while the view is open.
    pub(super) fn send_letters(&mut self, out: &mut Effects) {
        if !self.is_open() || self.wedged || self.is_learner() {
            return;
        }
        let batch_bytes = self.config.batch_bytes;
        let mut due: Vec<(NodeId, Body)> = Vec::new();
        for (to, end) in &mut self.directs.outgoing {
            due.extend(
                std::iter::from_fn(|| end.next(batch_bytes)).map(|letters| (to.node, Body::direct(letters))),
            );
        }
        for from in std::mem::take(&mut self.directs.due) {
            let through = self.directs.incoming.get(&from).map(Incoming::delivered).unwrap_or_default();
            due.push((from.node, Body::DirectDelivered { through }));
        }
        let view = self.view_id();
        for (to, body) in due {
            self.post(to, view, body, out);
        }
    }

    /// Sends again what was not answered for long.
    pub(super) fn tick_letters(&mut self, out: &mut Effects) {
        let mine = self.view_id();
        if self.is_open() && !self.wedged {
            let batch_bytes = self.config.batch_bytes;
            let again =
                |(to, end): (&Member, &mut Outgoing)| Some((to.node, Body::direct(end.again(batch_bytes)?)));
            let again: Vec<(NodeId, Body)> = self.directs.outgoing.iter_mut().filter_map(again).collect();
            for (to, body) in again {
                self.post(to, mine, body, out);
            }
        }
        let asks: Vec<(Member, ViewId)> = self.directs.unsettled.keys().copied().collect();
        for (to, closed) in asks {
            self.post(to.node, mine, Body::AskDelivered { closed }, out);
        }
    }

    pub(super) fn on_direct(
        &mut self,
        from: Member,
        letters: Letters,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(view) = self.view.as_ref().filter(|view| view.members.contains(&from)) else {
            return Err(Refusal::NotMember { from, view: self.view_id() });
        };
        if letters.first == Seq::NONE || letters.purposes.len() != letters.batch.len() {
            return Err(Refusal::Faulty { from, what: "letters without positions or purposes".to_owned() });
        }
        if !self.is_open() || self.wedged || self.stream.is_none() {
            return Ok(()); // unanswered: the sender tries again, or the view ends without it
        }
        let view = view.id;
        let due =
            self.directs.incoming.entry(from).or_default().accept(letters, self.config.direct_window_bytes);
        self.directs.due.insert(from);
        let times = 1 + usize::from(self.config.breach == Some(Breach::LetterTwice));
        for (purpose, payload) in due.into_iter().flat_map(|it| std::iter::repeat_n(it, times)) {
            match purpose {
                Purpose::Message => out.push(Effect::Deliver(Event::Direct { view, from, payload })),
                Purpose::Request(number) => {
                    let request = RequestId { asker: from, number };
                    out.push(Effect::Deliver(Event::Request { view, request, place: None, payload }));
                }
                Purpose::Answer(number) => self.on_answer_from(from, Ticket(number), payload, out),
            }
        }
        Ok(())
    }

    pub(super) fn on_direct_delivered(
        &mut self,
        from: Member,
        through: Seq,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(end) = self.directs.outgoing.get_mut(&from) else { return Ok(()) };
        let Some(settled) = end.acknowledge(through) else {
            return Err(Refusal::Faulty { from, what: format!("letters through {through} were never sent") });
        };
        for ticket in settled.into_iter().filter_map(|letter| letter.ticket) {
            self.tell_fate(ticket, Fate::Delivered, out);
        }
        Ok(())
    }

    /// How far this member had delivered the letters of `from` when a view ended.
    pub(super) fn on_ask_delivered(&mut self, from: Member, closed: ViewId, out: &mut Effects) {
        let past = self.past.iter().find(|past| past.decree.closes == closed);
        let through = past.map(|past| past.direct.get(&from).copied().unwrap_or_default());
        self.post(from.node, self.view_id(), Body::ToldDelivered { closed, through }, out);
    }

    pub(super) fn on_told_delivered(
        &mut self,
        from: Member,
        closed: ViewId,
        through: Option<Seq>,
        out: &mut Effects,
    ) {
        for (seq, ticket) in self.directs.unsettled.remove(&(from, closed)).unwrap_or_default() {
            let fate = match through {
                Some(through) if seq <= through => Fate::Delivered,
                Some(_) => Fate::Lost,
                None => Fate::Unknown,
            };
            self.tell_fate(ticket, fate, out);
        }
    }

    /// A view begins: what was on the way waits to be settled; what was not sent, and every answer,
    /// goes out in the new one; what was meant for somebody who is gone is lost.
    pub(super) fn reopen_directs(&mut self, closed: ViewId, view: &View, out: &mut Effects) {
        let gone = |member: &Member| !view.members.contains(member);
        let forgotten: Vec<(Member, ViewId)> =
            self.directs.unsettled.keys().filter(|(member, _)| gone(member)).copied().collect();
        for key in forgotten {
            self.settle_letters(key, Fate::Unknown, out);
        }
        for (to, end) in std::mem::take(&mut self.directs.outgoing) {
            let (sent, unsent) = end.close();
            let mut next = Outgoing::default();
            for (seq, letter) in sent {
                match letter.ticket {
                    Some(ticket) => {
                        self.directs.unsettled.entry((to, closed)).or_default().push_back((seq, ticket));
                    }
                    // The asker takes an answer once, in whatever view it comes.
                    None => next.push(letter),
                }
            }
            if gone(&to) {
                self.settle_letters((to, closed), Fate::Unknown, out);
                for ticket in unsent.into_iter().filter_map(|letter| letter.ticket) {
                    self.tell_fate(ticket, Fate::Lost, out);
                }
                continue;
            }
            for letter in unsent {
                next.push(letter);
            }
            if !next.is_empty() {
                self.directs.outgoing.insert(to, next);
            }
        }
    }

    /// This member is outside: no channel survives.
    pub(super) fn drop_directs(&mut self, out: &mut Effects) {
        self.directs.take_delivered();
        let open: Vec<(Member, ViewId)> = self.directs.unsettled.keys().copied().collect();
        for key in open {
            self.settle_letters(key, Fate::Unknown, out);
        }
        for (_, end) in std::mem::take(&mut self.directs.outgoing) {
            let (sent, unsent) = end.close();
            let sent = sent.into_iter().map(|(_, letter)| (letter, Fate::Unknown));
            for (letter, fate) in sent.chain(unsent.into_iter().map(|letter| (letter, Fate::Lost))) {
                if let Some(ticket) = letter.ticket {
                    self.tell_fate(ticket, fate, out);
                }
            }
        }
    }

    fn settle_letters(&mut self, key: (Member, ViewId), fate: Fate, out: &mut Effects) {
        let fate = if self.config.breach == Some(Breach::UnknownIsLost) { Fate::Lost } else { fate };
        for (_, ticket) in self.directs.unsettled.remove(&key).unwrap_or_default() {
            self.tell_fate(ticket, fate, out);
        }
    }
}

impl Body {
    fn direct(letters: Letters) -> Self {
        let Letters { first, purposes, batch } = letters;
        Self::Direct { first, purposes, batch: batch.into() }
    }
}
