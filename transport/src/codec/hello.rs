//! What both sides say of themselves, and whether it fits together.

use std::{cmp, net::SocketAddr};

use bytes::Bytes;

use serde::{Deserialize, Serialize};

use crate::{ConnectError, FrameConfig, Hello};

/// Bytes before a hello: a mark that tells a node from anything else, and its length.
pub const HELLO_PREFIX_BYTES: usize = 6;

/// The most bytes of a hello behind its prefix.
pub const HELLO_BYTES_MAX: usize = 1024;

const MARK: [u8; 4] = *b"qrt\x01";

/// Bytes that are no hello. Close the link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// Something else speaks.
    #[error("the peer does not greet as a node does: is another service listening there?")]
    Mark,
    /// Longer than any hello.
    #[error("a hello of {0} bytes exceeds the limit of {limit}", limit = HELLO_BYTES_MAX)]
    TooLarge(usize),
    /// Not what a hello looks like.
    #[error("the hello is malformed")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// Bytes follow it.
    #[error("{0} bytes follow the hello")]
    Trailing(usize),
}

/// What each side says before anything else: what it is, and what it sends and takes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    /// What the node or client says of itself.
    pub hello: Hello,
    /// The limits of frames, which both sides must share.
    pub limits: FrameLimits,
}

/// The limits of frames that both sides of a link must share: what one sends within its limits has to
/// be within those of the other, or the link breaks with the first long frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FrameLimits {
    /// See [`FrameConfig::header_bytes_max`].
    pub header_bytes_max: u64,
    /// See [`FrameConfig::frame_bytes_max`].
    pub frame_bytes_max: u64,
    /// See [`FrameConfig::payload_bytes_max`].
    pub payload_bytes_max: u64,
}

impl From<&FrameConfig> for FrameLimits {
    fn from(config: &FrameConfig) -> Self {
        Self {
            header_bytes_max: config.header_bytes_max() as u64,
            frame_bytes_max: config.frame_bytes_max() as u64,
            payload_bytes_max: config.payload_bytes_max() as u64,
        }
    }
}

impl FrameLimits {
    /// The first limit that differs, with the value here and the value there.
    fn difference(&self, theirs: &Self) -> Option<(&'static str, u64, u64)> {
        [
            ("header_bytes_max", self.header_bytes_max, theirs.header_bytes_max),
            ("frame_bytes_max", self.frame_bytes_max, theirs.frame_bytes_max),
            ("payload_bytes_max", self.payload_bytes_max, theirs.payload_bytes_max),
        ]
        .into_iter()
        .find(|(_, ours, theirs)| ours != theirs)
    }
}

/// Encodes a greeting with its prefix.
///
/// # Errors
/// [`HelloError::TooLarge`] if the name of the cluster is too long.
pub fn encode_hello(greeting: &Greeting) -> Result<Bytes, HelloError> {
    // Fields go by name: a later version may add some, and this one still reads what it knows.
    let body = rmp_serde::to_vec_named(greeting).expect("numbers and a text can be encoded");
    if body.len() > HELLO_BYTES_MAX {
        return Err(HelloError::TooLarge(body.len()));
    }
    let length = (body.len() as u16).to_le_bytes();
    Ok([&MARK[..], &length, &body].concat().into())
}

/// Reads from the prefix how many bytes of hello follow it.
///
/// # Errors
/// [`HelloError`] if no hello follows, or one that is too long.
pub fn hello_bytes(prefix: [u8; HELLO_PREFIX_BYTES]) -> Result<usize, HelloError> {
    let [mark @ .., low, high] = prefix;
    if mark != MARK {
        return Err(HelloError::Mark);
    }
    match usize::from(u16::from_le_bytes([low, high])) {
        bytes if bytes > HELLO_BYTES_MAX => Err(HelloError::TooLarge(bytes)),
        bytes => Ok(bytes),
    }
}

/// Decodes the bytes behind the prefix.
///
/// # Errors
/// [`HelloError`] for bytes that are no hello.
pub fn decode_hello(bytes: &[u8]) -> Result<Greeting, HelloError> {
    if bytes.len() > HELLO_BYTES_MAX {
        return Err(HelloError::TooLarge(bytes.len()));
    }
    let mut rest = bytes;
    let greeting = rmp_serde::from_read(&mut rest)?;
    if rest.is_empty() { Ok(greeting) } else { Err(HelloError::Trailing(rest.len())) }
}

/// What both sides of a link can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreed {
    /// The highest version that both speak.
    pub version: u16,
    /// The abilities that both have.
    pub features: u64,
}

/// Why two sides cannot have a link. Both come to the same result.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// They belong to different clusters.
    #[error(
        "the peer belongs to cluster `{theirs}`, this node to `{ours}`: check the address and the certificates"
    )]
    Cluster {
        /// This side's.
        ours: String,
        /// The peer's.
        theirs: String,
    },
    /// No version is spoken by both.
    #[error("the peer speaks versions {} to {} of the protocol, this node {} to {}: upgrade {older}",
        theirs.0, theirs.1, ours.0, ours.1, older = if theirs.1 < ours.0 { "the peer" } else { "this node" })]
    Version {
        /// The lowest and the highest here.
        ours: (u16, u16),
        /// The lowest and the highest there.
        theirs: (u16, u16),
    },
    /// Frames may be longer on one side than on the other.
    #[error(
        "`{limit}` is {theirs} at the peer and {ours} here: give all nodes and clients of a cluster the same limits of frames"
    )]
    Limits {
        /// Which limit.
        limit: &'static str,
        /// The value here.
        ours: u64,
        /// The value there.
        theirs: u64,
    },
    /// A hello that no correct node sends.
    #[error("the hello contradicts itself: {0}")]
    Nonsense(&'static str),
}

impl Disagreement {
    /// As the error of a connection to this address.
    pub fn at(self, addr: SocketAddr) -> ConnectError {
        match self {
            Self::Version { ours, theirs } => ConnectError::Version { addr, theirs, ours },
            other => ConnectError::Handshake { addr, why: other.to_string() },
        }
    }
}

/// Finds what both sides can do.
///
/// # Errors
/// [`Disagreement`] if they cannot have a link, with what is to be done about it.
pub fn agree(here: &Greeting, there: &Greeting) -> Result<Agreed, Disagreement> {
    let (ours, theirs) = (&here.hello, &there.hello);
    for hello in [ours, theirs] {
        if hello.versions.0 > hello.versions.1 {
            return Err(Disagreement::Nonsense("its lowest version is above its highest"));
        }
        if hello.incarnation == quorate_membership::Incarnation::UNKNOWN {
            return Err(Disagreement::Nonsense("its sender has no incarnation"));
        }
    }
    if ours.cluster != theirs.cluster {
        return Err(Disagreement::Cluster { ours: ours.cluster.clone(), theirs: theirs.cluster.clone() });
    }
    let lowest = cmp::max(ours.versions.0, theirs.versions.0);
    let highest = cmp::min(ours.versions.1, theirs.versions.1);
    if lowest > highest {
        return Err(Disagreement::Version { ours: ours.versions, theirs: theirs.versions });
    }
    if let Some((limit, ours, theirs)) = here.limits.difference(&there.limits) {
        return Err(Disagreement::Limits { limit, ours, theirs });
    }
    Ok(Agreed { version: highest, features: ours.features & theirs.features })
}
