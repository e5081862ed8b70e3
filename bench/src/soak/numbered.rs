//! Messages with numbers, by which one that is lost, doubled or out of turn is seen.

use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::measure::{Load, STAMPED_BYTES_MIN};

/// Calls by which a sender hands batches over at the same time. What each hands over stays in turn; whose messages go
/// out first is open.
pub(super) const CALLS: usize = 4;
/// Where a message has its number.
const NUMBER: Range<usize> = STAMPED_BYTES_MIN..STAMPED_BYTES_MIN + 8;
/// Shorter messages have no room for it.
pub(super) const NUMBERED_BYTES_MIN: usize = NUMBER.end;

/// What one call sends. From one of its messages to the next the number grows by [`CALLS`], so that no two of all calls
/// have the same one, and each number tells its call.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    load: &'a Load,
    next: u64,
}

impl<'a> Numbered<'a> {
    pub(super) fn new(load: &'a Load, call: usize) -> Self {
        Self { load, next: call as u64 }
    }

    /// The messages of a batch, the first of which carries this time. They share their memory: one by one it would take
    /// as long again.
    pub(super) fn batch(&mut self, stamp: Duration) -> impl Iterator<Item = Bytes> + use<> {
        let (count, bytes) = (self.load.per_batch(), self.load.message_bytes);
        let mut batch = BytesMut::with_capacity(count * bytes);
        batch.extend_from_slice(&self.load.stamped(stamp, false));
        for _ in 1..count {
            batch.extend_from_slice(self.load.message(false));
        }
        batch.chunks_exact_mut(bytes).for_each(|message| self.number(message));
        let mut batch = batch.freeze();
        (0..count).map(move |_| batch.split_to(bytes))
    }

    /// The last message of all.
    pub(super) fn last(&mut self) -> Bytes {
        let mut message = BytesMut::from(&self.load.message(true)[..]);
        self.number(&mut message);
        message.freeze()
    }

    fn number(&mut self, message: &mut [u8]) {
        message[NUMBER].copy_from_slice(&self.next.to_be_bytes());
        self.next += CALLS as u64;
    }
}

/// Another message came than the next one of its call: that one is lost, or this one doubled or out of turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OutOfTurn {
    pub(super) next: u64,
    pub(super) came: u64,
}

/// What a member has got.
#[derive(Debug)]
pub(super) struct Turns {
    messages: u64,
    next: [u64; CALLS],
    may_lack: [bool; CALLS],
}

impl Turns {
    /// Of a member that is there from the beginning.
    pub(super) fn new() -> Self {
        Self { messages: 0, next: std::array::from_fn(|call| call as u64), may_lack: [false; CALLS] }
    }

    /// Of a member that is looked at from some moment on.
    pub(super) fn lacking() -> Self {
        let mut turns = Self::new();
        turns.may_lack();
        turns
    }

    /// How many messages came.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// The member was away or set aside, so what was sent meanwhile need not come; nothing may come again.
    pub(super) const fn may_lack(&mut self) {
        self.may_lack = [true; CALLS];
    }

    /// A message came.
    pub(super) fn on_message(&mut self, message: &[u8]) -> Result<(), OutOfTurn> {
        // What has no number is none of ours.
        let number = message.get(NUMBER).and_then(|bytes| bytes.try_into().ok());
        let came = number.map_or(u64::MAX, u64::from_be_bytes);
        let call = (came % CALLS as u64) as usize;
        let (next, may_lack) = (&mut self.next[call], &mut self.may_lack[call]);
        if came != *next && !(*may_lack && came > *next && came < u64::MAX) {
            return Err(OutOfTurn { next: *next, came });
        }
        (*next, *may_lack) = (came + CALLS as u64, false);
        self.messages += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two batches of each call, in turns, and the last message.
    fn sent() -> Vec<Bytes> {
        let load = Load::new(16 << 10);
        let mut calls: Vec<_> = (0..CALLS).map(|call| Numbered::new(&load, call)).collect();
        let stamp = Duration::from_secs(7);
        let batches = (0..2 * CALLS).flat_map(|turn| calls[turn % CALLS].batch(stamp)).collect::<Vec<_>>();
        batches.into_iter().chain([calls[0].last()]).collect()
    }

    fn take(turns: &mut Turns, messages: &[Bytes]) -> Result<(), OutOfTurn> {
        messages.iter().try_for_each(|message| turns.on_message(message))
    }

    #[test]
    fn what_came_in_turn_is_all_that_was_sent() {
        let (sent, mut turns) = (sent(), Turns::new());
        assert_eq!(take(&mut turns, &sent), Ok(()));
        assert_eq!(turns.messages(), 2 * CALLS as u64 * 4 + 1);
        assert!(sent.iter().all(|message| message.len() == 16 << 10));
        assert_eq!(Load::stamp(&sent[4]), Some(Duration::from_secs(7)));
        let ends = sent.iter().filter(|message| Load::ends(message)).count();
        assert_eq!((ends, Load::ends(&sent[sent.len() - 1])), (1, true));
    }

    #[test]
    fn calls_whose_messages_go_out_in_other_turns_are_in_turn_each() {
        let (mut sent, mut turns) = (sent(), Turns::new());
        // The second call is before the first.
        sent[..8].rotate_left(4);
        assert_eq!(take(&mut turns, &sent), Ok(()));
    }

    #[test]
    fn one_lost_and_one_doubled_make_the_number_that_was_sent_and_are_noticed() {
        let mut sent = sent();
        sent[1] = sent[0].clone();
        assert_eq!(take(&mut Turns::new(), &sent), Err(OutOfTurn { next: 4, came: 0 }));
    }

    #[test]
    fn a_lost_message_is_noticed_and_one_out_of_turn_and_one_of_somebody_else() {
        let lost = [&sent()[..2], &sent()[3..]].concat();
        assert_eq!(take(&mut Turns::new(), &lost), Err(OutOfTurn { next: 8, came: 12 }));
        let mut swapped = sent();
        swapped.swap(0, 1);
        assert_eq!(take(&mut Turns::new(), &swapped), Err(OutOfTurn { next: 0, came: 4 }));
        assert!(Turns::new().on_message(b"short").is_err());
    }

    #[test]
    fn who_was_away_may_lack_what_came_meanwhile_and_gets_nothing_again() {
        let (sent, mut turns) = (sent(), Turns::lacking());
        assert_eq!(take(&mut turns, &sent[2..4]), Ok(()));
        assert_eq!(turns.on_message(&sent[19]), Err(OutOfTurn { next: 16, came: 28 }), "it was there");
        turns.may_lack();
        assert!(turns.on_message(&sent[3]).is_err(), "it has had that");
        assert_eq!(take(&mut turns, &sent[17..20]), Ok(()));
        assert_eq!(turns.messages(), 5);
    }
}
