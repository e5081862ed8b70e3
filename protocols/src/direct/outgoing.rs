//! The sending end of a channel.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_membership::Seq;

use super::{Letters, Purpose};
use crate::{Ticket, weight::weight};

/// Looks from one copy of a letter that is no longer than a batch to the next.
const LOOKS: u32 = 3;

/// A message on its way to one member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Letter {
    pub(crate) purpose: Purpose,
    pub(crate) payload: Bytes,
    /// Who wants to know of its fate.
    pub(crate) ticket: Option<Ticket>,
}

impl Letter {
    /// Bytes that count towards the window.
    pub(crate) fn size(&self) -> usize {
        weight(&self.payload)
    }
}

/// Letters to one member that it has not acknowledged.
///
/// Invariants: (O1) `letters` are those after `acked`, in order; (O2) `acked <= sent`, and at most
/// all letters are sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    acked: Seq,
    sent: Seq,
    letters: VecDeque<Letter>,
    bytes: usize,
    /// Looks at what is unanswered since anything was acknowledged.
    quiet: u32,
}

impl Outgoing {
    pub(crate) fn push(&mut self, letter: Letter) {
        self.bytes += letter.size();
        self.letters.push_back(letter);
    }

    /// Bytes that the addressee has not acknowledged.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Letters that are on the way.
    fn in_flight(&self) -> usize {
        (self.sent.get() - self.acked.get()) as usize
    }

    /// What is on the way is lost, for the link to the addressee has broken: the next look sends it again.
    pub(crate) fn hurry(&mut self) {
        self.quiet = u32::from(self.in_flight() > 0);
    }

    /// The next letters never sent, up to about `batch_bytes`.
    pub(crate) fn next(&mut self, batch_bytes: usize) -> Option<Letters> {
        let letters = self.batch(self.in_flight(), batch_bytes)?;
        self.sent = Seq::new(self.sent.get() + letters.batch.len() as u64);
        Some(letters)
    }

    /// The oldest letters on the way, if nothing was acknowledged since the last call. On a slow link they may be coming
    /// for long: after the first time only the oldest is sent, and if it is longer than a batch the more seldom the
    /// oftener it was.
    pub(crate) fn again(&mut self, batch_bytes: usize) -> Option<Letters> {
        self.quiet = if self.in_flight() == 0 { 0 } else { self.quiet.saturating_add(1) };
        let long = self.letters.front().is_some_and(|oldest| oldest.payload.len() > batch_bytes);
        let due = if long { self.quiet > 1 && self.quiet.is_power_of_two() } else { self.quiet % LOOKS == 2 };
        if !due {
            return None;
        }
        let mut letters = self.batch(0, batch_bytes)?;
        let count = if self.quiet == 2 { self.in_flight() } else { 1 };
        letters.batch.truncate(count);
        letters.purposes.truncate(count);
        Some(letters)
    }

    fn batch(&self, skip: usize, batch_bytes: usize) -> Option<Letters> {
        let first = Seq::new(self.acked.get() + skip as u64 + 1);
        let (mut purposes, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        for letter in self.letters.iter().skip(skip) {
            bytes += letter.payload.len();
            if !batch.is_empty() && bytes > batch_bytes {
                break;
            }
            purposes.push(letter.purpose);
            batch.push(letter.payload.clone());
        }
        (!batch.is_empty()).then_some(Letters { first, purposes, batch })
    }

    /// The addressee has delivered everything through this position. Returns those letters, oldest
    /// first; `None` if they were never sent: the addressee lies.
    pub(crate) fn acknowledge(&mut self, through: Seq) -> Option<Vec<Letter>> {
        if through > self.sent {
            return None;
        }
        let count = through.get().saturating_sub(self.acked.get()) as usize;
        if count > 0 {
            (self.acked, self.quiet) = (through, 0);
        }
        let settled: Vec<Letter> = self.letters.drain(..count).collect();
        self.bytes -= settled.iter().map(Letter::size).sum::<usize>();
        Some(settled)
    }

    /// Ends the channel: the letters on the way, with their positions, and those never sent.
    pub(crate) fn close(mut self) -> (Vec<(Seq, Letter)>, VecDeque<Letter>) {
        let unsent = self.letters.split_off(self.in_flight());
        let first = self.acked.get() + 1;
        let sent = (first..).map(Seq::new).zip(self.letters).collect();
        (sent, unsent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::MESSAGE_BYTES_MIN;

    fn letter(text: &'static str) -> Letter {
        Letter { purpose: Purpose::Message, payload: Bytes::from_static(text.as_bytes()), ticket: None }
    }

    fn positions(letters: Option<Letters>) -> Option<(u64, usize)> {
        letters.map(|letters| (letters.first.get(), letters.batch.len()))
    }

    #[test]
    fn only_the_oldest_batch_is_sent_again_and_only_without_progress() {
        let mut end = Outgoing::default();
        for text in ["aa", "bb", "cc"] {
            end.push(letter(text));
        }
        assert_eq!(positions(end.next(4)), Some((1, 2)));
        assert_eq!(positions(end.again(4)), None, "not before it had time to be answered");
        assert_eq!(positions(end.again(4)), Some((1, 2)));
        assert_eq!(end.acknowledge(Seq::new(1)).map(|done| done.len()), Some(1));
        assert_eq!(positions(end.again(4)), None);
        assert_eq!(positions(end.again(4)), Some((2, 1)), "the third was never sent");
        assert_eq!(positions(end.next(4)), Some((3, 1)));
        assert_eq!(end.bytes(), 2 * MESSAGE_BYTES_MIN);
    }

    #[test]
    fn a_long_letter_is_sent_again_the_more_seldom_the_longer_no_answer_comes() {
        let mut end = Outgoing::default();
        assert!((1..=1000).all(|_| end.again(4).is_none()), "nothing is on the way");
        end.push(letter("longer than a batch"));
        end.next(4);
        let again: Vec<u32> = (1..=64).filter(|_| end.again(4).is_some()).collect();
        assert_eq!(again, [2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn short_letters_are_sent_again_together_once_and_then_the_oldest_alone() {
        let mut end = Outgoing::default();
        end.hurry();
        end.push(letter("a"));
        end.push(letter("b"));
        end.next(8);
        let again: Vec<_> = (1..=11).filter_map(|look| Some((look, positions(end.again(8))?.1))).collect();
        assert_eq!(again, [(2, 2), (5, 1), (8, 1), (11, 1)]);
        end.hurry();
        assert_eq!(positions(end.again(8)), Some((1, 2)), "the link has broken");
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_refused() {
        let mut end = Outgoing::default();
        end.push(letter("a"));
        assert_eq!(end.acknowledge(Seq::new(1)), None);
        assert_eq!(end.acknowledge(Seq::NONE), Some(Vec::new()));
    }

    #[test]
    fn closing_tells_what_is_on_the_way_from_what_was_never_sent() {
        let mut end = Outgoing::default();
        for text in ["a", "b", "c"] {
            end.push(letter(text));
        }
        end.next(1);
        end.acknowledge(Seq::new(1));
        end.next(1);
        let (sent, unsent) = end.close();
        assert_eq!(sent, [(Seq::new(2), letter("b"))]);
        assert_eq!(unsent, [letter("c")]);
    }
}
