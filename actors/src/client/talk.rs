//! What is said on the lanes on which a node is used.

use bytes::Bytes;
use quorate_membership::{GroupId, Member};
use quorate_protocols::bus::{Pattern, Position, PublisherId, Stamp, Subject};
use quorate_transport::Frame;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    bus::{PublishError, SubscribeError, SubscribeOptions},
    wire::Malformed,
};

/// To the node that is used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Ask {
    /// Said first, and whenever the user begins anew on the same link.
    Begin { publisher: PublisherId },
    /// Publishes the payload.
    Publish {
        number: u64,
        settled: u64,
        again: bool,
        must_reach: bool,
        subject: Subject,
        reply_to: Option<Subject>,
    },
    /// Publishes the payload for somebody at another node.
    Forward { number: u64, stamp: Stamp, subject: Subject, reply_to: Option<Subject> },
    /// Subscribes, going on behind these positions; `again` if it stood at another node before.
    Subscribe {
        id: u64,
        pattern: Pattern,
        options: SubscribeOptions,
        again: bool,
        after: Vec<(GroupId, Position)>,
    },
    /// So many more messages of a subscription may come.
    Credit { id: u64, more: u64 },
    /// Ends a subscription.
    Unsubscribe { id: u64 },
    /// Asks how the node is.
    Status { number: u64 },
    /// Asks for the views of a group.
    Views { number: u64, group: String },
    /// Multicasts the payload to a group of the node.
    Send { number: u64, group: String },
}

/// From the node that is used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Tell {
    /// Who serves.
    Welcome { member: Member },
    /// How publications ended.
    Outcomes(Vec<(u64, Result<(), PublishError>)>),
    /// A subscription stands, or not.
    Subscribed { id: u64, result: Result<Vec<(GroupId, Position)>, SubscribeError> },
    /// A message of a subscription; the payload is the frame's.
    Delivery {
        id: u64,
        subject: Subject,
        reply_to: Option<Subject>,
        at: Option<(GroupId, Position)>,
        missed: u64,
    },
    /// The answer to a question; the payload is the value.
    Answer { number: u64, known: bool },
}

/// Writes a frame.
pub(crate) fn frame<T: Serialize>(said: &T, payload: Bytes) -> Option<Frame> {
    let header = rmp_serde::to_vec(said).inspect_err(|error| tracing::error!(%error, "not sent")).ok()?;
    Some(Frame { header: header.into(), body: payload.into() })
}

/// Reads a frame.
pub(crate) fn read<T: DeserializeOwned>(frame: Frame) -> Result<(T, Bytes), Malformed> {
    let said = rmp_serde::from_slice(&frame.header).map_err(|_| Malformed("client"))?;
    Ok((said, frame.into_body()))
}

#[cfg(test)]
mod tests;
