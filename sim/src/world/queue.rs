//! What is going to happen, in order of time; at one moment in the order in which it was planned.

use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

use bytes::Bytes;
use quorate_membership::{Beat, Member, NodeId, Time, ViewId};
use quorate_protocols::{Message, RequestId};

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum What {
    /// A message of the group arrives.
    Arrive { from: Member, to: NodeId, message: Arc<Message> },
    /// A heartbeat arrives.
    Beat { from: Member, to: NodeId, beat: Beat },
    /// A moment comes that the group of this life asked for.
    Wake(Member),
    /// A moment comes that the failure detector of this life asked for.
    Look(Member),
    /// The application of a node sends.
    Submit(NodeId),
    /// The application answers a request.
    Answer { by: Member, request: RequestId, payload: Bytes },
    /// The application sends again what was lost, or something new.
    Again { by: Member, payload: Option<Bytes> },
    /// The application hands over its state.
    Snapshot { by: Member, view: ViewId, state: Bytes },
    /// A fault begins, or becomes armed.
    Begin(usize),
    /// A fault ends, or is disarmed.
    End(usize),
    /// What an aimed fault has struck heals.
    Heal(usize),
}

#[derive(Debug)]
struct Entry {
    at: Time,
    number: u64,
    what: What,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number)) // the heap's greatest is the earliest
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

/// A queue that the simulator owns alone, so that two runs of one seed cannot differ.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, what: What) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, what });
    }

    /// The next thing that happens no later than `until`.
    pub(super) fn pop(&mut self, until: Time) -> Option<(Time, What)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}
