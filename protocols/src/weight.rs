//! What a message counts for wherever messages are bounded in bytes.

use bytes::Bytes;

/// The least that a message counts for: about what it costs beside its payload. Without it any
/// number of empty messages would fit into every bound.
pub(crate) const MESSAGE_BYTES_MIN: usize = 64;

/// Bytes that a message counts for.
pub(crate) fn weight(payload: &Bytes) -> usize {
    headed_weight(0, payload)
}

/// Bytes that a message with a head of so many bytes counts for.
pub(crate) fn headed_weight(head: usize, payload: &Bytes) -> usize {
    (head + payload.len()).max(MESSAGE_BYTES_MIN)
}

/// Bytes that messages count for. There are as many heads, or none.
pub(crate) fn batch_weight(heads: &[Bytes], batch: &[Bytes]) -> usize {
    let heads = heads.iter().map(Bytes::len).chain(std::iter::repeat(0));
    batch.iter().zip(heads).map(|(payload, head)| headed_weight(head, payload)).sum()
}
