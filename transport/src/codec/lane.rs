//! A stream starts with the name of its lane.

use crate::{Lane, LinkError};

/// Bytes of the name of a lane: its kind, and a number, little endian, which is zero but for
/// [`Lane::Data`].
pub const LANE_BYTES: usize = 9;

/// A stream starts with something that names no lane. Close the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no lane has kind {kind} and number {number}")]
pub struct UnknownLane {
    /// The first byte.
    pub kind: u8,
    /// The bytes behind it.
    pub number: u64,
}

impl From<UnknownLane> for LinkError {
    fn from(error: UnknownLane) -> Self {
        Self::Violation(error.to_string())
    }
}

/// Encodes the name of a lane.
pub fn encode_lane(lane: Lane) -> [u8; LANE_BYTES] {
    let (kind, number) = match lane {
        Lane::Control => (0, 0),
        Lane::Data(number) => (1, number),
        Lane::Bulk => (2, 0),
    };
    let mut bytes = [kind; LANE_BYTES];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Decodes what [`encode_lane`] made.
///
/// # Errors
/// [`UnknownLane`] for any other bytes.
pub fn decode_lane(bytes: [u8; LANE_BYTES]) -> Result<Lane, UnknownLane> {
    let [kind, number @ ..] = bytes;
    match (kind, u64::from_le_bytes(number)) {
        (0, 0) => Ok(Lane::Control),
        (1, number) => Ok(Lane::Data(number)),
        (2, 0) => Ok(Lane::Bulk),
        (kind, number) => Err(UnknownLane { kind, number }),
    }
}
