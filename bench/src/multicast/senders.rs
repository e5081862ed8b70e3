//! Who sends in a group.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Who sends in a group.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    /// One member; the others only receive.
    One,
    /// All members at the same time.
    All,
}

impl Senders {
    /// Both choices.
    pub const ALL: [Self; 2] = [Self::One, Self::All];

    /// How many of so many members send.
    pub(crate) const fn among(self, members: usize) -> usize {
        match self {
            Self::One => 1,
            Self::All => members,
        }
    }
}

impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one",
            Self::All => "all",
        })
    }
}

/// A word that does not say who sends.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` does not say who sends: choose one or all")]
pub struct NotSenders(String);

impl FromStr for Senders {
    type Err = NotSenders;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|senders| senders.to_string() == word)
            .ok_or_else(|| NotSenders(word.into()))
    }
}
