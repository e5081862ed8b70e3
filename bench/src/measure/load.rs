//! The messages that are sent, the same for both sides.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes that a sender hands over at once, where its messages are smaller than that. More brought
/// nothing.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;

/// The first byte says whether a message is the last; the next eight may hold a time.
pub(crate) const STAMPED_BYTES_MIN: usize = 9;

/// Messages of one size, whose last one in a round says so.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) message_bytes: usize,
    usual: Bytes,
    last: Bytes,
}

impl Load {
    /// Messages of this size, at least one byte.
    pub(crate) fn new(message_bytes: usize) -> Self {
        let mut payload = vec![0x5a; message_bytes.max(1)];
        payload[0] = 0;
        let usual = Bytes::from(payload.clone());
        payload[0] = 1;
        Self { message_bytes, usual, last: payload.into() }
    }

    /// Messages of a batch.
    pub(crate) fn per_batch(&self) -> usize {
        (BATCH_BYTES / self.message_bytes).max(1)
    }

    /// One message by itself.
    pub(crate) const fn message(&self, ends: bool) -> &Bytes {
        if ends { &self.last } else { &self.usual }
    }

    /// One message that carries a time; of at least [`STAMPED_BYTES_MIN`].
    pub(crate) fn stamped(&self, stamp: Duration, ends: bool) -> Bytes {
        let mut payload = BytesMut::from(&self.message(ends)[..]);
        payload[1..STAMPED_BYTES_MIN].copy_from_slice(&(stamp.as_nanos() as u64).to_be_bytes());
        payload.freeze()
    }

    /// The time that a stamped message carries.
    pub(crate) fn stamp(payload: &[u8]) -> Option<Duration> {
        let (_, rest) = payload.split_first()?;
        rest.first_chunk().map(|nanos| Duration::from_nanos(u64::from_be_bytes(*nanos)))
    }

    /// The payloads of a batch, of which the very last ends the round if `ends`.
    pub(crate) fn batch(&self, ends: bool) -> impl Iterator<Item = &Bytes> {
        let count = self.per_batch();
        (1..=count).map(move |n| self.message(ends && n == count))
    }

    /// Whether this payload is the last of its sender in this round.
    pub(crate) fn ends(payload: &[u8]) -> bool {
        payload.first() == Some(&1)
    }
}

/// Messages on a bare stream: the length in four bytes, then the payload.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Below this a message is copied into its batch; above, a copy costs more than a piece of its own.
const COPIED_BELOW: usize = 8 * 1024;

/// Makes the pieces of a batch for a bare stream, as a careful program would by hand.
pub(crate) fn frame_batch(load: &Load, ends: bool, pieces: &mut Vec<Bytes>) {
    pieces.clear();
    if load.message_bytes < COPIED_BELOW {
        let mut buffer = BytesMut::with_capacity(load.per_batch() * (LENGTH_BYTES + load.message_bytes));
        for payload in load.batch(ends) {
            buffer.put_u32(payload.len() as u32);
            buffer.put_slice(payload);
        }
        pieces.push(buffer.freeze());
        return;
    }
    for payload in load.batch(ends) {
        pieces.push(Bytes::copy_from_slice(&(payload.len() as u32).to_be_bytes()));
        pieces.push(payload.clone());
    }
}

/// Finds the messages in the pieces of a bare stream without copying them.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    /// Messages that came complete.
    pub(crate) messages: u64,
    /// Whether the last message of the round came.
    pub(crate) over: bool,
    place: Place,
}

/// Where in a message the walker is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In its length, of which this much is known.
    Length { read: [u8; LENGTH_BYTES], known: usize },
    /// Before the first byte of a payload of this many.
    First { bytes: usize },
    /// This many bytes before its end.
    Rest { missing: usize, ends: bool },
}

impl Default for Place {
    fn default() -> Self {
        Self::Length { read: [0; LENGTH_BYTES], known: 0 }
    }
}

impl Walker {
    /// Takes in the next piece of the stream.
    pub(crate) fn walk(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            self.place = match self.place {
                Place::Length { mut read, known } => {
                    let taken = piece.len().min(LENGTH_BYTES - known);
                    piece.copy_to_slice(&mut read[known..known + taken]);
                    if known + taken == LENGTH_BYTES {
                        Place::First { bytes: u32::from_be_bytes(read) as usize }
                    } else {
                        Place::Length { read, known: known + taken }
                    }
                }
                Place::First { bytes } => Place::Rest { missing: bytes, ends: Load::ends(piece) },
                Place::Rest { missing, ends } => {
                    let taken = piece.len().min(missing);
                    piece.advance(taken);
                    if taken == missing {
                        self.messages += 1;
                        self.over |= ends;
                        Place::default()
                    } else {
                        Place::Rest { missing: missing - taken, ends }
                    }
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as it goes over a bare stream.
    fn stream(load: &Load, ends: bool) -> Vec<u8> {
        let mut pieces = Vec::new();
        frame_batch(load, ends, &mut pieces);
        pieces.concat()
    }

    #[test]
    fn a_walker_finds_every_message_however_the_stream_is_cut() {
        for (bytes, cut) in [(1, 1), (64, 7), (1000, 1200), (64, 65_536), (65_536, 1200), (20_000, 3)] {
            let load = Load::new(bytes);
            let mut walker = Walker::default();
            stream(&load, false).chunks(cut).for_each(|piece| walker.walk(piece));
            assert_eq!((walker.messages, walker.over), (load.per_batch() as u64, false), "{bytes} {cut}");
            stream(&load, true).chunks(cut).for_each(|piece| walker.walk(piece));
            assert_eq!((walker.messages, walker.over), (2 * load.per_batch() as u64, true), "{bytes} {cut}");
        }
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Duration::from_nanos(123_456_789);
        let payload = Load::new(STAMPED_BYTES_MIN).stamped(stamp, true);
        assert_eq!((Load::stamp(&payload), Load::ends(&payload)), (Some(stamp), true));
        assert_eq!(Load::stamp(&payload[..8]), None);
    }

    #[test]
    fn a_batch_fills_64_kib_or_is_one_message() {
        assert_eq!(Load::new(64).per_batch(), 1024);
        assert_eq!(Load::new(16 * 1024).per_batch(), 4);
        assert_eq!(Load::new(1 << 20).per_batch(), 1);
    }
}
