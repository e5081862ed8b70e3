//! Buffers that are filled again once nobody reads them any more.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes of a buffer. What is not written to costs nothing, so a lane that says little takes little.
const BUFFER_BYTES: usize = 128 << 10;

/// The most buffers that are kept: a little more than a lane's window by default, which is how much
/// may wait for the peer's acknowledgement at one time.
const KEPT_MOST: usize = 50;

/// A place to write into, out of which chunks are cut.
///
/// A chunk is let go of by whoever drives the connection, on another thread as a rule. Memory that is
/// taken on one thread and given back on another was measured to cost a third of what quinn can do, so
/// buffers are kept and filled again.
#[derive(Debug, Default)]
pub(super) struct Recycled {
    filling: Option<BytesMut>,
    /// Those that are full, oldest first, each as its empty end.
    full: VecDeque<BytesMut>,
}

impl Recycled {
    /// Bytes for which there is room.
    pub(super) fn room(&self) -> usize {
        self.filling.as_ref().map_or(0, |filling| filling.capacity() - filling.len())
    }

    /// Writes what there is room for.
    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "somebody has looked");
        self.filling.get_or_insert_default().extend_from_slice(bytes);
    }

    /// What was written since the last cut; `None` if nothing was.
    pub(super) fn cut(&mut self) -> Option<Bytes> {
        let filling = self.filling.as_mut().filter(|filling| !filling.is_empty())?;
        Some(filling.split().freeze())
    }

    /// Goes on with an empty buffer, of [`BUFFER_BYTES`]. What was written must have been cut off.
    pub(super) fn renew(&mut self) {
        self.full.extend(self.filling.take());
        let free = self.full.front_mut().is_some_and(|oldest| oldest.try_reclaim(BUFFER_BYTES));
        let again = if free { self.full.pop_front() } else { None };
        self.filling = Some(again.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES)));
        if self.full.len() > KEPT_MOST {
            self.full.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a buffer to its end in chunks of a quarter.
    fn fill(recycled: &mut Recycled) -> Vec<Bytes> {
        recycled.renew();
        assert_eq!(recycled.room(), BUFFER_BYTES);
        (0..4)
            .map(|number| {
                recycled.write(&vec![number; BUFFER_BYTES / 4]);
                recycled.cut().expect("something was written")
            })
            .collect()
    }

    #[test]
    fn a_buffer_is_filled_again_once_nobody_reads_it() {
        let mut recycled = Recycled::default();
        let mut first = fill(&mut recycled);
        let place = first[0].as_ptr();
        let last = first.pop().expect("there are four");
        drop(first);
        let second = fill(&mut recycled);
        assert_ne!(second[0].as_ptr(), place, "a piece of it is still read");
        assert!(last.iter().all(|byte| *byte == 3));
        drop(last);
        let third = fill(&mut recycled);
        assert_eq!(third[0].as_ptr(), place);
        assert!(second[1].iter().all(|byte| *byte == 1), "it was written over");
    }

    #[test]
    fn a_lane_whose_chunks_come_back_at_once_has_one_buffer() {
        let mut recycled = Recycled::default();
        let places: Vec<_> = (0..9).map(|_| fill(&mut recycled)[0].as_ptr()).collect();
        assert!(places.iter().all(|place| *place == places[0]));
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let mut recycled = Recycled::default();
        let all: Vec<_> = (0..KEPT_MOST + 5).map(|_| fill(&mut recycled)).collect();
        assert_eq!(recycled.full.len(), KEPT_MOST);
        assert!(recycled.cut().is_none() && all.len() == KEPT_MOST + 5);
    }
}
