//! What is uniform, what everybody has, and how long frames are kept.

use quorate_membership::{Seq, agreement::Breach};

use super::{SenderLog, Stream, nth_highest};

impl Stream {
    /// Bytes of this member's own frames that some data member may still need.
    pub(crate) const fn unfreed_bytes(&self) -> usize {
        self.unstable_bytes
    }

    /// Number of own frames that not every member is known to have.
    pub(crate) fn in_flight(&self) -> u64 {
        self.own().map_or(0, |log| log.received().get() - self.stable().get())
    }

    /// The last own frame that every member is known to have.
    pub(crate) fn stable(&self) -> Seq {
        self.me.map(|me| self.everywhere(me)).unwrap_or_default()
    }

    /// The last own frame that was delivered here and that every cut of this view will include.
    pub(crate) const fn uniform(&self) -> Seq {
        self.uniform
    }

    /// A cut includes what a majority holds and nothing forces it to leave out.
    fn advance_uniform(&mut self) {
        let Some(me) = self.me else { return };
        let reach = self.held_by_enough(me).min(self.delivered[me]);
        while self.uniform < reach {
            let next = self.logs[me].get(self.uniform.next());
            if !next.is_some_and(|frame| self.is_closed(frame)) {
                break;
            }
            self.uniform = self.uniform.next();
        }
    }

    fn everywhere(&self, sender: usize) -> Seq {
        self.rows.iter().map(|row| row.received[sender]).min().unwrap_or_default()
    }

    pub(super) fn held_by_enough(&self, sender: usize) -> Seq {
        let needed = match self.breach {
            Some(Breach::UniformTooEarly) => 1,
            _ => self.holders,
        };
        nth_highest(self.rows.iter().map(|row| row.received[sender]), needed)
    }

    /// Forgets frames that every member has and that were delivered here.
    pub(super) fn free(&mut self) {
        self.advance_uniform();
        let stable = self.stable();
        while let Some((_, bytes)) = self.unstable.pop_front_if(|(seq, _)| *seq <= stable) {
            self.unstable_bytes -= bytes;
        }
        for sender in 0..self.members() {
            let everywhere = match self.breach {
                Some(Breach::FreeTooEarly) => self.held_by_enough(sender),
                _ => self.everywhere(sender),
            };
            let settled = if Some(sender) == self.me { self.uniform } else { self.delivered[sender] };
            let through = everywhere.min(settled);
            let learned = self.learners.iter().map(|received| received[sender]).min();
            self.logs[sender].free(through.min(learned.unwrap_or(through)));
            self.logs[sender].shrink(through, self.learner_bytes_max);
        }
    }

    /// The first frame of the sender with this rank that is still kept here.
    pub(crate) fn first_kept(&self, rank: usize) -> Seq {
        self.logs[rank].freed().next()
    }

    /// Bytes of the frames kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.logs.iter().map(SenderLog::bytes).sum()
    }
}
