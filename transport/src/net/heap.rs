//! The heap keeps what it will need again.

use std::{hint::black_box, sync::Once};

/// Longer than any piece that links allocate again and again.
const PIECE_BYTES_MOST: usize = 4 << 20;

/// From now on glibc's allocator keeps up to 8 MiB of free memory in each of its heaps; other allocators do as they did.
///
/// By default it returns what is free at a heap's end to the system from 128 KiB on, and fetches it again page by page
/// for the next piece. Chunks that come over a link are of that size and held for a moment only: with frames of 64 KiB up
/// to half of the throughput went into that, more or less as chance put something above them.
/// It learns from what it is given: with each large piece that is given back it takes pieces of that size for common,
/// and keeps twice as much (`M_MMAP_THRESHOLD` in mallopt(3)).
pub(super) fn keep_what_is_free() {
    static LEARNT: Once = Once::new();
    // Nothing is written there, so it takes no memory.
    LEARNT.call_once(|| drop(black_box(Vec::<u8>::with_capacity(PIECE_BYTES_MOST))));
}
