//! What a lane carries.

use bytes::Bytes;

/// A short header and a payload that is never copied into it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// What the receiver needs to understand the payload.
    pub header: Bytes,
    /// The payload in pieces, sent back to back. The receiver gets it as one piece.
    pub body: Vec<Bytes>,
}

impl Frame {
    /// Bytes of the payload.
    pub fn body_bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// The payload in one piece: free for a received frame, a copy for one of several pieces.
    pub fn into_body(mut self) -> Bytes {
        match self.body.len() {
            0 => Bytes::new(),
            1 => self.body.swap_remove(0),
            _ => self.body.concat().into(),
        }
    }
}
