//! Datagrams that wait, the oldest giving way.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// The most bytes of a datagram: what every network carries in one packet, so that an application
/// that works over this transport works over QUIC as well.
pub(super) const DATAGRAM_BYTES_MAX: usize = 1200;

/// What a datagram counts besides its bytes, so that empty ones are bounded too.
const EACH_BYTES: usize = 64;

/// A queue bounded in bytes. When it is full the oldest are dropped: the newest say most.
#[derive(Debug)]
pub(super) struct DatagramQueue {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<Bytes>,
    bytes: usize,
}

impl DatagramQueue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, waiting: Mutex::default(), arrived: Notify::new() }
    }

    pub(super) fn push(&self, datagram: Bytes) {
        let mut waiting = self.lock();
        waiting.bytes += datagram.len() + EACH_BYTES;
        waiting.datagrams.push_back(datagram);
        while waiting.bytes > self.bytes_max
            && waiting.datagrams.len() > 1
            && let Some(oldest) = waiting.datagrams.pop_front()
        {
            waiting.bytes -= oldest.len() + EACH_BYTES;
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let datagram = waiting.datagrams.pop_front()?;
        waiting.bytes -= datagram.len() + EACH_BYTES;
        Some(datagram)
    }

    /// Waits for the oldest.
    pub(super) async fn next(&self) -> Bytes {
        loop {
            let arrived = self.arrived.notified();
            if let Some(datagram) = self.pop() {
                // Others may be there for others who wait: one notification is kept, not many.
                self.arrived.notify_one();
                return datagram;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way() {
        let queue = DatagramQueue::new(3 * (1 + EACH_BYTES));
        for text in ["a", "b", "c", "d"] {
            queue.push(text.into());
        }
        assert_eq!(queue.pop(), Some("b".into()));
        queue.push("e".into());
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, ["c", "d", "e"]);
        assert_eq!(queue.lock().bytes, 0);
    }
}
