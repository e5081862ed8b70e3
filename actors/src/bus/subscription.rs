//! A subscription, as its reader holds it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix::prelude::*;
use futures_util::{Stream, StreamExt};
use quorate_protocols::bus::is_name;
use serde::{Deserialize, Serialize};

use super::{Delivery, Missed, SubscribeError, Unsubscribe};
use crate::queue::{Reader, Slot};

/// Bytes that may wait for one subscriber, besides one message that alone is larger. What is bound to
/// a group waits in the group's history beyond that.
pub(crate) const WAITING_BYTES_MAX: usize = 16 << 20;

/// How somebody subscribes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SubscribeOptions {
    /// The queue group: of all its subscribers in the cluster one gets each message. Default: none,
    /// every subscriber gets every message. A name has 1 to 64 letters, digits, dots, dashes or
    /// underscores. On subjects that are bound to a group, queue groups get
    /// each message at most once: the member through which it was published hands it out.
    pub queue: Option<String>,
    /// Messages that may wait for the reader. Default 1024.
    pub capacity: usize,
    /// What happens when the reader falls further behind.
    pub overflow: Overflow,
}

/// What happens to a subscriber that falls behind. In no case does it hold up other subscribers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Overflow {
    /// It misses messages and is told how many.
    #[default]
    Skip,
    /// Messages wait for it: on subjects that are bound to a group as long as the group's history
    /// lasts, on others as long as a bound of bytes (32 MiB) allows. Beyond that it misses messages and
    /// is told how many. No publisher waits.
    Buffer,
    /// As [`Self::Buffer`], and publishers wait while messages on unbound subjects do: what they publish is
    /// acknowledged once there is room. On other nodes they wait from when they hear of it; what they have
    /// published before waits at the subscriber. A client may ask for it only on subjects that are bound to a group, where the group's history is
    /// what waits: one that stops reading would else hold publishers back for ever, and
    /// [`SubscribeError::CannotHoldBack`] says so.
    Backpressure,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { queue: None, capacity: 1024, overflow: Overflow::Skip }
    }
}

impl SubscribeOptions {
    /// Nodes keep the names of each other's queue groups, so they are short.
    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        match self.queue.as_ref().filter(|queue| !is_name(queue)) {
            Some(queue) => Err(SubscribeError::Queue(queue.clone())),
            None => Ok(()),
        }
    }

    /// Shares the messages with the other subscribers of this queue group.
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    /// Lets messages wait rather than be missed, up to a bound.
    #[must_use]
    pub const fn buffered(mut self) -> Self {
        self.overflow = Overflow::Buffer;
        self
    }

    /// Lets messages wait rather than be missed, and publishers with them; see
    /// [`Overflow::Backpressure`].
    #[must_use]
    pub const fn backpressure(mut self) -> Self {
        self.overflow = Overflow::Backpressure;
        self
    }

    /// Sets how many messages may wait for the reader.
    #[must_use]
    pub const fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }
}

/// The stream of what was subscribed to. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    reader: Reader<Delivery>,
    missed: u64,
    id: u64,
    bus: Recipient<Unsubscribe>,
}

impl Subscription {
    pub(crate) const fn new(reader: Reader<Delivery>, id: u64, bus: Recipient<Unsubscribe>) -> Self {
        Self { reader, missed: 0, id, bus }
    }

    /// Waits for the next message; `None` once the bus is stopped and all was read.
    pub async fn next(&mut self) -> Option<Delivery> {
        StreamExt::next(self).await
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            match Pin::new(&mut self.reader).poll_next(cx) {
                Poll::Ready(Some(Slot::Missed(count))) => self.missed = self.missed.saturating_add(count),
                Poll::Ready(Some(Slot::Item(mut delivery))) => {
                    let missed = std::mem::take(&mut self.missed);
                    delivery.missed = (missed > 0).then(|| Missed::from_count(missed));
                    return Poll::Ready(Some(delivery));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Once per subscription; a stopped bus has forgotten it anyway.
        self.bus.do_send(Unsubscribe(self.id));
    }
}
