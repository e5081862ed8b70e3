//! What is held of one sender's stream: a gapless part, what arrived ahead of it, and its clock.

use std::collections::{BTreeMap, VecDeque};

use quorate_membership::Seq;

use super::Frame;

/// Frames that may lie ahead of a hole; a correct sender's window keeps it below this.
const AHEAD_FRAMES_MAX: usize = 65_536;
/// Bytes of their payloads. What is dropped beyond it is fetched once the hole is closed.
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// One sender's frames.
///
/// Invariants: `frames` holds exactly the positions after `freed` up to `received`; `bytes` and
/// `ahead_bytes` count the payloads in `frames` and in `ahead`; `ends` has for each of `frames` the
/// bytes of all payloads up to its end, `freed_bytes` for those before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SenderLog {
    freed: Seq,
    received: Seq,
    frames: VecDeque<Frame>,
    ends: VecDeque<u64>,
    freed_bytes: u64,
    ahead: BTreeMap<Seq, Frame>,
    ahead_bytes: usize,
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

    /// The first and the last frame that are missing before the first one that has come ahead.
    pub(crate) fn hole(&self) -> Option<(Seq, Seq)> {
        let (ahead, _) = self.ahead.first_key_value()?;
        Some((self.received.next(), ahead.previous()))
    }

    /// Takes in a frame; false if so much lies ahead of a hole already that it is dropped.
    pub(crate) fn insert(&mut self, frame: Frame) -> bool {
        if frame.seq > self.received.next() {
            return self.insert_ahead(frame);
        }
        if frame.seq == self.received.next() {
            self.append(frame);
            while let Some(frame) = self.ahead.remove(&self.received.next()) {
                self.ahead_bytes -= frame.weight();
                self.append(frame);
            }
        }
        true
    }

    fn insert_ahead(&mut self, frame: Frame) -> bool {
        if self.ahead.contains_key(&frame.seq) {
            return true;
        }
        let bytes = self.ahead_bytes + frame.weight();
        if self.ahead.len() >= AHEAD_FRAMES_MAX || bytes > AHEAD_BYTES_MAX {
            return false;
        }
        self.ahead_bytes = bytes;
        self.ahead.insert(frame.seq, frame);
        true
    }

    /// Forgets what lies ahead of a hole: the view is closed, and its cut has no holes.
    pub(crate) fn drop_ahead(&mut self) {
        self.ahead.clear();
        self.ahead_bytes = 0;
    }

    fn append(&mut self, frame: Frame) {
        self.received = frame.seq;
        self.clock = self.clock.max(frame.clock);
        self.bytes += frame.weight();
        self.ends.push_back(self.freed_bytes + self.bytes as u64);
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

    /// Bytes of the frames that are still here, after `received` and not after `through`. However many
    /// these are, it takes no longer: somebody may be far behind.
    pub(crate) fn bytes_between(&self, received: Seq, through: Seq) -> usize {
        let end = |seq: Seq| {
            let count = seq.min(self.received).get().saturating_sub(self.freed.get());
            let last = usize::try_from(count).ok().and_then(|count| self.ends.get(count.checked_sub(1)?));
            last.copied().unwrap_or(self.freed_bytes)
        };
        end(through).saturating_sub(end(received)) as usize
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
            self.bytes -= frame.weight();
            self.freed_bytes = self.ends.pop_front().unwrap_or(self.freed_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Batch;

    fn frame(seq: u64, payload: &Bytes) -> Frame {
        let (seq, batch) = (Seq::new(seq), vec![payload.clone()]);
        Frame {
            seq,
            clock: seq.get(),
            after: vec![Seq::NONE],
            requests: Vec::new(),
            heads: Batch::default(),
            batch: batch.into(),
        }
    }

    #[test]
    fn what_lies_ahead_of_a_hole_is_bounded_by_its_bytes() {
        let (payload, mut log) = (Bytes::from(vec![0; 1 << 20]), SenderLog::default());
        for seq in 2..66 {
            assert!(log.insert(frame(seq, &payload)), "{seq}");
            assert!(log.insert(frame(seq, &payload)), "{seq} again costs nothing");
        }
        assert!(!log.insert(frame(66, &payload)), "a byte more than the bound is too much");
        assert!(log.insert(frame(1, &payload)), "the hole itself is closed");
        assert_eq!((log.received(), log.bytes()), (Seq::new(65), 65 << 20));
        assert!(log.insert(frame(67, &payload)), "there is room ahead of the next one");
    }

    #[test]
    fn what_somebody_lacks_is_counted_as_summing_up_would() {
        let mut log = SenderLog::default();
        for seq in 1..=20 {
            log.insert(frame(seq, &Bytes::from(vec![0; seq as usize * 3 % 7])));
        }
        for freed in [0, 1, 7, 20] {
            log.free(Seq::new(freed));
            for (received, through) in (0..25).flat_map(|a| (0..25).map(move |b| (Seq::new(a), Seq::new(b))))
            {
                let sum: usize = log.held(received.next(), through).map(Frame::weight).sum();
                assert_eq!(
                    log.bytes_between(received, through),
                    sum,
                    "{received} to {through}, {freed} freed"
                );
            }
        }
    }
}
