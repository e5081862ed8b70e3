//! A group whose deliveries are kept for those who subscribe to its subjects, follow it and come back:
//! what its members do beyond delivering messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use quorate_membership::{Change, GroupId, Member, View, ViewId};
use quorate_protocols::bus::{Admission, History, Marks, Pattern, Position, PublisherId, Stamp};

use super::tail::{ENTRY_BYTES, Entry, Tail};
use crate::{
    bus::{Delivery, Envelope, Missed, Overflow},
    queue::Feed,
    room::Room,
};

/// Newcomers ask for the marks of a view soon after it began, so few are kept.
const SNAPSHOTS_MAX: usize = 8;
/// Bytes of messages that may wait until a newcomer knows the marks.
const UNDECIDED_BYTES_MAX: usize = 64 << 20;
/// Bytes of messages that may be on their way to subscribers of queue groups.
const HANDING_OUT_BYTES_MAX: u32 = 64 << 20;
/// Something that is delivered before it is known what becomes of publications.
#[derive(Debug)]
enum Undecided {
    Published { sender: Member, envelope: Envelope, payload: Bytes },
    Other(Entry),
}

/// What is kept at a member of a group with a history.
#[derive(Debug)]
pub(crate) struct Bound {
    group: GroupId,
    me: Member,
    /// Whether subjects are bound to the group.
    publishes: bool,
    marks: Marks,
    history: History<Entry>,
    tails: BTreeMap<u64, Tail>,
    next_tail: u64,
    /// Marks as they were at the beginning of views with newcomers.
    snapshots: BTreeMap<u64, (ViewId, Marks)>,
    next_snapshot: u64,
    /// The view whose first marks this newcomer still has to learn, and whom to ask.
    wanted: Option<(ViewId, Vec<Member>)>,
    undecided: Vec<(Position, Undecided)>,
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
    pub(crate) fn new(group: GroupId, me: Member, publishes: bool, history_bytes: usize) -> Self {
        Self {
            group,
            me,
            publishes,
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
            self.begin_anew(view, &newcomers);
        } else {
            self.history.begin_view(view.id);
            if !newcomers.is_empty() && self.wanted.is_none() {
                self.snapshots.insert(self.next_snapshot, (view.id, self.marks.clone()));
                self.next_snapshot += 1;
                while self.snapshots.len() > SNAPSHOTS_MAX {
                    self.snapshots.pop_first();
                }
            }
        }
        self.keep(Position::beginning(view.id), Entry::View(view.clone()));
    }

    fn begin_anew(&mut self, view: &View, newcomers: &BTreeSet<Member>) {
        self.history.begin_anew(view.id);
        self.tails.values().for_each(|tail| tail.feed.skip(Missed::UNKNOWN));
        self.marks = Marks::default();
        self.snapshots.clear();
        let knowing = view.members.iter().copied().filter(|m| *m != self.me && !newcomers.contains(m));
        let knowing: Vec<Member> = knowing.collect();
        // A group that was just founded has no past.
        let has_past = view.id.epoch > 1 && !knowing.is_empty();
        self.wanted = (self.publishes && has_past).then_some((view.id, knowing));
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
        for (position, late) in std::mem::take(&mut self.undecided) {
            match late {
                Undecided::Published { sender, envelope, payload } => {
                    self.decide(position, sender, envelope, payload);
                }
                Undecided::Other(entry) => self.keep(position, entry),
            }
        }
        self.pump_all();
        true
    }

    /// The group has delivered something that was sent to itself.
    pub(crate) fn on_raw(&mut self, sender: Member, payload: Bytes) {
        if let Some(position) = self.history.advance() {
            self.keep(position, Entry::Message { sender, published: None, payload });
        }
    }

    /// The group has delivered what nobody gets.
    pub(crate) fn on_nonsense(&mut self) {
        self.history.advance();
    }

    /// The group has delivered a publication; says whether its subscribers get it.
    pub(crate) fn on_published(&mut self, sender: Member, envelope: Envelope, payload: Bytes) -> bool {
        let Some(position) = self.history.advance() else { return false };
        if self.wanted.is_none() {
            return self.decide(position, sender, envelope, payload);
        }
        let bytes = ENTRY_BYTES + envelope.subject.as_str().len() + payload.len();
        self.wait(bytes, position, Undecided::Published { sender, envelope, payload });
        true
    }

    /// Keeps an entry, behind what is not decided yet.
    fn keep(&mut self, position: Position, entry: Entry) {
        let bytes = entry.weight();
        if self.wanted.is_some() {
            self.wait(bytes, position, Undecided::Other(entry));
        } else {
            self.history.keep_at(position, entry, bytes);
        }
    }

    fn wait(&mut self, bytes: usize, position: Position, late: Undecided) {
        if self.undecided_bytes > UNDECIDED_BYTES_MAX {
            return;
        }
        self.undecided_bytes += bytes;
        self.undecided.push((position, late));
        if self.undecided_bytes > UNDECIDED_BYTES_MAX {
            self.undecided = Vec::new();
            self.overwhelmed = true;
        }
    }

    fn decide(&mut self, position: Position, sender: Member, envelope: Envelope, payload: Bytes) -> bool {
        let stamp = envelope.stamp;
        let admission = self.marks.admit(&stamp);
        match admission {
            Admission::New => self.keep(position, Entry::published(sender, envelope, payload)),
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
        self.tails.insert(id, Tail::new(pattern, overflow, feed, cursor, after));
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

#[cfg(test)]
mod tests;
