//! The subscribers on this node.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use actix::Addr;
use quorate_protocols::bus::Want;

use super::{Delivery, Overflow};
use crate::{
    group::{Done, Replication, Resubscribe},
    queue::{Feed, Offer},
};

/// Bytes that may wait for one subscriber beyond its queue.
const SPILL_BYTES_MAX: usize = 32 << 20;

/// Acknowledges a publication once everybody who had to wait has got it.
#[derive(Debug)]
pub(crate) struct Receipt(Option<Done>);

impl Receipt {
    pub(crate) fn new(done: Done) -> Rc<Self> {
        Rc::new(Self(Some(done)))
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done.tell(Ok(()));
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
    /// Its readers at the groups that run here.
    pub(crate) tails: Vec<(Addr<Replication>, u64)>,
}

impl Local {
    pub(crate) const fn new(want: Want, overflow: Overflow, feed: Arc<Feed<Delivery>>) -> Self {
        Self { want, overflow, feed, spill: VecDeque::new(), spill_bytes: 0, tails: Vec::new() }
    }

    /// How it reads a group that runs here, from now on.
    pub(crate) fn tail(&self) -> Resubscribe {
        let (pattern, feed) = (self.want.pattern.clone(), Arc::clone(&self.feed));
        Resubscribe { pattern, overflow: self.overflow, feed, after: None }
    }

    /// Hands over a message, or keeps it, or counts it as missed.
    pub(crate) fn give(&mut self, delivery: Delivery, receipt: Option<&Rc<Receipt>>) {
        let weight = delivery.weight();
        let offer =
            if self.spill.is_empty() { self.feed.offer(delivery, weight) } else { Offer::Full(delivery) };
        let Offer::Full(delivery) = offer else { return };
        if self.overflow == Overflow::Backpressure && self.spill_bytes + weight <= SPILL_BYTES_MAX {
            self.spill_bytes += weight;
            self.spill.push_back((delivery, receipt.cloned()));
        } else {
            metrics::counter!("quorate_bus_missed_total").increment(1);
            self.feed.skip(1);
        }
    }

    /// The reader has made room.
    pub(crate) fn pump(&mut self) {
        while let Some((delivery, receipt)) = self.spill.pop_front() {
            let weight = delivery.weight();
            match self.feed.offer(delivery, weight) {
                Offer::Full(delivery) => {
                    self.spill.push_front((delivery, receipt));
                    return;
                }
                Offer::Taken | Offer::Abandoned => self.spill_bytes -= weight,
            }
        }
    }
}
