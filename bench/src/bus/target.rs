//! For whom the messages are that are published.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// For whom the messages are that are published.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Nobody subscribes.
    Nobody,
    /// One subscriber on the same node, on a thread of its own.
    Local,
    /// The subject is bound to a group of one node.
    Group,
    /// One subscriber on each of two other nodes, reached over QUIC, from one publisher.
    Remote,
    /// Requests to another node and back.
    Request,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Nobody, Self::Local, Self::Group, Self::Remote, Self::Request];

    /// The nodes that it takes.
    pub(super) const fn nodes(self) -> usize {
        match self {
            Self::Nobody | Self::Local | Self::Group => 1,
            Self::Request => 2,
            Self::Remote => 3,
        }
    }

    /// What a case is called.
    pub(super) const fn case(self) -> &'static str {
        match self {
            Self::Nobody => "nobody subscribes",
            Self::Local => "a subscriber here",
            Self::Group => "bound to a group of one",
            Self::Remote => "to subscribers at two other nodes",
            Self::Request => "request and answer",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Local => "local",
            Self::Group => "group",
            Self::Remote => "remote",
            Self::Request => "request",
        })
    }
}

/// A word that does not say for whom messages are.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` does not say for whom messages are: choose nobody, local, group, remote or request")]
pub struct NotATarget(String);

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|target| target.to_string() == word).ok_or_else(|| NotATarget(word.into()))
    }
}
