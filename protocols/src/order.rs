//! The orders in which a group may deliver.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// When a message is delivered. Each order promises what the ones before it promise, and more.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// When it is the sender's next.
    Fifo,
    /// And what its sender had delivered before it has been delivered here.
    Causal,
    /// And every member has gone past its time stamp: all members deliver in the same order.
    Total,
    /// And a majority of the view holds it: what anybody delivered, every survivor delivers.
    #[default]
    Uniform,
}

impl Order {
    /// All orders, the weakest first.
    pub const ALL: [Self; 4] = [Self::Fifo, Self::Causal, Self::Total, Self::Uniform];

    /// Whether all members deliver in the same order.
    pub const fn is_total(self) -> bool {
        matches!(self, Self::Total | Self::Uniform)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "fifo",
            Self::Causal => "causal",
            Self::Total => "total",
            Self::Uniform => "uniform",
        })
    }
}

/// A word that names no order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not an order: choose fifo, causal, total or uniform")]
pub struct NotAnOrder(String);

impl FromStr for Order {
    type Err = NotAnOrder;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|order| order.to_string() == word).ok_or_else(|| NotAnOrder(word.into()))
    }
}
