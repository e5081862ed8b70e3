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

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::fs;

    use super::*;

    /// How often this thread has been given a page by the system so far.
    fn page_faults() -> u64 {
        let stat = fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
        let behind_name = stat.rsplit_once(')').expect("it is in brackets").1;
        behind_name
            .split_whitespace()
            .nth(7)
            .and_then(|number| number.parse().ok())
            .expect("the tenth is a number")
    }

    /// Pieces as they come over a link, all held at once and given back.
    fn use_heap() {
        let pieces: Vec<_> = (0..30).map(|_| black_box(vec![7_u8; 100_000])).collect();
        assert_eq!(pieces.len(), 30);
    }

    #[test]
    fn memory_that_was_given_back_is_not_fetched_from_the_system_again() {
        keep_what_is_free();
        use_heap();
        let before = page_faults();
        (0..20).for_each(|_| use_heap());
        let pages = 20 * 30 * 100_000 / 4096;
        assert!(page_faults() - before < pages / 10, "{} of {pages}", page_faults() - before);
    }
}
