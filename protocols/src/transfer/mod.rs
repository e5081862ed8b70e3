//! State for newcomers: a snapshot exact to the cut at which a learner was admitted, in chunks.
//!
//! Every data member that goes through that cut keeps the same snapshot, so that the transfer goes
//! on from any of them at the same offset. The learner asks and the donor answers without
//! remembering who got what: a donor that dies, or a learner, leaves nothing to clean up but the
//! snapshot itself. What the learner has asked for and not received yet is its credit.

mod donor;
mod receiver;

use bytes::Bytes;
use quorate_membership::ViewId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) use donor::Donor;
pub(crate) use receiver::{Receiver, Step, Want};

/// Where a chunk belongs, and how to tell that it and the whole are intact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ChunkLabel {
    /// The view at whose beginning the snapshot was taken.
    pub snapshot: ViewId,
    /// Bytes of the whole.
    pub length: u64,
    /// Digest of the whole: donors whose snapshots differ do not mix.
    pub digest: u64,
    /// Where the chunk begins.
    pub offset: u64,
    /// Digest of the chunk and its offset.
    pub check: u64,
}

/// A part of a snapshot on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) label: ChunkLabel,
    pub(crate) bytes: Bytes,
}

impl Chunk {
    fn check(offset: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, offset)
    }

    fn is_intact(&self) -> bool {
        let end = self.label.offset.checked_add(self.bytes.len() as u64);
        let fits = end.is_some_and(|end| end <= self.label.length);
        fits && self.label.check == Self::check(self.label.offset, &self.bytes)
    }
}
