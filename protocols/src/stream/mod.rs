//! One stream per member of a view, and the gate that turns the streams into deliveries.
//!
//! Every member sends frames of batched messages, numbered from 1 in each view and stamped with a
//! Lamport time that is not below anything its sender has received. Every member keeps a row of
//! counters about itself ([`Row`]) and remembers the latest row of every other.
//!
//! Source: Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System" (CACM
//! 1978) for the total order; Birman, Schiper and Stephenson, "Lightweight Causal and Atomic Group
//! Multicast" (TOCS 1991), section 5, for the causal gate.

mod freeing;
mod gate;
mod lag;
mod log;
mod parts;
#[cfg(test)]
mod properties;

use std::collections::VecDeque;

use quorate_membership::{Cut, Seq, agreement::Breach, majority};
use serde::{Deserialize, Serialize};

pub(crate) use log::SenderLog;
pub use parts::{Part, Way, Whole};
pub(crate) use parts::{Partials, Taken, again, cut};

use crate::{
    Batch, Order,
    weight::{MESSAGE_BYTES_MIN, batch_weight},
};

/// What a member says of itself. All counters only grow within a view.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its Lamport clock: its later frames have larger stamps. It counts no more than the frames that it
    /// has received without a gap, its own included.
    pub clock: u64,
    /// Its last frame so far.
    pub sent: Seq,
    /// Per sender, in rank order, the last frame it received without a gap.
    pub received: Vec<Seq>,
    /// Per sender, in rank order, the last frame it delivered.
    pub delivered: Vec<Seq>,
}

/// A batch of one sender's messages, with what it knew when it sent them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Position in the sender's stream.
    pub seq: Seq,
    /// Lamport time stamp.
    pub clock: u64,
    /// What the sender had delivered before it sent this, per sender in rank order.
    pub after: Vec<Seq>,
    /// Which of the messages are requests: the place in the batch and the sender's number.
    pub requests: Vec<(u32, u64)>,
    /// What stands before each of the messages; none if nothing stands before any of them.
    #[serde(skip)]
    pub heads: Batch,
    /// The messages, oldest first.
    #[serde(skip)]
    pub batch: Batch,
}

impl Frame {
    /// Bytes that the messages of the frame count for.
    pub(crate) fn weight(&self) -> usize {
        batch_weight(&self.heads, &self.batch)
    }

    /// The same when it is sent again, where every frame brings counters of its own.
    fn refill_weight(&self) -> usize {
        self.weight() + MESSAGE_BYTES_MIN + self.after.len() * size_of::<(u64, u64)>()
    }
}

/// What a peer sent does not fit the view: the peer is faulty. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamError {
    /// A vector has not one entry per data member.
    #[error("a vector of {got} counters in a view of {want} members")]
    Ragged {
        /// Entries sent.
        got: usize,
        /// Members of the view.
        want: usize,
    },
    /// A row or frame claims frames that their sender has not sent.
    #[error("counters claim frames that were never sent")]
    Impossible,
    /// Position 0, or a frame in the receiver's own name that it has not sent.
    #[error("frame {0} is outside the window")]
    OutsideWindow(Seq),
}

/// No count that goes up one by one gets there. Whoever claims more would make the next one overflow.
pub(crate) const COUNT_MAX: u64 = u64::MAX >> 1;

/// The streams of one view, as one of its data members sees them.
///
/// Invariants, checked in debug builds: (T1) `delivered <= received` for every sender; (T2) what
/// is freed is delivered here and received everywhere; (T3) a row never goes back.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    order: Order,
    /// How many have to hold a message before it is uniform.
    holders: usize,
    /// This member's rank; a learner has none.
    me: Option<usize>,
    clock: u64,
    /// The latest stamp received. The clock follows it as far as there are frames here to show for it.
    latest: u64,
    logs: Vec<SenderLog>,
    rows: Vec<Row>,
    delivered: Vec<Seq>,
    /// Own frames that not every data member is known to have, with their bytes.
    unstable: VecDeque<(Seq, usize)>,
    unstable_bytes: usize,
    /// Per learner of the view, the last frame of each sender that it received without a gap.
    learners: Vec<Vec<Seq>>,
    /// Bytes of one sender's frames that are kept for learners.
    learner_bytes_max: usize,
    /// The last own frame that every cut of this view will include.
    uniform: Seq,
    breach: Option<Breach>,
}

impl Stream {
    /// The streams of a view of so many data members, seen by the one with rank `me`, or by a learner.
    pub(crate) fn new(order: Order, members: usize, me: Option<usize>, breach: Option<Breach>) -> Self {
        let none = vec![Seq::NONE; members];
        let row = Row { clock: 0, sent: Seq::NONE, received: none.clone(), delivered: none.clone() };
        Self {
            order,
            holders: majority(members),
            me,
            clock: 0,
            latest: 0,
            logs: vec![SenderLog::default(); members],
            rows: vec![row; members],
            delivered: none,
            unstable: VecDeque::new(),
            unstable_bytes: 0,
            learners: Vec::new(),
            learner_bytes_max: 0,
            uniform: Seq::NONE,
            breach,
        }
    }

    /// Keeps frames for so many learners, too, up to a bound per sender.
    pub(crate) fn for_learners(mut self, learners: usize, bytes_max: usize) -> Self {
        self.learners = vec![vec![Seq::NONE; self.members()]; learners];
        self.learner_bytes_max = bytes_max;
        self
    }

    /// A message is uniform once so many hold it, instead of a majority.
    pub(crate) const fn uniform_at(mut self, holders: usize) -> Self {
        self.holders = holders;
        self
    }

    pub(crate) fn members(&self) -> usize {
        self.logs.len()
    }

    fn own(&self) -> Option<&SenderLog> {
        self.me.map(|me| &self.logs[me])
    }

    /// This member's own row; a learner has sent nothing.
    pub(crate) fn row(&self) -> Row {
        Row {
            clock: self.clock,
            sent: self.own().map(SenderLog::received).unwrap_or_default(),
            received: self.holdings(),
            delivered: self.delivered.clone(),
        }
    }

    /// Per sender the last frame received without a gap.
    pub(crate) fn holdings(&self) -> Vec<Seq> {
        self.logs.iter().map(SenderLog::received).collect()
    }

    /// The last frame of the sender with this rank received without a gap.
    pub(crate) fn received(&self, rank: usize) -> Seq {
        self.logs[rank].received()
    }

    /// The latest row of the member with this rank.
    pub(crate) fn row_of(&self, rank: usize) -> &Row {
        &self.rows[rank]
    }

    /// Makes the next frame of this member out of a batch.
    ///
    /// # Panics
    /// For a learner, which sends nothing.
    pub(crate) fn send(&mut self, requests: Vec<(u32, u64)>, heads: Batch, batch: Batch) -> Frame {
        let me = self.me.expect("only data members send");
        self.clock += 1;
        let seq = self.logs[me].received().next();
        let frame = Frame { seq, clock: self.clock, after: self.delivered.clone(), requests, heads, batch };
        self.unstable_bytes += frame.weight();
        self.unstable.push_back((seq, frame.weight()));
        self.logs[me].insert(frame.clone());
        self.note_own_row();
        frame
    }

    /// Takes in a frame of the sender with this rank. Returns whether anything was new.
    pub(crate) fn receive(&mut self, rank: usize, frame: Frame) -> Result<bool, StreamError> {
        if frame.after.len() != self.members() {
            return Err(StreamError::Ragged { got: frame.after.len(), want: self.members() });
        }
        if frame.seq == Seq::NONE || Some(rank) == self.me && frame.seq > self.logs[rank].received() {
            return Err(StreamError::OutsideWindow(frame.seq));
        }
        if frame.seq <= self.logs[rank].received() {
            return Ok(false);
        }
        if frame.clock > COUNT_MAX {
            return Err(StreamError::Impossible);
        }
        if frame.requests.iter().any(|(place, _)| *place as usize >= frame.batch.len()) {
            return Err(StreamError::Impossible);
        }
        let stamp = frame.clock;
        if !self.logs[rank].insert(frame) {
            // As if it had been lost on the way. Nobody is to blame: nobody waits for a learner, so
            // its holes may be long.
            return Ok(false);
        }
        self.latest = self.latest.max(stamp);
        self.advance_clock();
        self.note_own_row();
        Ok(true)
    }

    /// Whether a frame of which this is a part may be one of this view.
    pub(crate) fn fits(&self, part: &Part) -> bool {
        part.whole.as_ref().is_none_or(|whole| {
            let places = whole.messages.len();
            whole.frame.after.len() == self.members()
                && whole.frame.clock <= COUNT_MAX
                && whole.frame.requests.iter().all(|(place, _)| (*place as usize) < places)
        })
    }

    /// Lets the clock follow the latest stamp, but not beyond the number of frames here: no correct member
    /// has ever counted further, so whoever makes up a stamp drives no clock but its own.
    fn advance_clock(&mut self) {
        let here = count(self.logs.iter().map(SenderLog::received));
        self.clock = self.clock.max(self.latest.min(here));
    }

    /// Takes in what a member says of itself. Returns whether it has sent frames that are missing here.
    pub(crate) fn on_row(&mut self, rank: usize, row: &Row) -> Result<bool, StreamError> {
        self.check_row(rank, row)?;
        Ok(self.take_row(rank, row))
    }

    /// Takes in the sender's next frame and the row that came with it, which counts the frame.
    /// Returns whether anything was new.
    pub(crate) fn on_frame(&mut self, rank: usize, row: &Row, frame: Frame) -> Result<bool, StreamError> {
        self.check_row(rank, row)?;
        if frame.clock > row.clock || frame.seq > row.sent {
            return Err(StreamError::Impossible);
        }
        let news = self.receive(rank, frame)?;
        self.take_row(rank, row);
        Ok(news)
    }

    fn check_row(&self, rank: usize, row: &Row) -> Result<(), StreamError> {
        let (received, delivered) = (row.received.len(), row.delivered.len());
        if received != self.members() || delivered != self.members() {
            return Err(StreamError::Ragged { got: received.min(delivered), want: self.members() });
        }
        let ahead = row.delivered.iter().zip(&row.received).any(|(d, r)| d > r);
        let invented = self.me.is_some_and(|me| row.received[me] > self.logs[me].received());
        if row.clock > count(row.received.iter().copied())
            || ahead
            || invented
            || row.received[rank] > row.sent
        {
            return Err(StreamError::Impossible);
        }
        Ok(())
    }

    fn take_row(&mut self, rank: usize, row: &Row) -> bool {
        let known = &mut self.rows[rank];
        known.clock = known.clock.max(row.clock);
        known.sent = known.sent.max(row.sent);
        raise(&mut known.received, &row.received);
        raise(&mut known.delivered, &row.delivered);
        let gapless = self.breach == Some(Breach::ClockOverGap);
        self.logs[rank].on_clock(row.clock, row.sent, gapless);
        self.free();
        self.logs[rank].received() < row.sent
    }

    /// Takes in how far a learner says that it has come. Only how long frames are kept depends on it.
    pub(crate) fn on_learner(&mut self, index: usize, received: &[Seq]) -> Result<(), StreamError> {
        if received.len() != self.members() {
            return Err(StreamError::Ragged { got: received.len(), want: self.members() });
        }
        if let Some(learner) = self.learners.get_mut(index) {
            raise(learner, received);
            self.free();
        }
        Ok(())
    }

    /// Frames of the sender with this rank from `from` on, up to `bytes` or a single longer one.
    pub(crate) fn frames(&self, rank: usize, from: Seq, through: Seq, bytes: usize) -> Vec<Frame> {
        let mut sum = 0;
        let fits = |frame: &&Frame| {
            let first = sum == 0;
            sum += frame.refill_weight();
            first || sum <= bytes
        };
        self.logs[rank].held(from, through).take_while(fits).cloned().collect()
    }

    /// Per sender with a hole or a tail known to be missing: its rank and the first missing frame.
    pub(crate) fn gaps(&self) -> Vec<(usize, Seq)> {
        let known =
            |rank: usize| self.rows.iter().map(move |row| row.received[rank]).max().unwrap_or_default();
        let behind = |rank: &usize| {
            let received = self.logs[*rank].received();
            Some(*rank) != self.me
                && (self.logs[*rank].has_hole()
                    || received < self.rows[*rank].sent
                    || received < known(*rank))
        };
        (0..self.members()).filter(behind).map(|rank| (rank, self.logs[rank].received().next())).collect()
    }

    /// Whether frames of the sender with this rank have come that follow a missing one.
    pub(crate) fn has_hole(&self, rank: usize) -> bool {
        self.logs[rank].has_hole()
    }

    /// What is missing before the first frame of the sender with this rank that has come ahead: the first and the last.
    pub(crate) fn hole(&self, rank: usize) -> Option<(Seq, Seq)> {
        self.logs[rank].hole()
    }

    /// The view is closed: only what is below its cut may still be asked for.
    pub(crate) fn close(&mut self) {
        self.logs.iter_mut().for_each(SenderLog::drop_ahead);
    }

    /// The last own frame that was delivered here.
    pub(crate) fn own_delivered(&self) -> Seq {
        self.me.map(|me| self.delivered[me]).unwrap_or_default()
    }

    /// Whether anything here waits for another member.
    pub(crate) fn is_waiting(&self) -> bool {
        self.logs.iter().any(|log| log.bytes() > 0 || !log.is_empty())
            || self.logs.iter().zip(&self.delivered).any(|(log, d)| log.received() > *d)
            || !self.gaps().is_empty()
    }

    fn note_own_row(&mut self) {
        let Some(me) = self.me else { return };
        let row = self.row();
        self.logs[me].on_clock(row.clock, row.sent, false);
        self.rows[me] = row;
    }

    /// The largest part of `union` in which no frame lacks what its sender had delivered before it.
    ///
    /// Everything up to `union` must be held here. FIFO promises no causality, and what was
    /// delivered must not be cut off, so there the union is the cut.
    pub(crate) fn closed_under_causality(&self, union: &[Seq]) -> Cut {
        let mut cut = union.to_vec();
        let mut changed = self.order > Order::Fifo && self.breach != Some(Breach::OpenCut);
        while changed {
            changed = false;
            for sender in 0..cut.len() {
                let closed = |frame: &&Frame| frame.after.iter().zip(&cut).all(|(needs, has)| needs <= has);
                let open = self.logs[sender].held(Seq::NONE, cut[sender]).find(|frame| !closed(frame));
                if let Some(first) = open {
                    cut[sender] = first.seq.previous();
                    changed = true;
                }
            }
        }
        Cut(cut)
    }

    fn check(&self) {
        for rank in 0..self.members() {
            debug_assert!(self.delivered[rank] <= self.logs[rank].received(), "T1 for rank {rank}");
        }
    }
}

/// A message that has passed the gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Passed {
    pub(crate) sender: usize,
    pub(crate) seq: Seq,
    /// Whether it survives any view change, as far as this member knows.
    pub(crate) uniform: bool,
    pub(crate) requests: Vec<(u32, u64)>,
    pub(crate) heads: Batch,
    pub(crate) batch: Batch,
}

fn raise(known: &mut [Seq], heard: &[Seq]) {
    for (known, heard) in known.iter_mut().zip(heard) {
        *known = (*known).max(*heard);
    }
}

/// How many frames these are, if it is so many of each sender.
fn count(received: impl Iterator<Item = Seq>) -> u64 {
    received.fold(0_u64, |sum, seq| sum.saturating_add(seq.get())).min(COUNT_MAX)
}

/// The `n`-th highest of the values: the highest that at least `n` of them reach.
fn nth_highest(values: impl Iterator<Item = Seq>, n: usize) -> Seq {
    let mut sorted: Vec<Seq> = values.collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.get(n - 1).copied().unwrap_or_default()
}
