//! Subjects bound to a group, at one of its members.

mod newcomer;
mod own;
mod reading;

use std::collections::BTreeSet;

use quorate_membership::{Change, Member, View, ViewId};

use super::{Acknowledged, Admission, BusBreach, History, Marks, Position, PublisherId, Stamp};
pub use newcomer::MarksRefused;
use newcomer::{Late, Newcomer};
use own::Own;
pub use own::Settlement;
pub use reading::{Cursor, Read};

/// What became of something that the group delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Its place in the group's order.
    pub position: Position,
    /// The member that sent it; `None` for a view.
    pub sender: Option<Member>,
    /// What its publisher wrote on it; `None` if it was sent to the group itself.
    pub stamp: Option<Stamp>,
    /// Whether readers get it.
    pub admission: Admission,
}

/// What happens to something that the group delivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// No view was entered: nobody gets it.
    Outside,
    /// It waits until this newcomer has learnt the marks of publishers.
    Waits,
    /// It is decided, and kept if readers get it.
    Decided(Decision),
}

/// The marks at the beginning of a view in which somebody came.
#[derive(Debug)]
struct Snapshot {
    view: ViewId,
    newcomers: BTreeSet<Member>,
    marks: Marks,
}

/// What a member does for the subjects bound to its group, or for those who follow it: it counts
/// positions, drops what publishers send twice, keeps the rest for readers, and has newcomers take
/// over the marks of publishers.
///
/// `E` is what readers get, be it a message or a view. The shell tells in the order of delivery what the
/// group delivers; what is decided is a function of that alone, so it is the same at all members.
///
/// Invariants: (I1) what is kept for readers is bounded by the bytes given, besides one entry that alone
/// is longer; (I2) what waits for marks is bounded by [`Self::WAITING_BYTES_MAX`]; (I3) marks are kept only
/// of views in which somebody came who is still there.
#[derive(Debug)]
pub struct BoundGroup<E> {
    me: Member,
    /// Whether subjects are bound to the group, so that marks matter.
    publishes: bool,
    marks: Marks,
    history: History<E>,
    /// How often something was missed here that the history cannot count.
    beginnings: u64,
    /// Marks as they were at the beginning of views with newcomers, for those of them who are still there.
    snapshots: Vec<Snapshot>,
    newcomer: Option<Newcomer<E>>,
    /// Who is in the latest view.
    present: BTreeSet<Member>,
    /// Whether messages of the group were missed since the last view, or none was entered yet.
    outside: bool,
    own: Own,
    breach: Option<BusBreach>,
}

impl<E> BoundGroup<E> {
    /// What an entry counts for beside its own bytes: its fields, the counts of two shared texts, and the
    /// slack of a queue that grows by doubling.
    pub const ENTRY_BYTES: usize = 256;
    /// Bytes that may wait until a newcomer has learnt the marks.
    pub const WAITING_BYTES_MAX: usize = 64 << 20;

    /// A member that has entered no view. What its node itself publishes bears the name `own`, whose session
    /// nobody else may use, nor this node again when it has left the group and joins it anew: numbers begin
    /// anew, too, and the group would take what comes under them for repetitions. Without `publishes` the group has no bound subjects, and its
    /// history is kept for those who follow it.
    pub fn new(own: PublisherId, publishes: bool, history_bytes: usize) -> Self {
        Self {
            me: own.member,
            publishes,
            marks: Marks::default(),
            history: History::new(history_bytes),
            beginnings: 0,
            snapshots: Vec::new(),
            newcomer: None,
            present: BTreeSet::new(),
            outside: true,
            own: Own::new(own),
            breach: None,
        }
    }

    /// The same with a rule broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_breach(mut self, breach: Option<BusBreach>) -> Self {
        self.history = self.history.with_breach(breach);
        self.marks = self.marks.with_breach(breach);
        self.breach = breach;
        self
    }

    /// Numbers a publication of this node itself. What is not acknowledged is published again under the
    /// same number.
    pub fn stamp(&mut self) -> Stamp {
        self.own.stamp()
    }

    /// The group has told the fate of a publication that was submitted here: whether it has arrived at
    /// all members. Ask again later where the answer is [`Settlement::NotYet`].
    pub fn on_fate(&mut self, stamp: Stamp, arrived: bool) -> Settlement {
        if arrived && self.newcomer.is_some() {
            return Settlement::NotYet;
        }
        self.own.on_fate(stamp, arrived)
    }

    /// The stamp under which a publication is submitted anywhere again: with what is settled by now.
    pub fn renew(&self, stamp: Stamp) -> Stamp {
        self.own.renew(stamp)
    }

    /// A publication is not sent again, whatever became of it.
    pub fn give_up(&mut self, publisher: PublisherId, number: u64) {
        self.own.give_up(publisher, number);
    }

    /// Whether a publication is of this node itself, in this stay.
    pub fn is_own(&self, publisher: PublisherId) -> bool {
        self.own.is(publisher)
    }

    /// Whether marks of publishers are still to be learnt, so that no fate can be told yet.
    pub const fn is_undecided(&self) -> bool {
        self.newcomer.is_some()
    }

    /// This member is outside the group: what is delivered meanwhile is missed.
    pub fn on_outside(&mut self) {
        self.outside = true;
        if let Some(newcomer) = self.newcomer.take() {
            self.own.doubt(&newcomer.into_late());
        }
    }

    /// The group has delivered a view; the entry takes so many bytes beside its fields.
    pub fn on_view(&mut self, view: &View, entry: E, bytes: usize) -> Arrival {
        let comes = |(_, why): &&(Member, Change)| matches!(why, Change::Joined | Change::Learns);
        let newcomers: BTreeSet<Member> = view.changes.iter().filter(comes).map(|(who, _)| *who).collect();
        let is_first = std::mem::take(&mut self.outside);
        if is_first {
            self.begin_anew(view, &newcomers);
        } else {
            self.history.begin_view(view.id);
        }
        if let Some(newcomer) = self.newcomer.as_mut().filter(|_| !is_first) {
            newcomer.on_view(view);
        }
        self.present = view.members.iter().chain(&view.learners).copied().collect();
        self.snapshots.retain(|it| !it.newcomers.is_disjoint(&self.present));
        let position = Position::beginning(view.id);
        let newcomers = if is_first { BTreeSet::new() } else { newcomers };
        self.arrive(Late { position, sender: None, stamp: None, entry, bytes, newcomers })
    }

    fn begin_anew(&mut self, view: &View, newcomers: &BTreeSet<Member>) {
        self.history.begin_anew(view.id);
        self.beginnings += 1;
        self.marks = Marks::default().with_breach(self.breach);
        self.snapshots.clear();
        let knowing = view.members.iter().copied().filter(|it| *it != self.me && !newcomers.contains(it));
        let knowing: Vec<Member> = knowing.collect();
        // A group that was just founded has no past.
        let has_past = view.id.epoch > 1 && !knowing.is_empty();
        self.newcomer = (self.publishes && has_past).then(|| Newcomer::new(view.id, knowing));
    }

    /// The group has delivered a message: with a stamp if it was published, without if it was sent to
    /// the group itself. The entry takes so many bytes beside its fields.
    pub fn on_message(&mut self, sender: Member, stamp: Option<Stamp>, entry: E, bytes: usize) -> Arrival {
        let Some(position) = self.history.advance() else { return Arrival::Outside };
        self.arrive(Late { position, sender: Some(sender), stamp, entry, bytes, newcomers: BTreeSet::new() })
    }

    /// The group has delivered what no correct member sends: all count it, and nobody gets it.
    pub fn on_nonsense(&mut self) {
        self.history.advance();
        if self.newcomer.as_ref().is_some_and(Newcomer::has_given_up) {
            self.history.lose();
        }
    }

    fn arrive(&mut self, late: Late<E>) -> Arrival {
        let Some(newcomer) = &mut self.newcomer else { return Arrival::Decided(self.decide(late).0) };
        if let Err(dropped) = newcomer.wait(late) {
            // Whoever reads here misses it.
            self.own.doubt(&dropped);
            self.history.lose();
            self.beginnings += 1;
        }
        Arrival::Waits
    }

    fn decide(&mut self, late: Late<E>) -> (Decision, Option<&E>) {
        let Late { position, sender, stamp, entry, bytes, newcomers } = late;
        if !newcomers.is_disjoint(&self.present) {
            self.snapshots.push(Snapshot { view: position.view, newcomers, marks: self.marks.clone() });
        }
        let admission = stamp.map_or(Admission::New, |stamp| self.marks.admit(&stamp));
        let decision = Decision { position, sender, stamp, admission };
        match (admission, stamp) {
            (Admission::New, _) => {
                self.history.keep_at(position, entry, bytes.saturating_add(Self::ENTRY_BYTES));
                return (decision, self.history.latest());
            }
            (Admission::Gap, Some(stamp)) if sender == Some(self.me) => self.own.dropped(&stamp),
            _ => {}
        }
        (decision, None)
    }

    /// The marks as they were at the beginning of a view, for a newcomer that asks.
    pub fn snapshot(&self, view: ViewId) -> Option<&Marks> {
        self.snapshots.iter().find(|it| it.view == view).map(|it| &it.marks)
    }

    /// Whom this newcomer asks next for the marks at the beginning of which view; the one asked first
    /// comes last. `None` if nothing is to be learnt.
    pub fn ask(&mut self) -> Option<(ViewId, Member)> {
        self.newcomer.as_mut()?.ask()
    }

    /// Whether the marks cannot be learnt any more, since nobody who knows them is left or more has come
    /// than may wait for them: without them this newcomer would deliver what others drop, so it has to
    /// leave. Said once.
    pub fn take_given_up(&mut self) -> bool {
        self.newcomer.as_mut().is_some_and(Newcomer::take_given_up)
    }

    /// A member has told the marks of a view: decides about all that waited, and passes on each decision
    /// with the entry if readers get it.
    ///
    /// # Errors
    /// [`MarksRefused`]: nothing has changed.
    pub fn learn(
        &mut self,
        from: Member,
        view: ViewId,
        marks: Marks,
        mut decided: impl FnMut(Decision, Option<&E>),
    ) -> Result<(), MarksRefused> {
        let newcomer = self.newcomer.take().ok_or(MarksRefused::NotWaiting)?;
        let believes_all = self.breach == Some(BusBreach::BelievesAnybody);
        if let Err(refused) = newcomer.check(from, view, believes_all) {
            self.newcomer = Some(newcomer);
            return Err(refused);
        }
        self.marks = marks.with_breach(self.breach);
        for late in newcomer.into_late() {
            let (decision, entry) = self.decide(late);
            decided(decision, entry);
        }
        Ok(())
    }

    /// Where a reader that begins now begins.
    pub const fn position(&self) -> Option<Position> {
        self.history.last()
    }

    /// From where on this member keeps all that the group delivers; `None` while it is outside.
    pub fn begins(&self) -> Option<Position> {
        self.history.floor().filter(|_| !self.outside)
    }

    /// Whether everything behind `position` is kept here, and what comes will be.
    pub fn covers(&self, position: Position) -> bool {
        !self.outside && !self.history.after(position).gap
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
