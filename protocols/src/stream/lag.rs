//! How far somebody is behind the others, by the rows of all.

use quorate_membership::{Seq, majority};

use super::{Stream, nth_highest};

impl Stream {
    /// Per sender, what a majority of the data members other than `rank` has: who lacks some of it
    /// holds the others back. With two members that is what the other one has.
    pub(crate) fn held_by_others(&self, rank: Option<usize>) -> Vec<Seq> {
        let others = self.rows.len() - usize::from(rank.is_some());
        if others == 0 {
            return self.holdings();
        }
        let rows = || self.rows.iter().enumerate().filter(|(other, _)| Some(*other) != rank);
        let held = |sender: usize| rows().map(move |(_, row)| row.received[sender]);
        (0..self.members()).map(|sender| nth_highest(held(sender), majority(others))).collect()
    }

    /// Bytes held here of what lies after `received` and not after `through`.
    pub(crate) fn bytes_between(&self, received: &[Seq], through: &[Seq]) -> usize {
        let spans = self.logs.iter().zip(received.iter().zip(through));
        spans.map(|(log, (from, to))| log.bytes_between(*from, *to)).sum()
    }

    /// What a learner says that it has received.
    pub(crate) fn learned(&self, index: usize) -> Option<&[Seq]> {
        self.learners.get(index).map(Vec::as_slice)
    }
}
