//! What publishers on any thread leave for the bus actor, without waiting for it.
//!
//! Waking a thread costs as much as a thousand short messages. So whoever finds that nothing waits wakes the
//! actor, the others add to what it is about to take, and it takes all at once.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quorate_protocols::bus::Subject;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError};

use super::{Hosted, Publish, Request, routes::Remainder};

/// Bytes of letters that may wait.
const LETTERS_BYTES_MAX: usize = 512 << 10;
/// Parcels that the actor takes at once: nobody else on its thread has a turn meanwhile.
const TAKEN_MAX: usize = 8192;
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
    /// As much waits as may: [`Post::place`].
    Full,
    /// The bus has ended.
    Closed,
}

/// Parcels from publishers on any thread.
#[derive(Debug)]
pub(super) struct Post {
    state: Mutex<State>,
    /// Places for letters, in bytes. They are given out in the order in which they were asked for.
    places: Semaphore,
    /// Parcels that were ever put in.
    put: AtomicU64,
    /// Of these, how many the actor has seen to.
    seen: AtomicU64,
    progressed: Notify,
}

/// Room for one letter.
pub(super) type LetterPlace<'a> = SemaphorePermit<'a>;

#[derive(Debug, Default)]
struct State {
    parcels: VecDeque<Parcel>,
    /// Nothing is put in any more.
    shut: bool,
    /// Nor does anybody see to what is left.
    closed: bool,
}

/// What a letter counts for; one that alone is larger than what may wait, for all of it.
fn weight(payload: &Bytes) -> usize {
    (LETTER_BYTES + payload.len()).min(LETTERS_BYTES_MAX)
}

impl Default for Post {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            places: Semaphore::new(LETTERS_BYTES_MAX),
            put: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            progressed: Notify::new(),
        }
    }
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

    /// Puts in a letter, in its place or if there is room, and calls the actor if it is the first of those that
    /// wait.
    pub(super) fn put_letter(
        &self,
        subject: &Subject,
        payload: &Bytes,
        place: Option<LetterPlace<'_>>,
        call: impl FnOnce(),
    ) -> Posted {
        let place = match place.map_or_else(|| self.places.try_acquire_many(weight(payload) as u32), Ok) {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => return Posted::Full,
            Err(TryAcquireError::Closed) => return Posted::Closed,
        };
        let letter = Parcel::Letter(subject.clone(), payload.clone());
        let Some(number) = self.put_into(&mut self.lock(), letter, call) else { return Posted::Closed };
        place.forget(); // until the actor takes the letter
        Posted::Taken(number)
    }

    /// Waits for a place, behind whoever waits already; `None` once the bus has ended.
    pub(super) async fn place(&self, payload: &Bytes) -> Option<LetterPlace<'_>> {
        self.places.acquire_many(weight(payload) as u32).await.ok()
    }

    /// Puts in what is bounded otherwise: by its publisher's room for messages in flight. Once the bus has
    /// ended it is dropped, which tells whoever waits.
    pub(super) fn put(&self, parcel: Parcel, call: impl FnOnce()) {
        self.put_into(&mut self.lock(), parcel, call);
    }

    fn put_into(&self, state: &mut State, parcel: Parcel, call: impl FnOnce()) -> Option<u64> {
        if state.shut {
            return None;
        }
        let number = self.put.fetch_add(1, Ordering::AcqRel) + 1;
        state.parcels.push_back(parcel);
        // Under the lock: whatever anybody who comes later sends to the actor's mailbox stands behind the call.
        if state.parcels.len() == 1 {
            call();
        }
        Some(number)
    }

    /// The actor takes what waits, oldest first, but not too much at once: then `call` calls it again.
    pub(super) fn take(&self, into: &mut Vec<Parcel>, call: impl FnOnce()) {
        let mut state = self.lock();
        let count = state.parcels.len().min(TAKEN_MAX);
        into.extend(state.parcels.drain(..count));
        if !state.parcels.is_empty() {
            call();
        }
        drop(state);
        let letters =
            into.iter().filter_map(|it| if let Parcel::Letter(_, it) = it { Some(it) } else { None });
        self.places.add_permits(letters.map(weight).sum());
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

    /// Takes nothing any more. What waits is still to be seen to.
    pub(super) fn shut(&self) {
        self.lock().shut = true;
        self.places.close();
    }

    /// Takes nothing any more, and drops what waits.
    pub(super) fn close(&self) {
        self.shut();
        let mut state = self.lock();
        state.closed = true;
        let parcels = mem::take(&mut state.parcels);
        drop(state);
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
        post.put_letter(&subject(), &vec![0; bytes].into(), None, || calls.set(calls.get() + 1))
    }

    fn take(post: &Post, calls: &Cell<usize>) -> usize {
        let mut taken = Vec::new();
        post.take(&mut taken, || calls.set(calls.get() + 1));
        taken.len()
    }

    #[test]
    fn the_actor_is_called_once_for_all_that_waits_and_again_for_what_comes_after() {
        let (post, calls) = (Post::default(), Cell::new(0));
        for _ in 0..3 {
            assert!(matches!(put(&post, 1, &calls), Posted::Taken(_)));
        }
        assert!(!post.is_settled());
        assert_eq!((take(&post, &calls), calls.get()), (3, 1));
        assert!(!post.is_settled(), "they were taken, but not seen to");
        let mut third = Box::pin(post.seen(3));
        assert_eq!((&mut third).now_or_never(), None);
        post.settle(3);
        assert!(post.is_settled() && third.now_or_never() == Some(true));
        assert!(matches!(put(&post, 1, &calls), Posted::Taken(_)));
        assert_eq!((take(&post, &calls), calls.get()), (1, 2));
    }

    #[test]
    fn of_much_that_waits_a_part_is_taken_at_a_time_and_the_actor_called_for_the_rest() {
        let (post, calls) = (Post::default(), Cell::new(0));
        for number in 0..=TAKEN_MAX {
            let (done, _) = tokio::sync::oneshot::channel();
            let (subject, payload) = (subject(), number.to_string().into());
            let request = Request { subject, payload, done, held: None };
            post.put(Parcel::Request(request.into()), || calls.set(calls.get() + 1));
        }
        assert_eq!((take(&post, &calls), calls.get()), (TAKEN_MAX, 2));
        assert_eq!((take(&post, &calls), calls.get()), (1, 2));
    }

    #[actix::test]
    async fn letters_are_bounded_a_long_one_passes_alone_and_who_waits_comes_first() {
        let (post, calls) = (Post::default(), Cell::new(0));
        assert!(matches!(put(&post, LETTERS_BYTES_MAX * 2, &calls), Posted::Taken(_)));
        assert!(matches!(put(&post, 0, &calls), Posted::Full));
        let payload = Bytes::from(vec![0; LETTERS_BYTES_MAX - LETTER_BYTES]);
        let mut place = Box::pin(post.place(&payload));
        assert!((&mut place).now_or_never().is_none());
        assert_eq!(take(&post, &calls), 1);
        assert!(matches!(put(&post, 0, &calls), Posted::Full), "somebody has waited");
        let place = place.await;
        let posted = post.put_letter(&subject(), &payload, place, || ());
        assert!(matches!(posted, Posted::Taken(2)));
        assert_eq!(take(&post, &calls), 1);
        let fits = || matches!(put(&post, 0, &calls), Posted::Taken(_)).then_some(());
        assert_eq!(std::iter::from_fn(fits).count(), LETTERS_BYTES_MAX / LETTER_BYTES);
    }

    #[actix::test]
    async fn after_the_end_nothing_is_taken_and_nobody_waits() {
        let (post, calls) = (Post::default(), Cell::new(0));
        assert!(matches!(put(&post, LETTERS_BYTES_MAX, &calls), Posted::Taken(1)));
        let payload = Bytes::new();
        let (mut seen, mut place) = (Box::pin(post.seen(1)), Box::pin(post.place(&payload)));
        assert!((&mut seen).now_or_never().is_none() && (&mut place).now_or_never().is_none());
        post.shut();
        assert_eq!((&mut seen).now_or_never(), None, "somebody may see to it yet");
        post.close();
        assert!(!seen.await, "nobody has seen to it");
        assert!(place.await.is_none());
        assert!(matches!(put(&post, 1, &calls), Posted::Closed));
        assert_eq!(take(&post, &calls), 0);
    }
}
