//! A group whose deliveries are kept for those who subscribe to its subjects, follow it and come back:
//! carries out what [`BoundGroup`] decides.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use quorate_membership::{GroupId, Member, View, ViewId};
use quorate_protocols::bus::{
    Admission, Arrival, BoundGroup, Decision, Marks, MarksRefused, Pattern, Position, PublisherId, Stamp,
};
use tokio::sync::oneshot;

use super::tail::{Entry, Tail};
use crate::{
    bus::{Delivery, Envelope, HandOut, Overflow},
    queue::Feed,
    room::Room,
};

/// Bytes of messages that may be on their way to subscribers of queue groups.
const HANDING_OUT_BYTES_MAX: u32 = 64 << 20;

/// What becomes of a publication that the group has delivered.
#[derive(Debug)]
pub(crate) enum Passage {
    /// It is shown, and queue groups get this.
    New(Option<HandOut>),
    /// Nobody here knows yet whether it came before.
    InDoubt,
    /// Nobody gets it.
    Dropped,
}

/// What follows from the marks that a newcomer has learnt.
#[derive(Debug)]
pub(crate) struct Learnt {
    /// What queue groups get.
    pub(crate) hand_outs: Vec<HandOut>,
    /// What becomes of the publications that were in doubt, in their order.
    pub(crate) decided: Vec<Admission>,
}

/// What is kept at a member of a group with a history.
#[derive(Debug)]
pub(crate) struct Bound {
    group: GroupId,
    me: Member,
    pub(super) core: BoundGroup<Entry>,
    tails: BTreeMap<u64, Tail>,
    next_tail: u64,
    /// How far subscribers had come that were ended before anybody asked for it.
    strays: BTreeMap<u64, Position>,
    /// Room for what is handed out to queue groups. They get each message at most once, so what
    /// exceeds it is left out.
    handing_out: Room,
    /// Who wants to know from where on something is kept here.
    askers: Vec<oneshot::Sender<Position>>,
}

impl Bound {
    pub(crate) fn new(group: GroupId, own: PublisherId, publishes: bool, history_bytes: usize) -> Self {
        Self {
            group,
            me: own.member,
            core: BoundGroup::new(own, publishes, history_bytes),
            tails: BTreeMap::new(),
            next_tail: 0,
            strays: BTreeMap::new(),
            handing_out: Room::new(HANDING_OUT_BYTES_MAX),
            askers: Vec::new(),
        }
    }

    pub(crate) fn on_view(&mut self, view: &View) {
        if self.core.begins().is_none() {
            self.end_tails();
        }
        let entry = Entry::View(view.clone());
        let bytes = entry.bytes();
        self.core.on_view(view, entry, bytes);
        for asker in std::mem::take(&mut self.askers) {
            self.tell_beginning(asker);
        }
    }

    /// Tells from where on something is kept here, as soon as this member is in the group.
    pub(crate) fn tell_beginning(&mut self, asker: oneshot::Sender<Position>) {
        match self.core.begins() {
            Some(position) => drop(asker.send(position)), // it may be gone
            None => self.askers.push(asker),
        }
    }

    /// The group has delivered something that was sent to itself.
    pub(crate) fn on_raw(&mut self, sender: Member, payload: Bytes) {
        let entry = Entry::Message { sender, published: None, payload };
        let bytes = entry.bytes();
        self.core.on_message(sender, None, entry, bytes);
    }

    /// The group has delivered a publication.
    pub(crate) fn on_published(&mut self, sender: Member, envelope: Envelope, payload: Bytes) -> Passage {
        let stamp: Stamp = envelope.stamp;
        let entry = Entry::published(sender, envelope, payload);
        let (bytes, kept) = (entry.bytes(), (sender == self.me).then(|| entry.clone()));
        match self.core.on_message(sender, Some(stamp), entry, bytes) {
            Arrival::Outside => Passage::Dropped,
            Arrival::Waits => Passage::InDoubt,
            Arrival::Decided(decision) => {
                count(&decision);
                match decision.admission {
                    Admission::New => Passage::New(kept.and_then(|entry| self.hand_out(&decision, &entry))),
                    Admission::Duplicate | Admission::Gap => Passage::Dropped,
                }
            }
        }
    }

    /// A member has told the marks: what waited for them is decided.
    pub(crate) fn learn(&mut self, from: Member, view: ViewId, marks: Marks) -> Result<Learnt, MarksRefused> {
        let (mut own, mut decided) = (Vec::new(), Vec::new());
        let me = self.me;
        self.core.learn(from, view, marks, |decision, entry| {
            count(&decision);
            decided.extend(decision.stamp.map(|_| decision.admission));
            own.extend(entry.filter(|_| decision.sender == Some(me)).map(|entry| (decision, entry.clone())));
        })?;
        self.pump_all();
        let hand_outs = own.iter().filter_map(|(decision, entry)| self.hand_out(decision, entry)).collect();
        Ok(Learnt { hand_outs, decided })
    }

    /// Takes room for what this node has published, on its way to queue groups.
    fn hand_out(&self, decision: &Decision, entry: &Entry) -> Option<HandOut> {
        let Entry::Message { published: Some((subject, reply_to)), payload, .. } = entry else { return None };
        let Some(held) = self.handing_out.try_take(payload.len()) else {
            metrics::counter!("quorate_bus_queue_lost_total").increment(1);
            return None;
        };
        let (subject, reply_to) = (subject.clone(), reply_to.clone());
        let at = Some((self.group, decision.position));
        Some(HandOut(Delivery { subject, payload: payload.clone(), reply_to, at, missed: None }, held))
    }

    /// Adds a subscriber that has seen everything up to `after`, or begins now.
    pub(crate) fn add_tail(
        &mut self,
        pattern: Pattern,
        overflow: Overflow,
        feed: Arc<Feed<Delivery>>,
        after: Option<Position>,
    ) -> u64 {
        let id = self.next_tail;
        self.next_tail += 1;
        self.tails.insert(id, Tail::new(pattern, overflow, feed, self.core.begin(after)));
        self.pump(id);
        id
    }

    /// Removes a subscriber and returns how far it has come.
    pub(crate) fn remove_tail(&mut self, id: u64) -> Option<Position> {
        self.tails.remove(&id).map_or_else(|| self.strays.remove(&id), |tail| tail.seen())
    }

    /// Somebody takes a subscriber over, from where it has come to, should it be ended here.
    pub(crate) fn promise(&mut self, id: u64, heir: oneshot::Sender<Position>) {
        if let Some(position) = self.strays.remove(&id) {
            // Whoever is gone gave the subscriber up.
            let _ = heir.send(position);
        } else if let Some(tail) = self.tails.get_mut(&id) {
            tail.promise(heir);
        }
    }

    /// Ends all subscribers that have begun. This member was outside and is about to enter a view: what
    /// was delivered meanwhile is not kept here, so they go on elsewhere and miss nothing.
    fn end_tails(&mut self) {
        for (id, tail) in self.tails.extract_if(.., |_, tail| tail.seen().is_some()) {
            self.strays.extend(tail.end().map(|position| (id, position)));
        }
    }

    /// Hands new messages to all subscribers that have room.
    pub(crate) fn pump_all(&mut self) {
        let (group, core) = (self.group, &self.core);
        self.tails.retain(|_, tail| tail.pump(group, core));
    }

    /// Hands messages to one subscriber that has made room.
    pub(crate) fn pump(&mut self, id: u64) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if !tail.pump(self.group, &self.core) {
            self.tails.remove(&id);
        }
    }
}

fn count(decision: &Decision) {
    match decision.admission {
        Admission::New => {}
        Admission::Duplicate => metrics::counter!("quorate_bus_duplicates_total").increment(1),
        Admission::Gap => metrics::counter!("quorate_bus_gaps_total").increment(1),
    }
}

#[cfg(test)]
mod tests;
