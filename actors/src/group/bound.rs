//! A group whose deliveries are kept for those who subscribe to its subjects, follow it and come back:
//! carries out what [`BoundGroup`] decides.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use quorate_membership::{GroupId, Member, View, ViewId};
use quorate_protocols::bus::{
    Admission, Arrival, BoundGroup, Decision, Marks, MarksRefused, Pattern, Position, Stamp,
};

use super::tail::{Entry, Tail};
use crate::{
    bus::{Delivery, Envelope, HandOut, Overflow},
    queue::Feed,
    room::Room,
};

/// Bytes of messages that may be on their way to subscribers of queue groups.
const HANDING_OUT_BYTES_MAX: u32 = 64 << 20;

/// What is kept at a member of a group with a history.
#[derive(Debug)]
pub(crate) struct Bound {
    group: GroupId,
    me: Member,
    pub(super) core: BoundGroup<Entry>,
    tails: BTreeMap<u64, Tail>,
    next_tail: u64,
    /// Room for what is handed out to queue groups. They get each message at most once, so what
    /// exceeds it is left out.
    handing_out: Room,
}

impl Bound {
    pub(crate) fn new(group: GroupId, me: Member, publishes: bool, history_bytes: usize) -> Self {
        Self {
            group,
            me,
            core: BoundGroup::new(me, publishes, history_bytes),
            tails: BTreeMap::new(),
            next_tail: 0,
            handing_out: Room::new(HANDING_OUT_BYTES_MAX),
        }
    }

    pub(crate) fn on_view(&mut self, view: &View) {
        let entry = Entry::View(view.clone());
        let bytes = entry.bytes();
        self.core.on_view(view, entry, bytes);
    }

    /// The group has delivered something that was sent to itself.
    pub(crate) fn on_raw(&mut self, sender: Member, payload: Bytes) {
        let entry = Entry::Message { sender, published: None, payload };
        let bytes = entry.bytes();
        self.core.on_message(sender, None, entry, bytes);
    }

    /// The group has delivered a publication; says whether those who follow the group get it, and what
    /// queue groups get.
    pub(crate) fn on_published(
        &mut self,
        sender: Member,
        envelope: Envelope,
        payload: Bytes,
    ) -> (bool, Option<HandOut>) {
        let stamp: Stamp = envelope.stamp;
        let entry = Entry::published(sender, envelope, payload);
        let (bytes, kept) = (entry.bytes(), (sender == self.me).then(|| entry.clone()));
        match self.core.on_message(sender, Some(stamp), entry, bytes) {
            Arrival::Outside => (false, None),
            Arrival::Waits => (true, None),
            Arrival::Decided(decision) => {
                count(&decision);
                let passes = decision.admission == Admission::New;
                (passes, kept.filter(|_| passes).and_then(|entry| self.hand_out(&decision, &entry)))
            }
        }
    }

    /// A member has told the marks: what waited for them is decided, and what queue groups get of it is
    /// returned.
    pub(crate) fn learn(
        &mut self,
        from: Member,
        view: ViewId,
        marks: Marks,
    ) -> Result<Vec<HandOut>, MarksRefused> {
        let mut own = Vec::new();
        let me = self.me;
        self.core.learn(from, view, marks, |decision, entry| {
            count(&decision);
            own.extend(entry.filter(|_| decision.sender == Some(me)).map(|entry| (decision, entry.clone())));
        })?;
        self.pump_all();
        Ok(own.iter().filter_map(|(decision, entry)| self.hand_out(decision, entry)).collect())
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

    /// Takes out all subscribers that have begun, with how far each has come. For a member that was
    /// outside: before the view in which it is back, they can go on elsewhere and miss nothing.
    pub(crate) fn take_strays(&mut self) -> BTreeMap<u64, Position> {
        let began = self.tails.extract_if(.., |_, tail| tail.position().is_some());
        began.filter_map(|(id, tail)| Some((id, tail.position()?))).collect()
    }

    pub(crate) fn remove_tail(&mut self, id: u64) {
        self.tails.remove(&id);
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
