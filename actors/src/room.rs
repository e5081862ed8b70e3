//! Room for messages that are on their way, counted in bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a message costs beside its payload, so that many short ones are bounded as well.
pub(crate) const OVERHEAD_BYTES: usize = 256;

/// A part of a room. It is given back when this is dropped.
pub(crate) type Held = OwnedSemaphorePermit;

/// Bytes that may be on their way. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes_max: u32,
}

impl Room {
    /// A room of so many bytes.
    pub(crate) fn new(bytes_max: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    /// Waits for room for a payload of so many bytes, in the order of these calls. One that is longer
    /// than the room waits until it has all of it.
    pub(crate) async fn take(&self, payload: usize) -> Option<Held> {
        // Nobody closes it.
        Arc::clone(&self.free).acquire_many_owned(self.wanted(payload)).await.ok()
    }

    /// Takes room for a payload of so many bytes, if there is any now.
    pub(crate) fn try_take(&self, payload: usize) -> Option<Held> {
        Arc::clone(&self.free).try_acquire_many_owned(self.wanted(payload)).ok()
    }

    const fn wanted(&self, payload: usize) -> u32 {
        let bytes = payload + OVERHEAD_BYTES;
        if bytes < self.bytes_max as usize { bytes as u32 } else { self.bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[actix::test]
    async fn short_messages_are_bounded_and_a_long_one_passes_alone() {
        let room = Room::new(1 << 10);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(room.take(0).await);
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut fifth = pin!(room.take(0));
        assert!(fifth.as_mut().poll(&mut context).is_pending());
        assert!(room.try_take(0).is_none());
        held.pop();
        assert!(fifth.as_mut().poll(&mut context).is_ready());
        drop(held);
        assert!(room.take(1 << 20).await.is_some());
    }
}
