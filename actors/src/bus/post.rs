//! What publishers on any thread leave for the bus actor, without waiting for it.
//!
//! Waking a thread costs as much as a thousand short messages. So whoever finds that nothing waits wakes the
//! actor, the others add to what it is about to take, and it takes all at once.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quorate_protocols::bus::Subject;
use tokio::sync::Notify;

use super::{Hosted, Publish, Request, routes::Remainder};

/// Bytes of letters that may wait. The actor takes all of them at once and gives nobody else a turn
/// meanwhile.
const LETTERS_BYTES_MAX: usize = 512 << 10;
/// What a letter costs beside its payload.
const LETTER_BYTES: usize = 64;

/// One thing that the bus actor is to see to.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A message that was acknowledged when it was put here: its subject's target said so.
    Letter(Subject, Bytes),
    Publish(Box<Publish>),
    Request(Box<Request>),
    /// Whoever has heard of it leaves messages behind it.
    Hosted(Hosted),
    /// What local subscribers lack of a message that others have got.
    Remainder(Box<Remainder>),
}

/// What became of a letter.
#[derive(Debug)]
pub(super) enum Posted {
    /// So many parcels have been put in, this one included: [`Post::seen`].
    Taken(u64),
    /// As much waits as may: [`Post::eased`].
    Full,
    /// The bus has ended.
    Closed,
}

/// Parcels from publishers on any thread.
#[derive(Debug, Default)]
pub(super) struct Post {
    state: Mutex<State>,
    /// Parcels that were ever put in.
    put: AtomicU64,
    /// Of these, how many the actor has seen to.
    seen: AtomicU64,
    eased: Notify,
    progressed: Notify,
}

#[derive(Debug, Default)]
struct State {
    parcels: Vec<Parcel>,
    letter_bytes: usize,
    closed: bool,
}

impl Post {
    // No code that runs under the lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the actor has seen to all that was put in before: what is handed on without it from here on
    /// overtakes nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.has_seen(self.put.load(Ordering::Acquire))
    }

    /// Puts in a letter if there is room, and calls the actor if it is the first of those that wait.
    pub(super) fn put_letter(&self, subject: &Subject, payload: &Bytes, call: impl FnOnce()) -> Posted {
        let mut state = self.lock();
        if state.letter_bytes > 0 && state.letter_bytes + LETTER_BYTES + payload.len() > LETTERS_BYTES_MAX {
            return Posted::Full;
        }
        let letter = Parcel::Letter(subject.clone(), payload.clone());
        let Some(number) = self.put_into(&mut state, letter, call) else { return Posted::Closed };
        state.letter_bytes += LETTER_BYTES + payload.len();
        Posted::Taken(number)
    }

    /// Puts in what is bounded otherwise: by its publisher's room for messages in flight. Once the bus has
    /// ended it is dropped, which tells whoever waits.
    pub(super) fn put(&self, parcel: Parcel, call: impl FnOnce()) {
        self.put_into(&mut self.lock(), parcel, call);
    }

    fn put_into(&self, state: &mut State, parcel: Parcel, call: impl FnOnce()) -> Option<u64> {
        if state.closed {
            return None;
        }
        let number = self.put.fetch_add(1, Ordering::AcqRel) + 1;
        state.parcels.push(parcel);
        // Under the lock: whatever anybody who comes later sends to the actor's mailbox stands behind the call.
        if state.parcels.len() == 1 {
            call();
        }
        Some(number)
    }

    /// Waits until the actor has taken what waits, or the bus has ended.
    pub(super) async fn eased(&self) {
        loop {
            let eased = self.eased.notified();
            if self.has_eased() {
                return;
            }
            eased.await;
        }
    }

    fn has_eased(&self) -> bool {
        let state = self.lock();
        state.letter_bytes == 0 || state.closed
    }

    /// The actor takes all that waits, and gives an empty list for what comes next.
    pub(super) fn take(&self, empty: Vec<Parcel>) -> Vec<Parcel> {
        let mut state = self.lock();
        let was_empty = mem::replace(&mut state.letter_bytes, 0) == 0;
        let parcels = mem::replace(&mut state.parcels, empty);
        drop(state);
        if !was_empty {
            self.eased.notify_waiters();
        }
        parcels
    }

    /// The actor has seen to so many parcels more.
    pub(super) fn settle(&self, parcels: usize) {
        self.seen.fetch_add(parcels as u64, Ordering::AcqRel);
        self.progressed.notify_waiters();
    }

    fn has_seen(&self, number: u64) -> bool {
        self.seen.load(Ordering::Acquire) >= number
    }

    /// Waits until the actor has seen to so many parcels. Returns whether it has: the bus may have ended.
    pub(super) async fn seen(&self, number: u64) -> bool {
        loop {
            let progressed = self.progressed.notified();
            if self.has_seen(number) {
                return true;
            }
            if self.lock().closed {
                return false;
            }
            progressed.await;
        }
    }

    /// Takes nothing any more, and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let parcels = mem::take(&mut state.parcels);
        drop(state);
        self.eased.notify_waiters();
        self.progressed.notify_waiters();
        drop(parcels); // and tells those who wait
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    fn subject() -> Subject {
        "a.b".parse().unwrap()
    }

    fn put(post: &Post, bytes: usize, calls: &Cell<usize>) -> Posted {
        post.put_letter(&subject(), &vec![0; bytes].into(), || calls.set(calls.get() + 1))
    }

    #[test]
    fn the_actor_is_called_once_for_all_that_waits_and_again_for_what_comes_after() {
        let (post, calls) = (Post::default(), Cell::new(0));
        for _ in 0..3 {
            assert!(matches!(put(&post, 1, &calls), Posted::Taken(_)));
        }
        assert!(!post.is_settled());
        assert_eq!((post.take(Vec::new()).len(), calls.get()), (3, 1));
        assert!(!post.is_settled(), "they were taken, but not seen to");
        let mut third = Box::pin(post.seen(3));
        assert_eq!((&mut third).now_or_never(), None);
        post.settle(3);
        assert!(post.is_settled() && third.now_or_never() == Some(true));
        assert!(matches!(put(&post, 1, &calls), Posted::Taken(_)));
        assert_eq!((post.take(Vec::new()).len(), calls.get()), (1, 2));
    }

    #[actix::test]
    async fn letters_are_bounded_and_a_long_one_passes_alone() {
        let (post, calls) = (Post::default(), Cell::new(0));
        assert!(matches!(put(&post, LETTERS_BYTES_MAX * 2, &calls), Posted::Taken(_)));
        assert!(matches!(put(&post, 0, &calls), Posted::Full));
        let mut eased = Box::pin(post.eased());
        assert!((&mut eased).now_or_never().is_none());
        let taken = post.take(Vec::new());
        eased.await;
        let count =
            std::iter::from_fn(|| matches!(put(&post, 0, &calls), Posted::Taken(_)).then_some(())).count();
        assert_eq!((taken.len(), count), (1, LETTERS_BYTES_MAX / LETTER_BYTES));
    }

    #[actix::test]
    async fn after_the_end_nothing_is_taken_and_nobody_waits() {
        let (post, calls) = (Post::default(), Cell::new(0));
        assert!(matches!(put(&post, 1, &calls), Posted::Taken(_)));
        let mut seen = Box::pin(post.seen(1));
        assert_eq!((&mut seen).now_or_never(), None);
        post.close();
        assert!(!seen.await, "nobody has seen to it");
        post.eased().await;
        assert!(matches!(put(&post, 1, &calls), Posted::Closed));
        assert!(post.take(Vec::new()).is_empty());
    }
}
