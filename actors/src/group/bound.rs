//! The subjects that are bound to a group: what its members do beyond delivering messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use quorate_membership::{Change, GroupId, Member, View, ViewId};
use quorate_protocols::bus::{Admission, History, Marks, Pattern, Position, PublisherId, Stamp, Subject};

use crate::{
    bus::{Delivery, Envelope, Missed, Overflow},
    queue::{Feed, Offer},
    room::Room,
};

/// Newcomers ask for the marks of a view soon after it began, so few are kept.
const SNAPSHOTS_MAX: usize = 8;
/// Bytes of messages that may wait until a newcomer knows the marks.
const UNDECIDED_BYTES_MAX: usize = 64 << 20;
/// Bytes of messages that may be on their way to subscribers of queue groups.
const HANDING_OUT_BYTES_MAX: u32 = 64 << 20;
/// What an entry of the history takes beside its texts and its payload: its fields, the counts of two
/// shared texts, and the slack of a queue that grows by doubling.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
struct Entry {
    subject: Subject,
    reply_to: Option<Subject>,
    payload: Bytes,
}

/// A subscriber that reads the history at its own pace.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) pattern: Pattern,
    pub(crate) overflow: Overflow,
    pub(crate) feed: Arc<Feed<Delivery>>,
    cursor: u64,
    /// What lies up to here was seen at another node, which may have been ahead.
    after: Option<Position>,
}

/// A message that is delivered before its admission can be decided.
#[derive(Debug)]
struct Undecided {
    position: Position,
    sender: Member,
    envelope: Envelope,
    payload: Bytes,
}

/// What is kept at a member of a group with bound subjects.
#[derive(Debug)]
pub(crate) struct Bound {
    group: GroupId,
    me: Member,
    marks: Marks,
    history: History<Entry>,
    tails: BTreeMap<u64, Tail>,
    next_tail: u64,
    /// Marks as they were at the beginning of views with newcomers.
    snapshots: BTreeMap<u64, (ViewId, Marks)>,
    next_snapshot: u64,
    /// The view whose first marks this newcomer still has to learn, and whom to ask.
    wanted: Option<(ViewId, Vec<Member>)>,
    undecided: Vec<Undecided>,
    undecided_bytes: usize,
    /// Whether more has come than may wait, and that is still to be said.
    overwhelmed: bool,
    /// Room for what is handed out to queue groups. They get each message at most once, so what
    /// exceeds it is left out.
    pub(super) handing_out: Room,
    /// Whether messages of the group were missed since the last view.
    outside: bool,
    /// Own submissions that were dropped because one before them was missing.
    gaps: BTreeSet<(PublisherId, u64)>,
    /// The last number of this node's own publications, and those not yet settled.
    last_number: u64,
    open: BTreeSet<u64>,
}

impl Bound {
    pub(crate) fn new(group: GroupId, me: Member, history_bytes: usize) -> Self {
        Self {
            group,
            me,
            marks: Marks::default(),
            history: History::new(history_bytes),
            tails: BTreeMap::new(),
            next_tail: 0,
            snapshots: BTreeMap::new(),
            next_snapshot: 0,
            wanted: None,
            undecided: Vec::new(),
            undecided_bytes: 0,
            overwhelmed: false,
            handing_out: Room::new(HANDING_OUT_BYTES_MAX),
            outside: true,
            gaps: BTreeSet::new(),
            last_number: 0,
            open: BTreeSet::new(),
        }
    }

    /// Numbers a publication of this node itself.
    pub(crate) fn stamp(&mut self) -> Stamp {
        let previous = self.last_number;
        self.last_number += 1;
        self.open.insert(self.last_number);
        let settled = self.open.first().map_or(previous, |first| first - 1);
        let publisher = PublisherId { member: self.me, session: 0 };
        Stamp { publisher, number: self.last_number, previous, settled }
    }

    /// A publication of this node is acknowledged.
    pub(crate) fn settle(&mut self, publisher: PublisherId, number: u64) {
        if publisher.member == self.me {
            self.open.remove(&number);
        }
    }

    /// Whether the submission was dropped everywhere and has to be sent again.
    pub(crate) fn take_gap(&mut self, publisher: PublisherId, number: u64) -> bool {
        self.gaps.remove(&(publisher, number))
    }

    /// Whether messages wait for the marks, so that no fate can be told yet.
    pub(crate) const fn is_undecided(&self) -> bool {
        self.wanted.is_some()
    }

    pub(crate) fn on_removed(&mut self) {
        self.outside = true;
        self.wanted = None;
        self.undecided = Vec::new();
        self.undecided_bytes = 0;
        self.overwhelmed = false;
    }

    /// Whether more has come than may wait for the marks: without it this newcomer would deliver what
    /// others drop, so it has to leave. Said once.
    pub(crate) const fn take_overwhelmed(&mut self) -> bool {
        std::mem::replace(&mut self.overwhelmed, false)
    }

    pub(crate) fn on_view(&mut self, view: &View) {
        let newcomers: BTreeSet<Member> = view
            .changes
            .iter()
            .filter(|(_, why)| matches!(why, Change::Joined | Change::Learns))
            .map(|(member, _)| *member)
            .collect();
        if std::mem::take(&mut self.outside) {
            self.history.begin_anew(view.id);
            self.tails.values().for_each(|tail| tail.feed.skip(Missed::UNKNOWN));
            self.marks = Marks::default();
            self.snapshots.clear();
            let knowing = view.members.iter().copied().filter(|m| *m != self.me && !newcomers.contains(m));
            let knowing: Vec<Member> = knowing.collect();
            // A group that was just founded has no past.
            self.wanted = (view.id.epoch > 1 && !knowing.is_empty()).then_some((view.id, knowing));
            return;
        }
        self.history.begin_view(view.id);
        if !newcomers.is_empty() && self.wanted.is_none() {
            self.snapshots.insert(self.next_snapshot, (view.id, self.marks.clone()));
            self.next_snapshot += 1;
            while self.snapshots.len() > SNAPSHOTS_MAX {
                self.snapshots.pop_first();
            }
        }
    }

    /// The marks as they were at the beginning of a view.
    pub(crate) fn snapshot(&self, view: ViewId) -> Option<&Marks> {
        self.snapshots.values().find(|(at, _)| *at == view).map(|(_, marks)| marks)
    }

    /// Whose marks this newcomer waits for; the one asked first goes to the end.
    pub(crate) fn ask(&mut self) -> Option<(ViewId, Member)> {
        let (view, knowing) = self.wanted.as_mut()?;
        knowing.rotate_left(1);
        Some((*view, *knowing.last()?))
    }

    /// The marks have come: decides about all that has been delivered meanwhile.
    pub(crate) fn learn(&mut self, view: ViewId, marks: Marks) -> bool {
        let is_wanted = self.wanted.as_ref().is_some_and(|(wanted, _)| *wanted == view);
        if !is_wanted || self.undecided_bytes > UNDECIDED_BYTES_MAX {
            return false;
        }
        self.wanted = None;
        self.marks = marks;
        self.undecided_bytes = 0;
        for late in std::mem::take(&mut self.undecided) {
            self.decide(late);
        }
        self.pump_all();
        true
    }

    /// The group has delivered something that was not published.
    pub(crate) fn on_raw(&mut self) {
        self.history.advance();
    }

    /// The group has delivered a publication; says whether its subscribers get it.
    pub(crate) fn on_published(&mut self, sender: Member, envelope: Envelope, payload: Bytes) -> bool {
        let Some(position) = self.history.advance() else { return false };
        let message = Undecided { position, sender, envelope, payload };
        if self.wanted.is_none() {
            return self.decide(message);
        }
        if self.undecided_bytes <= UNDECIDED_BYTES_MAX {
            self.undecided_bytes += message.envelope.weight() + message.payload.len();
            self.undecided.push(message);
            if self.undecided_bytes > UNDECIDED_BYTES_MAX {
                self.undecided = Vec::new();
                self.overwhelmed = true;
            }
        }
        true
    }

    fn decide(&mut self, message: Undecided) -> bool {
        let Undecided { position, sender, envelope, payload } = message;
        let bytes = envelope.weight() + payload.len();
        let Envelope { stamp, subject, reply_to } = envelope;
        let admission = self.marks.admit(&stamp);
        match admission {
            Admission::New => {
                self.history.keep_at(position, Entry { subject, reply_to, payload }, bytes);
            }
            Admission::Duplicate => metrics::counter!("quorate_bus_duplicates_total").increment(1),
            Admission::Gap => {
                metrics::counter!("quorate_bus_gaps_total").increment(1);
                if sender == self.me {
                    self.gaps.insert((stamp.publisher, stamp.number));
                }
            }
        }
        admission == Admission::New
    }

    /// Where a subscriber that begins now begins.
    pub(crate) fn position(&self) -> Option<Position> {
        self.history.last()
    }

    /// Whether everything behind `position` is kept here.
    pub(crate) fn covers(&self, position: Position) -> bool {
        !self.history.after(position).gap
    }

    /// Adds a subscriber that has seen everything up to `after`, or begins now.
    pub(crate) fn add_tail(
        &mut self,
        pattern: Pattern,
        overflow: Overflow,
        feed: Arc<Feed<Delivery>>,
        after: Option<Position>,
    ) -> u64 {
        let cursor = match after {
            None => self.history.end(),
            Some(position) => {
                let found = self.history.after(position);
                if found.gap {
                    feed.skip(Missed::UNKNOWN);
                }
                found.cursor
            }
        };
        let id = self.next_tail;
        self.next_tail += 1;
        self.tails.insert(id, Tail { pattern, overflow, feed, cursor, after });
        self.pump(id);
        id
    }

    pub(crate) fn remove_tail(&mut self, id: u64) {
        self.tails.remove(&id);
    }

    /// Hands new messages to all subscribers that have room.
    pub(crate) fn pump_all(&mut self) {
        let (group, history) = (self.group, &self.history);
        self.tails.retain(|_, tail| tail.pump(group, history));
    }

    /// Hands messages to one subscriber that has made room.
    pub(crate) fn pump(&mut self, id: u64) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if !tail.pump(self.group, &self.history) {
            self.tails.remove(&id);
        }
    }
}

impl Envelope {
    /// Bytes that a message takes here beside its payload.
    fn weight(&self) -> usize {
        let reply_to = self.reply_to.as_ref().map_or(0, |subject| subject.as_str().len());
        self.subject.as_str().len() + reply_to + ENTRY_BYTES
    }
}

impl Tail {
    /// Returns whether anybody still reads.
    fn pump(&mut self, group: GroupId, history: &History<Entry>) -> bool {
        loop {
            let (position, entry) = match history.get(self.cursor) {
                Err(dropped) => {
                    self.feed.skip(dropped);
                    self.cursor += dropped;
                    continue;
                }
                Ok(None) => return !self.feed.is_abandoned(),
                Ok(Some(next)) => next,
            };
            let seen = self.after.is_some_and(|after| position.is_after(after) == Some(false));
            if seen || !self.pattern.matches(&entry.subject) {
                self.cursor += 1;
                continue;
            }
            self.after = None;
            let delivery = Delivery {
                subject: entry.subject.clone(),
                payload: entry.payload.clone(),
                reply_to: entry.reply_to.clone(),
                at: Some((group, position)),
                missed: None,
            };
            let weight = delivery.weight();
            match (self.feed.offer(delivery, weight), self.overflow) {
                (Offer::Taken, _) => {}
                (Offer::Full(_), Overflow::Skip) => self.feed.skip(1),
                // It goes on here when the reader has made room.
                (Offer::Full(_), Overflow::Backpressure) => return true,
                (Offer::Abandoned, _) => return false,
            }
            self.cursor += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use quorate_membership::{Incarnation, NodeId};

    use super::*;
    use crate::{
        bus::SubscribeOptions,
        queue::{Reader, Slot, queue},
    };

    const fn member(node: u64) -> Member {
        Member::new(NodeId::new(node), Incarnation::new(1))
    }

    fn view(epoch: u64, changes: Vec<(Member, Change)>) -> View {
        View {
            id: ViewId { lineage: 7, epoch },
            members: vec![member(1), member(2)],
            witnesses: Vec::new(),
            learners: Vec::new(),
            changes,
            sides: Vec::new(),
        }
    }

    fn envelope(number: u64) -> Envelope {
        let publisher = PublisherId { member: member(2), session: 0 };
        let stamp = Stamp { publisher, number, previous: number - 1, settled: 0 };
        Envelope { stamp, subject: "a".parse().unwrap(), reply_to: None }
    }

    fn tail(bound: &mut Bound, after: Option<Position>) -> Reader<Delivery> {
        let (feed, reader) = queue(1 << 20, 1 << 30);
        let overflow = SubscribeOptions::default().backpressure().overflow;
        bound.add_tail(">".parse().unwrap(), overflow, Arc::new(feed), after);
        reader
    }

    #[test]
    fn a_history_of_short_messages_keeps_to_its_bytes_with_all_that_they_cost() {
        let mut bound = Bound::new(GroupId::new(1), member(1), 64 << 10);
        bound.on_view(&view(1, vec![]));
        let from = bound.position();
        for number in 1..=10_000 {
            bound.on_published(member(2), envelope(number), Bytes::from_static(b"line"));
        }
        let mut reader = tail(&mut bound, from);
        assert_eq!(
            futures_util::StreamExt::next(&mut reader).now_or_never(),
            Some(Some(Slot::Missed(u64::MAX)))
        );
        let mut kept = 0;
        while futures_util::StreamExt::next(&mut reader).now_or_never().is_some() {
            kept += 1;
        }
        assert_eq!(kept, (64 << 10) / (ENTRY_BYTES + 1 + 4));
    }

    #[test]
    fn a_newcomer_that_nobody_tells_the_marks_keeps_a_bounded_number_of_bytes_and_gives_up_once() {
        let mut bound = Bound::new(GroupId::new(1), member(1), 64 << 10);
        bound.on_view(&view(2, vec![(member(1), Change::Joined)]));
        assert!(bound.is_undecided());
        let payload = Bytes::from(vec![0; 1 << 20]);
        for number in 1..64 {
            bound.on_published(member(2), envelope(number), payload.clone());
        }
        assert!(!bound.take_overwhelmed());
        assert_eq!(bound.undecided.len(), 63);
        for number in 64..100 {
            bound.on_published(member(2), envelope(number), payload.clone());
        }
        assert!(bound.take_overwhelmed());
        assert!(!bound.take_overwhelmed());
        assert!(bound.undecided.is_empty());
        assert!(!bound.learn(ViewId { lineage: 7, epoch: 2 }, Marks::default()), "it has dropped some");
    }
}
