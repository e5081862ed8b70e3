//! What is going to happen, in order of time; at one moment in the order in which it was planned.

use std::{cmp::Ordering, collections::BinaryHeap};

use quorate_membership::Time;

#[derive(Debug)]
struct Entry<W> {
    at: Time,
    number: u64,
    what: W,
}

impl<W> Ord for Entry<W> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number)) // the heap's greatest is the earliest
    }
}

impl<W> PartialOrd for Entry<W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<W> PartialEq for Entry<W> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<W> Eq for Entry<W> {}

/// A queue that the simulator owns alone, so that two runs of one seed cannot differ.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    heap: BinaryHeap<Entry<W>>,
    number: u64,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), number: 0 }
    }
}

impl<W> Queue<W> {
    pub(crate) fn push(&mut self, at: Time, what: W) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, what });
    }

    /// The next thing that happens no later than `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, W)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}
