//! What a lane carries.

use std::{
    ops::Deref,
    slice,
    sync::{Arc, OnceLock},
};

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
            Pieces::None => Bytes::new(),
            Pieces::One(piece) => piece,
            Pieces::Many(shared) => shared.pieces.concat().into(),
        }
    }
}

/// The pieces of a payload, as a slice of them. One piece, as most payloads have, is held without
/// memory of its own: taking and giving it back cost as much as all the rest of a short frame. Several are
/// shared by all clones, and so is what links make of them.
///
/// ```
/// use quorate_transport::Body;
///
/// let one = Body::from(bytes::Bytes::from("payload"));
/// assert_eq!(one, ["payload"]);
/// let two: Body = vec!["pay".into(), "load".into()].into();
/// assert_eq!((two.len(), &two[1][..]), (2, &b"load"[..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Body(Pieces);

#[derive(Clone, Debug, Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(Arc<Shared>),
}

#[derive(Debug)]
struct Shared {
    pieces: Arc<Vec<Bytes>>,
    /// The same for links, once one of them has asked.
    joined: OnceLock<Vec<Bytes>>,
}

impl Body {
    /// Pieces below this many bytes are copied on their way into a stream. A chunk of its own costs its
    /// receiver a counted reference, a place in queues and system calls, and so does the chunk before it
    /// that it cuts off: more than copying two KiB.
    pub const COPIED_BELOW_BYTES: usize = 2 << 10;

    /// The pieces as a link writes them into a stream: neighbours that are short are joined, once for all
    /// links on which the frame goes out.
    ///
    /// ```
    /// use quorate_transport::Body;
    ///
    /// let long = bytes::Bytes::from(vec![0; Body::COPIED_BELOW_BYTES]);
    /// let body = Body::from(vec!["pay".into(), "load".into(), long.clone(), "end".into()]);
    /// assert_eq!(body.joined(), ["payload".into(), long, "end".into()]);
    /// assert_eq!(body.joined().as_ptr(), body.clone().joined().as_ptr());
    /// ```
    pub fn joined(&self) -> &[Bytes] {
        match &self.0 {
            Pieces::None => &[],
            Pieces::One(piece) => slice::from_ref(piece),
            Pieces::Many(shared) => shared.joined.get_or_init(|| join(&shared.pieces)),
        }
    }
}

fn join(pieces: &[Bytes]) -> Vec<Bytes> {
    let is_short = |piece: &Bytes| piece.len() < Body::COPIED_BELOW_BYTES;
    let runs = pieces.chunk_by(|one, next| is_short(one) && is_short(next));
    runs.map(|run| if let [one] = run { one.clone() } else { Bytes::from(run.concat()) }).collect()
}

impl Deref for Body {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        match &self.0 {
            Pieces::None => &[],
            Pieces::One(piece) => slice::from_ref(piece),
            Pieces::Many(shared) => &shared.pieces,
        }
    }
}

impl From<Bytes> for Body {
    /// One piece, or none if it is empty, as every receiver gets it.
    fn from(piece: Bytes) -> Self {
        if piece.is_empty() { Self::default() } else { Self(Pieces::One(piece)) }
    }
}

impl From<Arc<Vec<Bytes>>> for Body {
    /// Pieces that somebody else keeps, too.
    fn from(pieces: Arc<Vec<Bytes>>) -> Self {
        Self(match &pieces[..] {
            [] => Pieces::None,
            [one] => Pieces::One(one.clone()),
            _ => Pieces::Many(Arc::new(Shared { pieces, joined: OnceLock::new() })),
        })
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        Self(match pieces.len() {
            0 => Pieces::None,
            1 => Pieces::One(pieces.swap_remove(0)),
            _ => return Arc::new(pieces).into(),
        })
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
