//! What becomes of publications that are submitted at this member.

use std::collections::BTreeSet;

use super::{PublisherId, Stamp, newcomer::Late};

/// What follows from the fate of a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// Whether it passed is known once the marks are.
    NotYet,
    /// It has not passed: submit it again. Twice does no harm, since all members drop repetitions.
    Again,
    /// It has passed, now or before: tell its publisher.
    Passed,
}

/// Numbers this node's own publications, and remembers which of those submitted here were dropped.
#[derive(Debug)]
pub(super) struct Own {
    /// Under which it publishes in this stay.
    publisher: PublisherId,
    /// The last number of this node's own publications, and those not yet settled.
    last: u64,
    open: BTreeSet<u64>,
    /// Those submitted here that were dropped, or perhaps were. Each one's fate removes it, so there are
    /// no more than publications under way.
    dropped: BTreeSet<(PublisherId, u64)>,
}

impl Own {
    pub(super) const fn new(publisher: PublisherId) -> Self {
        Self { publisher, last: 0, open: BTreeSet::new(), dropped: BTreeSet::new() }
    }

    pub(super) fn is(&self, publisher: PublisherId) -> bool {
        self.publisher == publisher
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        let previous = self.last;
        self.last += 1;
        self.open.insert(self.last);
        let settled = self.open.first().map_or(previous, |first| first - 1);
        Stamp { publisher: self.publisher, number: self.last, previous, settled }
    }

    pub(super) fn dropped(&mut self, stamp: &Stamp) {
        self.dropped.insert((stamp.publisher, stamp.number));
    }

    /// What waited for marks is given up: nobody here knows any more what became of it.
    pub(super) fn doubt<E>(&mut self, late: Vec<Late<E>>) {
        let mine = late.into_iter().filter(|late| late.sender == Some(self.publisher.member));
        self.dropped.extend(mine.filter_map(|late| late.stamp).map(|it| (it.publisher, it.number)));
    }

    pub(super) fn on_fate(&mut self, publisher: PublisherId, number: u64, arrived: bool) -> Settlement {
        let dropped = self.dropped.remove(&(publisher, number));
        if dropped || !arrived {
            return Settlement::Again;
        }
        self.give_up(publisher, number);
        Settlement::Passed
    }

    pub(super) fn give_up(&mut self, publisher: PublisherId, number: u64) {
        self.dropped.remove(&(publisher, number));
        if self.is(publisher) {
            self.open.remove(&number);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.dropped.len()
    }
}
