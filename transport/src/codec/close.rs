//! Why a link is closed, as bytes that fit into its last packet.

use crate::CloseReason;

/// The most bytes of an encoded reason.
pub const CLOSE_BYTES_MAX: usize = 300;

const TEXT_BYTES_MAX: usize = 256;

/// Encodes a reason in at most [`CLOSE_BYTES_MAX`] bytes; a longer text is cut off.
pub fn encode_close(reason: &CloseReason) -> Vec<u8> {
    let mut reason = reason.clone();
    if let CloseReason::Violation(text) | CloseReason::Refused(text) = &mut reason {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    rmp_serde::to_vec(&reason).expect("an enum of short texts can be encoded")
}

/// Decodes what a peer gave as its reason. Whatever it is, the link is closed: a reason of a later
/// version, or none, becomes [`CloseReason::Refused`] with a text that says so.
pub fn decode_close(bytes: &[u8]) -> CloseReason {
    if bytes.is_empty() {
        return CloseReason::Refused("no reason was given".to_owned());
    }
    let known = bytes.len() <= CLOSE_BYTES_MAX;
    known
        .then(|| rmp_serde::from_slice(bytes).ok())
        .flatten()
        .unwrap_or_else(|| CloseReason::Refused("for a reason that this version does not know".to_owned()))
}
