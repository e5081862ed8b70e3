//! Chunks as something to write from.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Chunks that are shortened as they are written: after a cancelled write they hold the rest.
pub(super) struct Chunks<'a>(pub(super) &'a mut [Bytes]);

impl Buf for Chunks<'_> {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.iter().find(|chunk| !chunk.is_empty()).map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let full = self.0.iter().filter(|chunk| !chunk.is_empty());
        slices.iter_mut().zip(full).map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut bytes: usize) {
        for chunk in self.0.iter_mut() {
            let written = bytes.min(chunk.len());
            chunk.advance(written);
            bytes -= written;
        }
        assert_eq!(bytes, 0, "no more is written than there is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_away_across_chunks() {
        let mut chunks = ["ab", "", "cde", "f"].map(Bytes::from);
        let mut left = Chunks(&mut chunks);
        left.advance(3);
        assert_eq!((left.chunk(), left.remaining()), (&b"de"[..], 3));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(left.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"de"[..], &b"f"[..]));
        left.advance(3);
        assert!(!left.has_remaining());
        assert_eq!(left.chunk(), b"");
    }
}
