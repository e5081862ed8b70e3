//! What becomes of publications that are submitted at this member.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{Acknowledged, PublisherId, Stamp, newcomer::Late};

/// What follows from the fate of a publication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// Whether it passed is known once the marks are.
    NotYet,
    /// It has not passed: submit it again, under this stamp. Twice does no harm, since all members drop repetitions.
    Again(Stamp),
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
    /// How often those submitted here were dropped, or perhaps were: a client that comes back may have
    /// one submitted twice. Each that arrives takes one away, and who is told or given up takes all.
    dropped: BTreeMap<(PublisherId, u64), usize>,
    /// How far others have come that publish here.
    others: Acknowledged,
}

impl Own {
    pub(super) fn new(publisher: PublisherId) -> Self {
        let (open, dropped, others) = (BTreeSet::new(), BTreeMap::new(), Acknowledged::default());
        Self { publisher, last: 0, open, dropped, others }
    }

    pub(super) fn is(&self, publisher: PublisherId) -> bool {
        self.publisher == publisher
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        let previous = self.last;
        self.last += 1;
        self.open.insert(self.last);
        Stamp { publisher: self.publisher, number: self.last, previous, settled: self.settled() }
    }

    /// All own numbers up to this one are settled.
    fn settled(&self) -> u64 {
        self.open.first().map_or(self.last, |first| first - 1)
    }

    /// The stamp of a publication with what is settled by now.
    pub(super) fn renew(&self, stamp: Stamp) -> Stamp {
        if self.is(stamp.publisher) {
            stamp.settled_through(self.settled())
        } else {
            self.others.renew(stamp)
        }
    }

    pub(super) fn dropped(&mut self, stamp: &Stamp) {
        *self.dropped.entry((stamp.publisher, stamp.number)).or_default() += 1;
    }

    /// What waited for marks is given up: nobody here knows any more what became of it.
    pub(super) fn doubt<E>(&mut self, late: &[Late<E>]) {
        let me = Some(self.publisher.member);
        for stamp in late.iter().filter(|late| late.sender == me).filter_map(|late| late.stamp.as_ref()) {
            self.dropped(stamp);
        }
    }

    pub(super) fn on_fate(&mut self, stamp: Stamp, arrived: bool) -> Settlement {
        let Stamp { publisher, number, .. } = stamp;
        if !arrived {
            return Settlement::Again(self.renew(stamp)); // it was delivered nowhere, or nobody here knows
        }
        if let Entry::Occupied(mut dropped) = self.dropped.entry((publisher, number)) {
            *dropped.get_mut() -= 1;
            if *dropped.get() == 0 {
                dropped.remove();
            }
            return Settlement::Again(self.renew(stamp));
        }
        self.give_up(publisher, number);
        if !self.is(publisher) {
            self.others.note(publisher, number);
        }
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
        self.dropped.values().sum()
    }
}
