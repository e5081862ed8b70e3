//! What every record starts with.

use super::FrameError;

pub(super) const PREFIX_BYTES: usize = 8;

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prefix {
    /// A frame in one record.
    Whole { header: usize, payload: usize },
    /// The header of a frame whose payload comes in parts.
    Large { header: usize, payload: usize },
    /// The next part of that payload.
    Part { payload: usize },
}

impl Prefix {
    pub(super) fn encode(self) -> [u8; PREFIX_BYTES] {
        let (kind, header, payload) = match self {
            Self::Whole { header, payload } => (0, header, payload),
            Self::Large { header, payload } => (1, header, payload),
            Self::Part { payload } => (2, 0, payload),
        };
        debug_assert!(header < 1 << 24 && u32::try_from(payload).is_ok(), "the configuration bounds both");
        let [h0, h1, h2, _] = (header as u32).to_le_bytes();
        let [p0, p1, p2, p3] = (payload as u32).to_le_bytes();
        [kind, h0, h1, h2, p0, p1, p2, p3]
    }

    pub(super) fn decode(bytes: [u8; PREFIX_BYTES]) -> Result<Self, FrameError> {
        let [kind, h0, h1, h2, p0, p1, p2, p3] = bytes;
        let header = u32::from_le_bytes([h0, h1, h2, 0]) as usize;
        let payload = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        match kind {
            0 => Ok(Self::Whole { header, payload }),
            1 => Ok(Self::Large { header, payload }),
            2 if header != 0 => Err(FrameError::HeaderOfPart(header)),
            2 => Ok(Self::Part { payload }),
            unknown => Err(FrameError::UnknownKind(unknown)),
        }
    }
}
