//! The subscribers on this node.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{GroupId, Timing};
use quorate_protocols::bus::{Pattern, Position, Subject, Want};

use super::{
    Delivery, Overflow, PublishError,
    bindings::Place,
    follow::{follows, is_reserved},
};
use crate::{
    group::Done,
    queue::{Feed, Offer},
};

/// Bytes that may wait for one subscriber beyond its queue.
const SPILL_BYTES_MAX: usize = 32 << 20;

/// The longest pause before a reader tries again to begin in a group, in spans of
/// [`Timing::resend`].
const RETRY_MAX: u32 = 128;

/// Acknowledges a publication once everybody who had to wait has got it.
#[derive(Debug)]
pub(crate) struct Receipt {
    done: Option<Done>,
    refused: OnceCell<PublishError>,
}

impl Receipt {
    pub(crate) fn new(done: Done) -> Rc<Self> {
        Rc::new(Self { done: Some(done), refused: OnceCell::new() })
    }

    /// Some of those who should get it cannot. Of several reasons the first is told.
    pub(crate) fn refuse(&self, why: PublishError) {
        self.refused.get_or_init(|| why);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done.tell(self.refused.take().map_or(Ok(()), Err));
        }
    }
}

/// A subscriber on this node.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) want: Want,
    pub(crate) overflow: Overflow,
    pub(crate) feed: Arc<Feed<Delivery>>,
    /// What waits for room, with the receipts of those who wait for that.
    spill: VecDeque<(Delivery, Option<Rc<Receipt>>)>,
    spill_bytes: usize,
    /// Whether publishers on other nodes were told that it has no room.
    pub(super) holds: bool,
    /// Messages that may wait for the reader.
    pub(crate) capacity: usize,
    /// What reads the groups for it, here or at other nodes.
    pub(super) readers: BTreeMap<GroupId, (Place, u64)>,
    /// Where it goes on in groups of which this node has not heard yet.
    pub(super) after: BTreeMap<GroupId, Position>,
    /// The one group that it reads, if it reads no others and nothing unbound.
    pub(crate) only: Option<GroupId>,
    /// The groups in which it is about to begin.
    pub(super) attaching: BTreeSet<GroupId>,
    /// The groups in which it could not begin, and how often it has tried in vain.
    pub(super) failed: BTreeMap<GroupId, u32>,
    /// The place of the last message that it got, or was told to have missed.
    given: Option<Position>,
}

impl Local {
    pub(crate) const fn new(want: Want, overflow: Overflow, feed: Arc<Feed<Delivery>>) -> Self {
        Self {
            want,
            overflow,
            feed,
            spill: VecDeque::new(),
            spill_bytes: 0,
            holds: false,
            capacity: 1,
            readers: BTreeMap::new(),
            after: BTreeMap::new(),
            only: None,
            attaching: BTreeSet::new(),
            failed: BTreeMap::new(),
            given: None,
        }
    }

    /// Whether it gets what a group delivers to which these subjects are bound.
    pub(super) fn reads(&self, group: GroupId, bound: Option<&BTreeSet<Pattern>>) -> bool {
        let Want { pattern, queue } = &self.want;
        // Of a queue group it gets its share from the members through which was published.
        if queue.is_some() || self.only.is_some_and(|only| only != group) {
            return false;
        }
        if is_reserved(pattern.as_str()) {
            return follows(pattern, group);
        }
        bound.into_iter().flatten().any(|bound| bound.overlaps(pattern))
    }

    /// It could not begin in a group; returns how long to wait before it tries again, unless something
    /// happens before.
    pub(super) fn fail(&mut self, group: GroupId, timing: Timing) -> Duration {
        let times = self.failed.entry(group).or_default();
        *times = times.saturating_add(1);
        timing.resend() * 2_u32.saturating_pow(*times - 1).min(RETRY_MAX)
    }

    /// Hands over a message, or keeps it, or counts it as missed. Returns whether it is kept.
    pub(crate) fn give(&mut self, delivery: Delivery, receipt: Option<&Rc<Receipt>>) -> bool {
        let (weight, at) = (delivery.weight(), delivery.at);
        let offer =
            if self.spill.is_empty() { self.feed.offer(delivery, weight) } else { Offer::Full(delivery) };
        let Offer::Full(delivery) = offer else {
            self.pass(at);
            return false;
        };
        if self.overflow != Overflow::Skip && self.spill_bytes + weight <= SPILL_BYTES_MAX {
            self.spill_bytes += weight;
            self.feed.set_backlog(true);
            let holds_back = self.overflow == Overflow::Backpressure;
            self.spill.push_back((delivery, receipt.filter(|_| holds_back).cloned()));
            true
        } else {
            metrics::counter!("quorate_bus_missed_total").increment(1);
            self.feed.skip(1);
            if self.spill.is_empty() {
                self.pass(at); // what waits comes before it
            }
            false
        }
    }

    /// Hands over messages of one subject that has no order, as far as there is room, and does with the
    /// others what [`Self::give`] does.
    pub(super) fn give_all(&mut self, subject: &Subject, payloads: &[Bytes]) {
        let mut deliveries = payloads.iter().map(|payload| Delivery::new(subject, None, payload));
        if self.spill.is_empty() {
            let Some(lacking) = self.feed.offer_run(deliveries.by_ref(), Delivery::weight) else { return };
            self.give(lacking, None);
        }
        for delivery in deliveries {
            self.give(delivery, None);
        }
    }

    fn pass(&mut self, at: Option<(GroupId, Position)>) {
        self.given = at.map(|(_, position)| position).or(self.given);
    }

    /// How far one that reads one group has come.
    pub(crate) const fn given(&self) -> Option<Position> {
        self.given
    }

    /// Whether messages wait beyond its queue.
    pub(super) fn has_backlog(&self) -> bool {
        !self.spill.is_empty()
    }

    /// The reader has made room. Returns how many messages were handed over.
    pub(crate) fn pump(&mut self) -> usize {
        let mut count = 0;
        while let Some((delivery, receipt)) = self.spill.pop_front() {
            let (weight, at) = (delivery.weight(), delivery.at);
            match self.feed.offer(delivery, weight) {
                Offer::Full(delivery) => {
                    self.spill.push_front((delivery, receipt));
                    return count;
                }
                Offer::Taken | Offer::Abandoned => {
                    self.spill_bytes -= weight;
                    self.pass(at);
                    count += 1;
                }
            }
        }
        self.feed.set_backlog(false);
        count
    }
}
