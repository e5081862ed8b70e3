//! Subjects bound to a group at one member: positions, the marks of publishers, and the history
//! that readers read. The twin of what the actors of such groups do.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_membership::{Change, Member, View, ViewId};
use quorate_protocols::bus::{Admission, BusBreach, History, Marks, Position, PublisherId, Stamp};

/// Bytes that the history keeps: so few that slow readers miss some.
const HISTORY_BYTES: usize = 150;
/// Views whose first marks are kept for newcomers.
const SNAPSHOTS_MAX: usize = 8;

/// What a group has delivered, with the position and the stamp if a client has published it.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) position: Position,
    pub(super) sender: Member,
    pub(super) stamp: Option<Stamp>,
    pub(super) payload: Bytes,
}

/// The subjects bound to a group, at one of its members.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) history: History<Bytes>,
    /// How often the history began anew: whoever was reading then has missed something.
    pub(super) beginnings: u64,
    /// One reader that is not fast.
    pub(super) cursor: u64,
    marks: Marks,
    /// Marks as they were at the beginning of views with newcomers.
    snapshots: Vec<(ViewId, Marks)>,
    /// The view whose first marks are still to be learnt, and whom to ask.
    wanted: Option<(ViewId, Vec<Member>)>,
    undecided: Vec<Delivered>,
    /// Whether views of the group were missed, or none was entered yet.
    outside: bool,
    /// Publications submitted here that were dropped because one before them was missing.
    gaps: BTreeSet<(PublisherId, u64)>,
    breach: Option<BusBreach>,
}

impl Bound {
    pub(super) fn new(breach: Option<BusBreach>) -> Self {
        Self {
            history: History::new(HISTORY_BYTES).with_breach(breach),
            beginnings: 0,
            cursor: 0,
            marks: Marks::default().with_breach(breach),
            snapshots: Vec::new(),
            wanted: None,
            undecided: Vec::new(),
            outside: true,
            gaps: BTreeSet::new(),
            breach,
        }
    }

    pub(super) fn on_outside(&mut self) {
        self.outside = true;
        self.wanted = None;
        self.undecided.clear();
    }

    /// A view begins. Returns whether marks have to be asked for.
    pub(super) fn on_view(&mut self, me: Member, view: &View) -> bool {
        let comes = |(member, why): &(Member, Change)| (*why == Change::Joined).then_some(*member);
        let newcomers: BTreeSet<Member> = view.changes.iter().filter_map(comes).collect();
        if std::mem::take(&mut self.outside) {
            self.history.begin_anew(view.id);
            self.beginnings += 1;
            self.marks = Marks::default().with_breach(self.breach);
            self.snapshots.clear();
            let knowing = view.members.iter().copied().filter(|m| *m != me && !newcomers.contains(m));
            let knowing: Vec<Member> = knowing.collect();
            self.wanted = (view.id.epoch > 1 && !knowing.is_empty()).then_some((view.id, knowing));
            return self.wanted.is_some();
        }
        self.history.begin_view(view.id);
        if !newcomers.is_empty() && self.wanted.is_none() {
            self.snapshots.push((view.id, self.marks.clone()));
            let surplus = self.snapshots.len().saturating_sub(SNAPSHOTS_MAX);
            self.snapshots.drain(..surplus);
        }
        false
    }

    /// Whose marks are waited for; the one asked first goes to the end.
    pub(super) fn ask(&mut self) -> Option<(ViewId, Member)> {
        let (view, knowing) = self.wanted.as_mut()?;
        knowing.rotate_left(1);
        Some((*view, *knowing.last()?))
    }

    /// The marks as they were at the beginning of a view.
    pub(super) fn snapshot(&self, view: ViewId) -> Option<Marks> {
        self.snapshots.iter().find(|(at, _)| *at == view).map(|(_, marks)| marks.clone())
    }

    pub(super) const fn is_undecided(&self) -> bool {
        self.wanted.is_some()
    }

    /// The group has delivered something. Returns what is decided by it.
    pub(super) fn on_delivered(
        &mut self,
        sender: Member,
        stamp: Option<Stamp>,
        payload: Bytes,
    ) -> Vec<(Delivered, Admission)> {
        let Some(position) = self.history.advance() else { return Vec::new() };
        let delivered = Delivered { position, sender, stamp, payload };
        if self.wanted.is_some() {
            self.undecided.push(delivered);
            return Vec::new();
        }
        vec![self.decide(delivered)]
    }

    /// The marks have come: what was delivered meanwhile is decided.
    pub(super) fn learn(&mut self, view: ViewId, marks: Marks) -> Vec<(Delivered, Admission)> {
        if self.wanted.as_ref().is_none_or(|(wanted, _)| *wanted != view) {
            return Vec::new();
        }
        self.wanted = None;
        self.marks = marks.with_breach(self.breach);
        std::mem::take(&mut self.undecided).into_iter().map(|late| self.decide(late)).collect()
    }

    fn decide(&mut self, delivered: Delivered) -> (Delivered, Admission) {
        let admission = delivered.stamp.map_or(Admission::New, |stamp| self.marks.admit(&stamp));
        let Delivered { position, payload, .. } = &delivered;
        match (admission, delivered.stamp) {
            (Admission::New, _) => self.history.keep_at(*position, payload.clone(), payload.len()),
            (Admission::Gap, Some(stamp)) => {
                self.gaps.insert((stamp.publisher, stamp.number));
            }
            _ => {}
        }
        (delivered, admission)
    }

    /// Whether a publication was dropped everywhere and has to be sent again.
    pub(super) fn take_gap(&mut self, stamp: &Stamp) -> bool {
        self.gaps.remove(&(stamp.publisher, stamp.number))
    }
}
