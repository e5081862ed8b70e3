//! A bounded queue between an actor that must not wait and a reader that may be slow.
//!
//! The writer never waits: what does not fit is left out and counted, at the very place where it
//! is missing, or stays with the writer until the reader has made room. So a slow reader holds up
//! nobody else.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::Stream;

/// Something that was taken out of a queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Slot<T> {
    /// An item.
    Item(T),
    /// So many items are missing here.
    Missed(u64),
}

type OnRoom = Box<dyn Fn() + Send>;

struct State<T> {
    /// Each with the items and the bytes that it counts for.
    slots: VecDeque<(Slot<T>, usize, usize)>,
    items: usize,
    items_max: usize,
    bytes_max: usize,
    bytes: usize,
    reader: Option<Waker>,
    /// Whether the writer wants to be told of room.
    starved: bool,
    /// Whether the writer keeps items that come before what others offer.
    backlog: bool,
    on_room: Vec<OnRoom>,
    ended: bool,
    abandoned: bool,
}

/// The end that an actor writes to. Dropping it ends the stream after what it holds.
pub(crate) struct Feed<T>(Arc<Mutex<State<T>>>);

/// The end that is read. What it has in its hand, up to a sixteenth of what may wait beside one slot, waits no longer.
pub(crate) struct Reader<T> {
    shared: Arc<Mutex<State<T>>>,
    hand: VecDeque<Slot<T>>,
}

/// What became of an offer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Offer<T> {
    /// It waits for the reader.
    Taken,
    /// There is no room; here it is again.
    Full(T),
    /// Nobody reads any more.
    Abandoned,
}

/// What became of many offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offered {
    /// How many items did not fit.
    pub(crate) left_out: u64,
    /// Whether the reader goes on.
    pub(crate) goes_on: bool,
}

/// Makes a queue for so many items of so many bytes together, besides one item that alone is larger.
pub(crate) fn queue<T>(items_max: usize, bytes_max: usize) -> (Feed<T>, Reader<T>) {
    let state = State {
        slots: VecDeque::new(),
        items: 0,
        items_max: items_max.max(1),
        bytes_max,
        bytes: 0,
        reader: None,
        starved: false,
        backlog: false,
        on_room: Vec::new(),
        ended: false,
        abandoned: false,
    };
    let shared = Arc::new(Mutex::new(state));
    (Feed(Arc::clone(&shared)), Reader { shared, hand: VecDeque::new() })
}

// No code that runs under the lock panics half-way, so a poisoned state is a whole one.
fn lock<T>(shared: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> State<T> {
    fn push(&mut self, slot: Slot<T>, items: usize, bytes: usize) -> Option<Waker> {
        self.items += items;
        self.bytes += bytes;
        self.slots.push_back((slot, items, bytes));
        self.reader.take()
    }

    fn miss(&mut self, count: u64) -> Option<Waker> {
        if let Some((Slot::Missed(missed), ..)) = self.slots.back_mut() {
            *missed = missed.saturating_add(count);
            return None;
        }
        self.push(Slot::Missed(count), 1, 0)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.slots.is_empty() || self.items < self.items_max && self.bytes + bytes <= self.bytes_max
    }

    fn has_room_for_all(&self, items: usize, bytes: usize) -> bool {
        self.items + items <= self.items_max && self.bytes + bytes <= self.bytes_max
    }
}

impl<T> Feed<T> {
    /// Offers an item of so many bytes. If there is no room, the writer is told once there is.
    pub(crate) fn offer(&self, item: T, bytes: usize) -> Offer<T> {
        Self::put(lock(&self.0), item, bytes)
    }

    /// The same for somebody beside the writer: there is no room while the writer has a backlog.
    pub(crate) fn offer_beside(&self, item: T, bytes: usize) -> Offer<T> {
        let state = lock(&self.0);
        if state.backlog && !state.abandoned { Offer::Full(item) } else { Self::put(state, item, bytes) }
    }

    /// The writer keeps items of its own that come next, or no longer does.
    pub(crate) fn set_backlog(&self, waits: bool) {
        lock(&self.0).backlog = waits;
    }

    fn put(mut state: MutexGuard<'_, State<T>>, item: T, bytes: usize) -> Offer<T> {
        if state.abandoned {
            return Offer::Abandoned;
        }
        if !state.has_room(bytes) {
            state.starved = true;
            return Offer::Full(item);
        }
        let waker = state.push(Slot::Item(item), 1, bytes);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Offer::Taken
    }

    /// Offers items, oldest first, and returns the first for which there is no room.
    pub(crate) fn offer_run(
        &self,
        items: impl Iterator<Item = T>,
        bytes_of: impl Fn(&T) -> usize,
    ) -> Option<T> {
        let mut state = lock(&self.0);
        let (mut waker, mut lacking) = (None, None);
        for item in items {
            if state.abandoned {
                continue;
            }
            let bytes = bytes_of(&item);
            if !state.has_room(bytes) {
                state.starved = true;
                lacking = Some(item);
                break;
            }
            waker = state.push(Slot::Item(item), 1, bytes).or(waker);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        lacking
    }

    /// Offers items of so many bytes each, in their order. What does not fit is left out: it is counted at
    /// its place if the reader goes on with a gap, and else all that follows is left out, too.
    pub(crate) fn offer_all(&self, items: impl IntoIterator<Item = (T, usize)>, with_gaps: bool) -> Offered {
        let mut state = lock(&self.0);
        let (mut left_out, mut waker) = (0, None);
        for (item, bytes) in items {
            if state.abandoned {
                return Offered { left_out, goes_on: false };
            }
            if state.has_room(bytes) {
                waker = state.push(Slot::Item(item), 1, bytes).or(waker);
                continue;
            }
            state.starved = true;
            left_out += 1;
            if !with_gaps {
                break;
            }
            waker = state.miss(1).or(waker);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Offered { left_out, goes_on: with_gaps || left_out == 0 }
    }

    /// Offers something that stands for so many items of so many bytes together, all or nothing. Unlike a
    /// single item it never exceeds the bounds.
    pub(crate) fn offer_many(&self, item: T, items: usize, bytes: usize) -> Offer<T> {
        let mut state = lock(&self.0);
        if state.abandoned {
            return Offer::Abandoned;
        }
        if !state.has_room_for_all(items, bytes) {
            return Offer::Full(item);
        }
        let waker = state.push(Slot::Item(item), items, bytes);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Offer::Taken
    }

    /// Notes that `count` items are missing at this place; takes no room worth counting.
    pub(crate) fn skip(&self, count: u64) {
        let waker = lock(&self.0).miss(count);
        waker.into_iter().for_each(Waker::wake);
    }

    /// What to call, besides what was named before, once there is room after an offer that found
    /// none, and once nobody reads any more. It must not use the queue.
    pub(crate) fn on_room(&self, call: impl Fn() + Send + 'static) {
        lock(&self.0).on_room.push(Box::new(call));
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.0).abandoned
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.ended = true;
        state.on_room = Vec::new();
        let waker = state.reader.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Reader<T> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Slot<T>>> {
        if let Some(slot) = self.hand.pop_front() {
            return Poll::Ready(Some(slot));
        }
        let mut state = lock(&self.shared);
        let Some((slot, items, bytes)) = state.slots.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.items -= items;
        state.bytes -= bytes;
        let (mut items_more, mut bytes_more) = (state.items_max / 16, state.bytes_max / 16);
        while let Some((_, items, bytes)) = state.slots.front()
            && *items < items_more
            && *bytes <= bytes_more
            && let Some((slot, items, bytes)) = state.slots.pop_front()
        {
            items_more -= items;
            bytes_more -= bytes;
            state.items -= items;
            state.bytes -= bytes;
            self.hand.push_back(slot);
        }
        // Half empty: waking the writer for each item would cost more than the item.
        if state.starved && state.items <= state.items_max / 2 && state.bytes <= state.bytes_max / 2 {
            state.starved = false;
            state.on_room.iter().for_each(|call| call());
        }
        Poll::Ready(Some(slot))
    }
}

// Nothing in it is pinned.
impl<T> Unpin for Reader<T> {}

impl<T> Stream for Reader<T> {
    type Item = Slot<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Slot<T>>> {
        self.poll(cx)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.abandoned = true;
        let (slots, on_room) = (std::mem::take(&mut state.slots), std::mem::take(&mut state.on_room));
        // The writer forgets this reader when it looks; what waits is freed at once.
        drop(state);
        drop(slots);
        for call in on_room {
            call();
        }
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;

    use super::*;

    const BYTES_MAX: usize = 1000;

    #[actix::test]
    async fn what_is_left_out_is_counted_where_it_is_missing() {
        let (feed, mut reader) = queue(2, BYTES_MAX);
        assert_eq!(feed.offer('a', 1), Offer::Taken);
        assert_eq!(feed.offer('b', 1), Offer::Taken);
        assert_eq!(feed.offer('c', 1), Offer::Full('c'));
        feed.skip(1);
        feed.skip(1);
        assert_eq!(reader.next().await, Some(Slot::Item('a')));
        assert_eq!(reader.next().await, Some(Slot::Item('b')));
        assert_eq!(feed.offer('e', 1), Offer::Taken);
        drop(feed);
        assert_eq!(reader.next().await, Some(Slot::Missed(2)));
        assert_eq!(reader.next().await, Some(Slot::Item('e')));
        assert_eq!(reader.next().await, None);
    }

    #[actix::test]
    async fn a_writer_that_found_no_room_is_told_once_of_room() {
        let (feed, mut reader) = queue(4, BYTES_MAX);
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        feed.on_room(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        for item in 0..4 {
            assert_eq!(feed.offer(item, 1), Offer::Taken);
        }
        assert_eq!(feed.offer(4, 1), Offer::Full(4));
        for _ in 0..4 {
            reader.next().await;
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[actix::test]
    async fn what_the_writer_keeps_comes_before_what_others_offer() {
        let (feed, mut reader) = queue(1, BYTES_MAX);
        assert_eq!(feed.offer_beside('a', 1), Offer::Taken);
        assert_eq!(feed.offer('b', 1), Offer::Full('b'));
        feed.set_backlog(true);
        assert_eq!(reader.next().await, Some(Slot::Item('a')));
        assert_eq!(feed.offer_beside('c', 1), Offer::Full('c'));
        assert_eq!(feed.offer('b', 1), Offer::Taken);
        feed.set_backlog(false);
        assert_eq!(reader.next().await, Some(Slot::Item('b')));
        assert_eq!(feed.offer_beside('c', 1), Offer::Taken);
    }

    #[test]
    fn one_item_larger_than_the_bound_passes_alone() {
        let (feed, reader) = queue(4, BYTES_MAX);
        assert_eq!(feed.offer((), BYTES_MAX + 1), Offer::Taken);
        assert_eq!(feed.offer((), 1), Offer::Full(()));
        drop(reader);
        assert_eq!(feed.offer((), 1), Offer::Abandoned);
        assert!(feed.is_abandoned());
    }

    #[actix::test]
    async fn of_many_offers_each_gap_is_counted_at_its_place_or_ends_what_is_taken() {
        let items = || [(1, 10), (2, 30), (3, 30), (4, 10)];
        let (feed, mut reader) = queue(10, 50);
        assert_eq!(feed.offer_all(items(), true), Offered { left_out: 1, goes_on: true });
        for slot in [Slot::Item(1), Slot::Item(2), Slot::Missed(1), Slot::Item(4)] {
            assert_eq!(reader.next().await, Some(slot));
        }
        assert_eq!(feed.offer_all(items(), false), Offered { left_out: 1, goes_on: false });
        for slot in [Slot::Item(1), Slot::Item(2)] {
            assert_eq!(reader.next().await, Some(slot));
        }
        drop(reader);
        assert_eq!(feed.offer_all(items(), true), Offered { left_out: 0, goes_on: false });
    }

    #[actix::test]
    async fn what_stands_for_several_items_counts_for_each_and_is_taken_whole_or_not_at_all() {
        let (feed, mut reader) = queue(4, BYTES_MAX);
        assert_eq!(feed.offer_many("three", 3, 30), Offer::Taken);
        assert_eq!(feed.offer_many("two", 2, 20), Offer::Full("two"));
        assert_eq!(feed.offer("one", 10), Offer::Taken);
        assert_eq!(feed.offer("none", 10), Offer::Full("none"));
        assert_eq!(reader.next().await, Some(Slot::Item("three")));
        assert_eq!(feed.offer_many("too long", 3, BYTES_MAX), Offer::Full("too long"));
        assert_eq!(feed.offer_many("three more", 3, 30), Offer::Taken);
        assert_eq!(feed.offer_many("one too many", 1, 0), Offer::Full("one too many"));
        drop(reader);
        assert_eq!(feed.offer_many("nobody", 1, 0), Offer::Abandoned);
    }
}
