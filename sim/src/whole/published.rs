//! What is promised of messages that clients publish into a bound group.
//!
//! B7 each publication passes once at each member, in its publisher's order; all members drop the
//! same ones; what is acknowledged has passed. Broken by: c1 publishes through n1, which dies, and
//! again through n2; n3 hands both to its readers. B8 a client that reads the group through one node
//! after the other gets everything that passes behind what it has seen, in order, or is told that it missed
//! something. Broken by: it has seen v3/7 at n1, goes on at n2, and gets v3/9 next though v3/8 passed.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{GroupId, Member};
use quorate_protocols::bus::{Admission, Decision, Position, PublisherId, Stamp};

use crate::Violation;

/// A position as it is ordered within a founding.
type Place = (u64, u64);

/// Watches publications and what clients read.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The last number that passed, per member and publisher.
    passed: BTreeMap<(Member, GroupId, PublisherId), u64>,
    /// In which foundings of the group each number has passed anywhere.
    foundings: BTreeMap<(GroupId, PublisherId, u64), BTreeSet<u64>>,
    /// Where each content has passed, by founding.
    contents: BTreeMap<(u64, u64), Place>,
    /// At which members.
    passed_at: BTreeSet<(u64, u64, Member)>,
    /// What became of the message at each place, by founding.
    admissions: BTreeMap<(GroupId, u64), BTreeMap<Place, Admission>>,
    /// The latest place in each group at which something has passed anywhere.
    last: BTreeMap<GroupId, Position>,
    /// What each client read last; `None` if it was told of a gap since.
    seen: BTreeMap<usize, Option<Position>>,
    violation: Option<Violation>,
}

const fn place(position: Position) -> Place {
    (position.view.epoch, position.index)
}

impl Published {
    pub(super) const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn fail(&mut self, property: &'static str, what: String) {
        self.violation.get_or_insert(Violation { property, what });
    }

    /// A member was outside: what passes next there need not follow on what passed.
    pub(super) fn on_outside(&mut self, at: Member) {
        self.passed.retain(|(member, ..), _| *member != at);
    }

    /// A member lets a message pass, or drops it.
    pub(super) fn on_decided(
        &mut self,
        at: Member,
        group: GroupId,
        decision: &Decision,
        content: Option<u64>,
    ) {
        let Decision { position, stamp, admission, .. } = *decision;
        let places = self.admissions.entry((group, position.view.lineage)).or_default();
        let news = !places.contains_key(&place(position));
        let first = *places.entry(place(position)).or_insert(admission);
        if first != admission {
            let what = format!("{at} decides {admission:?} about {position}, others {first:?}");
            return self.fail("B7 all drop the same", what);
        }
        let before = self.last.get(&group).is_none_or(|last| position.is_after(*last) != Some(false));
        if news && before && admission == Admission::New {
            self.last.insert(group, position);
        }
        let Some(stamp) = stamp.filter(|_| admission == Admission::New) else { return };
        let lineage = position.view.lineage;
        if let Some(content) = content {
            let first = *self.contents.entry((content, lineage)).or_insert(place(position));
            let again = !self.passed_at.insert((content, lineage, at));
            if first != place(position) {
                let what = format!("{at} lets {content} pass at {position}, and it passed at {first:?}");
                let property = if again { "B7 once and in order" } else { "B4 same at each position" };
                return self.fail(property, what);
            }
        }
        self.foundings.entry((group, stamp.publisher, stamp.number)).or_default().insert(lineage);
        let last = self.passed.insert((at, group, stamp.publisher), stamp.number);
        // What was acknowledged in a group that was lost and founded anew does not come again.
        let before = |number: u64| {
            let foundings = self.foundings.get(&(group, stamp.publisher, number));
            foundings.is_some_and(|foundings| !foundings.contains(&lineage))
        };
        let follows = |last: u64| last < stamp.number && (last + 1..stamp.number).all(before);
        if last.is_some_and(|last| !follows(last)) {
            let what = format!("{at} lets {} of {:?} pass after {last:?}", stamp.number, stamp.publisher);
            self.fail("B7 once and in order", what);
        }
    }

    /// A publisher is told that what it has published has arrived.
    pub(super) fn on_acknowledged(&mut self, stamp: &Stamp, content: u64) {
        if self.contents.range((content, 0)..=(content, u64::MAX)).next().is_none() {
            let what = format!("{} of {:?} is acknowledged and never passed", stamp.number, stamp.publisher);
            self.fail("B7 acknowledged is passed", what);
        }
    }

    /// The latest place in a group at which something has passed.
    pub(super) fn last(&self, group: GroupId) -> Option<Position> {
        self.last.get(&group).copied()
    }

    /// A client is told that it missed something.
    pub(super) fn on_gap(&mut self, reader: usize) {
        self.seen.insert(reader, None);
    }

    pub(super) fn on_read_afar(&mut self, reader: usize, group: GroupId, position: Position) {
        let before = self.seen.insert(reader, Some(position)).flatten();
        let Some(before) = before.filter(|before| before.view.lineage == position.view.lineage) else {
            return;
        };
        if position.is_after(before) != Some(true) {
            return self.fail("B8 in order", format!("a reader got {position} after {before}"));
        }
        let places = self.admissions.get(&(group, position.view.lineage));
        let (from, to) = (place(before), place(position));
        let between = places.into_iter().flat_map(|places| places.range(from..to).skip(1));
        if let Some(((epoch, index), _)) = between.into_iter().find(|(_, it)| **it == Admission::New) {
            let what = format!("a reader got {position} after {before}, and nothing of v{epoch}/{index}");
            self.fail("B8 nothing missed untold", what);
        }
    }
}
