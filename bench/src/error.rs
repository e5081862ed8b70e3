//! Why a benchmark came to no result.

use std::{io, time::Duration};

/// Why a benchmark came to no result. What had been measured before was reported as progress.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A setting that makes no sense.
    #[error("{0}")]
    Settings(String),
    /// The operating system refused a thread or a socket.
    #[error("the operating system refused what the benchmark needs")]
    Io(#[from] io::Error),
    /// The baseline failed, which says nothing about quorate.
    #[error("the baseline failed: {0}")]
    Baseline(String),
    /// What is measured failed.
    #[error("{case} failed: {why}")]
    Ours {
        /// What was measured.
        case: String,
        /// What went wrong.
        why: String,
    },
    /// A round came to no end: something waits for what never comes.
    #[error("a round of {case} was not over after {after:?}")]
    Stuck {
        /// What was measured.
        case: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// What arrived is not what was sent.
    #[error("{sent} messages were sent and {received} received")]
    Miscounted {
        /// Messages handed over by the sender.
        sent: u64,
        /// Messages that the receiver got.
        received: u64,
    },
}

impl BenchError {
    /// The baseline failed with this error.
    pub(crate) fn baseline(error: &impl std::fmt::Display) -> Self {
        Self::Baseline(error.to_string())
    }

    /// A task of the benchmark ended without a result.
    pub(crate) fn task(error: &tokio::task::JoinError) -> Self {
        Self::Io(io::Error::other(error.to_string()))
    }
}
