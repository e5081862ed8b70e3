//! The receiving end of a channel.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_membership::Seq;

use super::{Letters, Purpose};
use crate::weight::weight;

/// Letters from one member.
///
/// Invariant: everything in `ahead` lies after the position that follows `delivered`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming {
    delivered: Seq,
    ahead: BTreeMap<Seq, (Purpose, Bytes)>,
    ahead_bytes: usize,
}

impl Incoming {
    /// The last position delivered.
    pub(crate) const fn delivered(&self) -> Seq {
        self.delivered
    }

    /// Takes letters in and returns those to deliver now, in order. Keeps about `bytes_max` of
    /// what has overtaken others; the rest will be sent again.
    pub(crate) fn accept(&mut self, letters: Letters, bytes_max: usize) -> Vec<(Purpose, Bytes)> {
        let mut due = Vec::new();
        let positions = (letters.first.get()..).map(Seq::new);
        for (seq, letter) in positions.zip(letters.purposes.into_iter().zip(letters.batch)) {
            if seq == self.delivered.next() {
                self.delivered = seq;
                due.push(letter);
                self.close_gap(&mut due);
            } else if seq > self.delivered && self.ahead_bytes < bytes_max {
                self.ahead_bytes += size(&letter);
                if let Some(twin) = self.ahead.insert(seq, letter) {
                    self.ahead_bytes -= size(&twin);
                }
            }
        }
        due
    }

    fn close_gap(&mut self, due: &mut Vec<(Purpose, Bytes)>) {
        // A letter that came again while a twin was kept is behind by now.
        while let Some(entry) = self.ahead.first_entry().filter(|e| *e.key() <= self.delivered.next()) {
            let (seq, letter) = entry.remove_entry();
            self.ahead_bytes -= size(&letter);
            if seq == self.delivered.next() {
                self.delivered = seq;
                due.push(letter);
            }
        }
    }
}

fn size(letter: &(Purpose, Bytes)) -> usize {
    weight(&letter.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::MESSAGE_BYTES_MIN;

    fn letters(first: u64, payloads: &[&'static str]) -> Letters {
        let batch: Vec<Bytes> = payloads.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        Letters { first: Seq::new(first), purposes: vec![Purpose::Message; batch.len()], batch }
    }

    fn texts(due: &[(Purpose, Bytes)]) -> Vec<&str> {
        due.iter().map(|(_, payload)| std::str::from_utf8(payload).unwrap()).collect()
    }

    #[test]
    fn letters_come_out_once_and_in_order_however_they_arrive() {
        let mut end = Incoming::default();
        assert_eq!(texts(&end.accept(letters(3, &["c"]), 1000)), [""; 0]);
        assert_eq!(texts(&end.accept(letters(1, &["a"]), 1000)), ["a"]);
        assert_eq!(texts(&end.accept(letters(1, &["a", "b"]), 1000)), ["b", "c"]);
        assert_eq!(texts(&end.accept(letters(2, &["b", "c"]), 1000)), [""; 0]);
        assert_eq!((end.delivered(), end.ahead_bytes), (Seq::new(3), 0));
    }

    #[test]
    fn what_overtakes_is_kept_within_the_bound() {
        let mut end = Incoming::default();
        for seq in 2..100 {
            end.accept(letters(seq, &["x"]), 3 * MESSAGE_BYTES_MIN);
        }
        assert_eq!(end.ahead.len(), 3);
        assert_eq!(end.accept(letters(1, &["x"]), 3 * MESSAGE_BYTES_MIN).len(), 4);
    }
}
