//! What a lane carries.

use std::{ops::Deref, slice};

use bytes::Bytes;

/// A short header and a payload that is never copied into it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// What the receiver needs to understand the payload.
    pub header: Bytes,
    /// The payload in pieces, sent back to back. The receiver gets it as one piece.
    pub body: Body,
}

impl Frame {
    /// Bytes of the payload.
    pub fn body_bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// The payload in one piece: free for a received frame, a copy for one of several pieces.
    pub fn into_body(self) -> Bytes {
        match self.body.0 {
            Pieces::One(piece) => piece,
            Pieces::Many(pieces) => pieces.concat().into(),
        }
    }
}

/// The pieces of a payload, as a slice of them. One piece, as most payloads have, is held without
/// memory of its own: taking and giving it back cost as much as all the rest of a short frame.
///
/// ```
/// use quorate_transport::Body;
///
/// let one = Body::from(bytes::Bytes::from("payload"));
/// assert_eq!(one, ["payload"]);
/// let two: Body = vec!["pay".into(), "load".into()].into();
/// assert_eq!((two.len(), &two[1][..]), (2, &b"load"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Body(Pieces);

#[derive(Clone, Debug)]
enum Pieces {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Default for Body {
    fn default() -> Self {
        Self(Pieces::Many(Vec::new()))
    }
}

impl Deref for Body {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match &self.0 {
            Pieces::One(piece) => slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }
}

impl From<Bytes> for Body {
    /// One piece, or none if it is empty, as every receiver gets it.
    fn from(piece: Bytes) -> Self {
        if piece.is_empty() { Self::default() } else { Self(Pieces::One(piece)) }
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        Self(if pieces.len() == 1 { Pieces::One(pieces.swap_remove(0)) } else { Pieces::Many(pieces) })
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Vec::from_iter(pieces).into()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Body {}

impl<T, const N: usize> PartialEq<[T; N]> for Body
where
    Bytes: PartialEq<T>,
{
    fn eq(&self, other: &[T; N]) -> bool {
        self[..] == other[..]
    }
}
