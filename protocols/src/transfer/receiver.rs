//! The receiving end: asks for the next part, puts parts in order, and knows when all is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{Member, NodeId, Time, ViewId};
use xxhash_rust::xxh3::Xxh3Default;

use super::Chunk;

/// Chunks that are on the way at once.
const CHUNKS_IN_FLIGHT: u64 = 4;
/// Doublings of the pause between questions that stay unanswered, once every donor had its turn.
const PAUSE_DOUBLINGS_MAX: u32 = 5;
/// Questions to a donor that is silent, about, before the next one has its turn.
const QUESTIONS_EACH: u32 = 4;
/// Chunks that are kept because they came before the one that is due; a donor may send shorter ones.
const AHEAD_CHUNKS_MAX: usize = 1024;

/// A question to a donor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Want {
    pub(crate) donor: Member,
    pub(crate) offset: u64,
    pub(crate) credit: u64,
}

/// What the application has to do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Forget what came so far; so many bytes will come.
    Begin(u64),
    /// The next bytes.
    Bytes(Bytes),
    /// That was all, and it is intact.
    End,
}

/// The digest of what was handed over so far.
struct Digest(Xxh3Default);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.digest())
    }
}

/// A snapshot that is being received. While there is one the state is incomplete.
///
/// Invariants: (R1) `received` bytes of one and the same snapshot were handed over, in order;
/// (R2) everything in `ahead` begins after `received` and within the credit, there is no more of it than
/// two credits and [`AHEAD_CHUNKS_MAX`] chunks, whatever a donor sends, and `ahead_bytes` counts it.
#[derive(Debug)]
pub(crate) struct Receiver {
    snapshot: ViewId,
    donors: Vec<Member>,
    chunk_bytes: u64,
    /// Length and digest of the snapshot that is being received.
    expected: Option<(u64, u64)>,
    received: u64,
    digest: Digest,
    ahead: BTreeMap<u64, Bytes>,
    ahead_bytes: u64,
    asked: u64,
    progress_at: Time,
    asked_at: Option<Time>,
    /// When the donor had its turn.
    turn_at: Time,
    /// Questions since anything came.
    unanswered: u32,
    /// Donors that were asked since then.
    silent: BTreeSet<NodeId>,
}

impl Receiver {
    pub(crate) fn new(now: Time, snapshot: ViewId, donors: Vec<Member>, chunk_bytes: usize) -> Self {
        Self {
            snapshot,
            donors,
            chunk_bytes: chunk_bytes.max(1) as u64,
            expected: None,
            received: 0,
            digest: Digest(Xxh3Default::new()),
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            asked: 0,
            progress_at: now,
            asked_at: None,
            turn_at: now,
            unanswered: 0,
            silent: BTreeSet::new(),
        }
    }

    pub(crate) const fn snapshot(&self) -> ViewId {
        self.snapshot
    }

    /// Whom it asks now; `None` if nobody is left.
    pub(crate) fn donor(&self) -> Option<Member> {
        self.donors.first().copied()
    }

    /// Bytes handed over so far, and bytes of the whole as far as it is known.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.received, self.expected.map(|(length, _)| length))
    }

    /// Donors that were asked, and have sent nothing and refused nothing.
    pub(crate) fn silent(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.silent.iter().copied()
    }

    /// When it asks next, if it has asked and nothing comes.
    pub(crate) fn asks_at(&self, patience: Duration) -> Option<Time> {
        self.asked_at.map(|at| at.max(self.progress_at) + self.pause(patience))
    }

    const fn credit(&self) -> u64 {
        self.chunk_bytes * CHUNKS_IN_FLIGHT
    }

    /// Asks from the first missing byte on.
    pub(crate) fn want(&mut self) -> Option<Want> {
        let donor = self.donor()?;
        self.asked = self.received + self.credit();
        Some(Want { donor, offset: self.received, credit: self.credit() })
    }

    /// Asks again when nothing came for a part of `patience`, and another donor when nothing came
    /// for all of it. Once all of them had their turn in vain the pauses double, up to a bound.
    pub(crate) fn tick(&mut self, now: Time, patience: Duration) -> Option<Want> {
        if self.asks_at(patience).is_some_and(|at| now < at) {
            return None;
        }
        if now.since(self.progress_at.max(self.turn_at)) >= patience && !self.donors.is_empty() {
            self.donors.rotate_left(1);
            self.turn_at = now;
        }
        let donor = self.donor()?;
        self.asked_at = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.silent.insert(donor.node);
        self.want()
    }

    fn pause(&self, patience: Duration) -> Duration {
        let doublings = self.unanswered.saturating_sub(self.first_round()).min(PAUSE_DOUBLINGS_MAX);
        patience / QUESTIONS_EACH * (1 << doublings)
    }

    /// Questions until every donor had its turn.
    fn first_round(&self) -> u32 {
        u32::try_from(self.donors.len()).unwrap_or(u32::MAX).saturating_mul(QUESTIONS_EACH)
    }

    fn note_progress(&mut self, now: Time) {
        self.progress_at = now;
        self.unanswered = 0;
        self.silent.clear();
    }

    /// A view has begun: whoever was silent may have something now.
    pub(crate) fn ask_sooner(&mut self) {
        self.unanswered = 0;
    }

    /// What came is of no use any more: nobody is asked, and nobody is believed.
    pub(crate) fn give_up(&mut self) {
        self.donors.clear();
    }

    /// This donor does not have the snapshot, or is gone. Returns whether there is another.
    pub(crate) fn strike(&mut self, donor: Member) -> bool {
        self.silent.remove(&donor.node);
        self.donors.retain(|member| *member != donor);
        !self.donors.is_empty()
    }

    /// Whether the snapshot may come from this member.
    pub(crate) fn trusts(&self, donor: Member) -> bool {
        self.donors.contains(&donor)
    }

    /// Keeps only donors that are there still. Returns whether there is one.
    pub(crate) fn keep(&mut self, here: impl Fn(&Member) -> bool) -> bool {
        self.donors.retain(here);
        !self.donors.is_empty()
    }

    /// Takes a chunk in. What is damaged, stale or too far ahead is dropped, and asked for again.
    pub(crate) fn accept(&mut self, now: Time, from: Member, chunk: Chunk) -> (Vec<Step>, Option<Want>) {
        let mut steps = Vec::new();
        let label = chunk.label;
        if self.expected.is_none()
            && self.unanswered > self.first_round()
            && let Some(place) = self.donors.iter().position(|donor| *donor == from)
        {
            self.donors.rotate_left(place); // nobody had it for long, and this one offers it
        }
        if self.donor() != Some(from) || label.snapshot != self.snapshot || !chunk.is_intact() {
            return (steps, None);
        }
        if self.expected != Some((label.length, label.digest)) {
            self.start_over(label.length, label.digest);
            self.note_progress(now);
            steps.push(Step::Begin(label.length));
            // What came before it was of another snapshot, or this is no more than an offer.
            if label.offset > 0 || chunk.bytes.is_empty() && label.length > 0 {
                return (steps, self.want());
            }
        }
        if label.offset > self.received + self.credit() {
            return (steps, None);
        }
        if !self.keep_ahead(label.offset, chunk.bytes) {
            return (steps, None);
        }
        let before = self.received;
        self.hand_over(&mut steps);
        if self.received > before {
            self.note_progress(now);
        }
        if self.received == label.length {
            if self.digest.0.digest() == label.digest {
                steps.push(Step::End);
                return (steps, None);
            }
            // The parts were intact and the whole is not: this donor's word is worth nothing.
            self.expected = None;
            self.strike(from);
            return (steps, self.want());
        }
        (steps, self.extend_credit())
    }

    fn start_over(&mut self, length: u64, digest: u64) {
        self.expected = Some((length, digest));
        (self.received, self.asked) = (0, self.credit());
        self.digest = Digest(Xxh3Default::new());
        self.ahead.clear();
        self.ahead_bytes = 0;
    }

    /// Keeps a chunk until it is its turn; false if so much is kept already that it is dropped.
    fn keep_ahead(&mut self, offset: u64, bytes: Bytes) -> bool {
        let due = offset <= self.received;
        let size = bytes.len() as u64;
        let room = self.ahead.len() < AHEAD_CHUNKS_MAX && self.ahead_bytes + size <= self.credit() * 2;
        if size > self.credit() || !(due || room) {
            return false;
        }
        self.ahead_bytes += size;
        if let Some(twin) = self.ahead.insert(offset, bytes) {
            self.ahead_bytes -= twin.len() as u64;
        }
        true
    }

    fn hand_over(&mut self, steps: &mut Vec<Step>) {
        while let Some(entry) = self.ahead.first_entry().filter(|e| *e.key() <= self.received) {
            let (offset, mut bytes) = entry.remove_entry();
            self.ahead_bytes -= bytes.len() as u64;
            let known = usize::try_from(self.received - offset).unwrap_or(usize::MAX);
            if known < bytes.len() {
                let bytes = bytes.split_off(known);
                self.digest.0.update(&bytes);
                self.received += bytes.len() as u64;
                steps.push(Step::Bytes(bytes));
            }
        }
    }

    /// Asks for the next part when half of what was asked for has come.
    fn extend_credit(&mut self) -> Option<Want> {
        let (donor, half) = (self.donor()?, self.credit() / 2);
        let length = self.expected.map_or(0, |(length, _)| length);
        if self.asked >= length || self.asked > self.received + half {
            return None;
        }
        let want = Want { donor, offset: self.asked, credit: half };
        self.asked += half;
        Some(want)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
