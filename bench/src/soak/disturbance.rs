//! What goes on beside the load of a long run.

use std::{fmt, str::FromStr};

use quorate::protocols::SlowPolicy;

/// What goes on beside the load of a long run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Disturbance {
    /// Nothing.
    Nothing,
    /// The last member gets less than is sent, under this policy for slow members.
    Slow(SlowPolicy),
    /// Of a hundred packets one is lost, whatever is in it.
    Loss,
    /// The last member leaves and joins, again and again.
    Churn,
}

impl Disturbance {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Slow(SlowPolicy::Block),
        Self::Slow(SlowPolicy::Demote),
        Self::Slow(SlowPolicy::Evict),
        Self::Loss,
        Self::Churn,
    ];

    /// Whether members leave, return, or are set aside, as they are meant to.
    pub(super) const fn changes_views(self) -> bool {
        matches!(self, Self::Churn | Self::Slow(SlowPolicy::Demote | SlowPolicy::Evict))
    }

    /// What a case is called.
    pub(super) fn case(self) -> String {
        match self {
            Self::Nothing => "undisturbed".into(),
            Self::Slow(policy) => format!("a slow member, {policy}"),
            Self::Loss => "1 % of packets lost".into(),
            Self::Churn => "a member leaves and joins".into(),
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Slow(policy) => write!(f, "{policy}"),
            Self::Loss => f.write_str("loss"),
            Self::Churn => f.write_str("churn"),
        }
    }
}

/// A word that names no disturbance.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no disturbance: choose nothing, block, demote, evict, loss or churn")]
pub struct NotADisturbance(String);

impl FromStr for Disturbance {
    type Err = NotADisturbance;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|disturbance| disturbance.to_string() == word);
        named.ok_or_else(|| NotADisturbance(word.into()))
    }
}
