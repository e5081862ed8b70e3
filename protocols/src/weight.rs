//! What a message counts for wherever messages are bounded in bytes.

use bytes::Bytes;

/// The least that a message counts for: about what it costs beside its payload. Without it any
/// number of empty messages would fit into every bound.
pub(crate) const MESSAGE_BYTES_MIN: usize = 64;

/// Bytes that a message counts for.
pub(crate) fn weight(payload: &Bytes) -> usize {
    payload.len().max(MESSAGE_BYTES_MIN)
}
