//! What the buses of two nodes say to each other.

use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Announcement, Pattern, Position, Subject};
use quorate_transport::Frame;
use serde::{Deserialize, Serialize};

use crate::wire::Malformed;

/// A frame on the lane of the bus. The payload of a message is the frame's payload.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Talk {
    /// What is wanted at the sender.
    Announce { number: u64, said: Announcement },
    /// All announcements up to this one were taken in.
    Heard(u64),
    /// The groups with bound subjects that the sender carries.
    Carries(Vec<Carried>),
    /// A message for subscribers at the receiver.
    Message { subject: Subject, reply_to: Option<Subject>, plain: bool, queues: Vec<String>, at: At },
}

/// The group and the place of a message in its order, if it has one.
pub(crate) type At = Option<(GroupId, Position)>;

/// A group that a node carries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Carried {
    pub(crate) name: String,
    pub(crate) patterns: Vec<Pattern>,
}

impl Talk {
    pub(crate) fn frame(&self, payload: Bytes) -> Option<Frame> {
        let header = rmp_serde::to_vec(self).inspect_err(|error| tracing::error!(%error, "not sent")).ok()?;
        Some(Frame { header: header.into(), body: payload.into() })
    }

    pub(crate) fn read(frame: Frame) -> Result<(Self, Bytes), Malformed> {
        let talk = rmp_serde::from_slice(&frame.header).map_err(|_| Malformed("bus"))?;
        Ok((talk, frame.into_body()))
    }
}
