//! What a subscriber gets.

use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Position, Subject};
use serde::{Serialize, de::DeserializeOwned};

use super::PublishError;

/// A message on its way to a subscriber.
#[derive(Clone, Debug, Eq, PartialEq, actix::Message)]
#[rtype(result = "()")]
pub struct Delivery {
    /// What it is about.
    pub subject: Subject,
    /// The message.
    pub payload: Bytes,
    /// Where an answer is expected, if one is; see [`Bus::reply`](crate::Bus::reply).
    pub reply_to: Option<Subject>,
    /// For a subject that is bound to a group: the group, and the place in its order.
    pub at: Option<(GroupId, Position)>,
    /// What the subscriber has missed just before this message.
    pub missed: Option<Missed>,
}

/// How much a subscriber has missed at one place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missed {
    /// So many messages. For a subscriber that fell behind what is kept of a bound group, so many
    /// messages of the group, of which some may have been for others.
    Count(u64),
    /// Some, or perhaps none: nobody knows any more.
    Unknown,
}

impl Missed {
    /// Stands for [`Self::Unknown`] where only counts are added up.
    pub(crate) const UNKNOWN: u64 = u64::MAX;

    pub(crate) const fn from_count(count: u64) -> Self {
        if count == Self::UNKNOWN { Self::Unknown } else { Self::Count(count) }
    }
}

/// A payload is not what its reader expects, or cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the payload on `{subject}` is not a `{wanted}`: publisher and subscriber must use the same type")]
pub struct NotThatType {
    subject: Subject,
    wanted: &'static str,
    #[source]
    why: rmp_serde::decode::Error,
}

impl Delivery {
    /// A message that has no place in any order.
    pub(crate) fn new(subject: &Subject, reply_to: Option<&Subject>, payload: &Bytes) -> Self {
        Self {
            subject: subject.clone(),
            payload: payload.clone(),
            reply_to: reply_to.cloned(),
            at: None,
            missed: None,
        }
    }

    /// Reads a payload that [`Bus::publish_typed`](crate::Bus::publish_typed) or
    /// [`Bus::request_typed`](crate::Bus::request_typed) has written.
    ///
    /// # Errors
    /// [`NotThatType`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, NotThatType> {
        rmp_serde::from_slice(&self.payload).map_err(|why| NotThatType {
            subject: self.subject.clone(),
            wanted: std::any::type_name::<T>(),
            why,
        })
    }

    /// Bytes that it occupies in a queue.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.payload.len() + self.subject.as_str().len()
    }
}

/// Writes a value as a payload.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, PublishError> {
    let written = rmp_serde::to_vec_named(value).map(Bytes::from);
    written.map_err(|why| PublishError::Unencodable(why.to_string()))
}
