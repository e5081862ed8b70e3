//! What can go wrong on the bus.

use std::time::Duration;

use quorate_protocols::bus::{Pattern, Subject, SubjectError};
use serde::{Deserialize, Serialize};

use crate::group::SendError;

/// Why a message was not published, or may not have been.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The text is no subject.
    #[error("not published: {0}")]
    Subject(String),
    /// The payload is too long.
    #[error("not published: a payload of {bytes} bytes exceeds the limit of {limit}; split it")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit of the node.
        limit: usize,
    },
    /// The value cannot be written as bytes.
    #[error("not published: the value cannot be encoded: {0}")]
    Unencodable(String),
    /// The subject is bound to a group that does not carry it here.
    #[error("not published: no node in reach carries `{0}`; check the group's `subjects`")]
    NotBound(Subject),
    /// The group does not take it.
    #[error("not published: {0}")]
    Refused(String),
    /// This node has left the group that carries the subject. Whoever publishes through it goes to another
    /// node by itself.
    #[error("not published: this node has left the group; publish through another node")]
    Left,
    /// Nobody subscribes to the subject of a request.
    #[error("not published: nobody subscribes to `{0}`, so nobody would answer")]
    NoResponders(Subject),
    /// Too much waits already.
    #[error("not published: too much waits already; publish again later")]
    Busy,
    /// The way to the cluster broke in mid-flight and the message cannot be sent twice safely.
    #[error("the message on an unbound subject may or may not have been handed on before the link broke")]
    MayHaveHappened,
    /// The bus was stopped. Subscribers may have the message.
    #[error("the bus was stopped before the outcome was known")]
    Stopped,
}

impl PublishError {
    /// Whether subscribers may have got the message all the same.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::MayHaveHappened | Self::Stopped)
    }
}

impl From<SubjectError> for PublishError {
    fn from(error: SubjectError) -> Self {
        Self::Subject(error.to_string())
    }
}

impl From<SendError> for PublishError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            SendError::Busy(_) | SendError::WouldBlock { .. } => Self::Busy,
            SendError::Stopped | SendError::Unknown => Self::Stopped,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Why a subscription did not come about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is no pattern.
    #[error("not subscribed: {0}")]
    Pattern(String),
    /// A queue group without a usable name.
    #[error(
        "not subscribed: `{0}` is no name of a queue: write 1 to 64 letters, digits, dots, dashes or underscores"
    )]
    Queue(String),
    /// A group whose events nobody in reach keeps.
    #[error(
        "not subscribed: no node in reach keeps the events of group `{0}`: bind subjects to it or give it \
         `history_bytes`, and check its name and that it has a view"
    )]
    NoHistory(String),
    /// A client that would hold publishers back for as long as it does not read.
    #[error(
        "not subscribed: `{0}` selects subjects that are bound to no group, whose publishers do not wait for a \
         client: let messages wait up to a bound, or skip them"
    )]
    CannotHoldBack(Pattern),
    /// Too many patterns.
    #[error("not subscribed: this node has too many subscriptions already")]
    TooMany,
    /// A queue group and what it cannot have.
    #[error("not subscribed: `{0}` selects subjects bound to a group in which this node has no part yet")]
    NotBound(Pattern),
    /// The bus was stopped.
    #[error("not subscribed: the bus was stopped")]
    Stopped,
}

impl From<SubjectError> for SubscribeError {
    fn from(error: SubjectError) -> Self {
        Self::Pattern(error.to_string())
    }
}

/// Why a request was not answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody in reach subscribes to the subject.
    #[error("nobody subscribes to `{0}`: start a replier, or check the subject")]
    NoResponders(Subject),
    /// No answer came in time; whoever got the request may still act on it.
    #[error("no answer on `{subject}` within {within:?}; the request may have been acted on")]
    TimedOut {
        /// The subject.
        subject: Subject,
        /// How long was waited.
        within: Duration,
    },
    /// The answer is not what was expected; the request was acted on.
    #[error("the answer on `{subject}` cannot be read: {why}")]
    Unreadable {
        /// The subject of the request.
        subject: Subject,
        /// What is wrong with it.
        why: String,
    },
    /// The request was not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<SubjectError> for RequestError {
    fn from(error: SubjectError) -> Self {
        Self::Publish(error.into())
    }
}
