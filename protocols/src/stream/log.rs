//! What is held of one sender's stream: a gapless part, what arrived ahead of it, and its clock.

use std::collections::{BTreeMap, VecDeque};

use quorate_membership::Seq;

use super::Frame;

/// Frames that may lie ahead of a hole; a correct sender's window keeps it below this.
const AHEAD_FRAMES_MAX: usize = 65_536;

/// One sender's frames.
///
/// Invariant: `frames` holds exactly the positions after `freed` up to `received`.
#[derive(Clone, Debug, Default)]
pub(crate) struct SenderLog {
    freed: Seq,
    received: Seq,
    frames: VecDeque<Frame>,
    ahead: BTreeMap<Seq, Frame>,
    bytes: usize,
    /// The sender's clock as far as its frames have arrived without a gap.
    clock: u64,
    /// A clock that was announced together with frames that are still missing.
    announced: (Seq, u64),
}

impl SenderLog {
    pub(crate) const fn received(&self) -> Seq {
        self.received
    }

    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last frame forgotten.
    pub(crate) const fn freed(&self) -> Seq {
        self.freed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn has_hole(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes in a frame; false if it lies too far ahead.
    pub(crate) fn insert(&mut self, frame: Frame) -> bool {
        if frame.seq > self.received.next() {
            if self.ahead.len() >= AHEAD_FRAMES_MAX {
                return false;
            }
            self.ahead.insert(frame.seq, frame);
            return true;
        }
        if frame.seq == self.received.next() {
            self.append(frame);
            while let Some(frame) = self.ahead.remove(&self.received.next()) {
                self.append(frame);
            }
        }
        true
    }

    fn append(&mut self, frame: Frame) {
        self.received = frame.seq;
        self.clock = self.clock.max(frame.clock);
        self.bytes += frame.payload_bytes();
        self.frames.push_back(frame);
        if self.announced.0 <= self.received {
            self.clock = self.clock.max(self.announced.1);
        }
    }

    /// The sender's clock stood at `clock` when its last frame was `sent`.
    pub(crate) fn on_clock(&mut self, clock: u64, sent: Seq, ignore_gap: bool) {
        if sent <= self.received || ignore_gap {
            self.clock = self.clock.max(clock);
        } else if (sent, clock) > self.announced {
            self.announced = (sent, clock);
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Frame> {
        let index = seq.get().checked_sub(self.freed.get() + 1)?;
        self.frames.get(usize::try_from(index).ok()?)
    }

    /// Frames that are still here, from `from` through `through`.
    pub(crate) fn held(&self, from: Seq, through: Seq) -> impl Iterator<Item = &Frame> {
        let skip = from.get().saturating_sub(self.freed.get() + 1);
        let frames = self.frames.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        frames.take_while(move |frame| frame.seq <= through)
    }

    /// Forgets the oldest frames, through `through` at most, until `bytes` remain.
    pub(crate) fn shrink(&mut self, through: Seq, bytes: usize) {
        while self.bytes > bytes && self.freed < through {
            self.free(self.freed.next());
        }
    }

    /// Forgets everything up to and including `through`.
    pub(crate) fn free(&mut self, through: Seq) {
        while self.freed < through {
            let Some(frame) = self.frames.pop_front() else { break };
            self.freed = frame.seq;
            self.bytes -= frame.payload_bytes();
        }
    }
}
