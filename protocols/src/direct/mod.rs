//! Point-to-point messages between two members of one view: one numbered channel per direction.
//!
//! A channel is a window of letters that the addressee has not acknowledged. What is lost on the
//! way is sent again, the oldest batch first; what overtakes is kept until the gap is closed. An
//! acknowledgement means "delivered", so that the fate of a letter is known when its view ends.

mod incoming;
mod outgoing;
#[cfg(test)]
mod properties;

use std::fmt;

use bytes::Bytes;
use quorate_membership::{Member, Seq};
use serde::{Deserialize, Serialize};

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::{Letter, Outgoing};

/// Names a request to members of a group: who asked, and the ticket under which it did.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub asker: Member,
    /// The asker's number for the request.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}?{}", self.asker, self.number)
    }
}

/// What a point-to-point message is to its addressee.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Purpose {
    /// A message.
    Message,
    /// A request of the sender with this number.
    Request(u64),
    /// An answer to the addressee's request with this number.
    Answer(u64),
}

/// Letters with consecutive positions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Letters {
    pub(crate) first: Seq,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) batch: Vec<Bytes>,
}
