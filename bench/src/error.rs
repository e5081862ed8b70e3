//! Why a benchmark came to no result.

use std::{io, time::Duration};

use quorate_membership::NodeId;

/// Why a benchmark came to no result. What had been measured before was reported as progress.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A setting that makes no sense.
    #[error("{0}")]
    Settings(String),
    /// The system lacks what the benchmark needs, and what to do.
    #[error("{0}")]
    Missing(String),
    /// The operating system refused a thread or a socket.
    #[error("the operating system refused what the benchmark needs")]
    Io(#[from] io::Error),
    /// The link that a benchmark makes between its hosts failed, which says nothing about quorate.
    #[error("the link between the hosts failed")]
    Relay(#[source] io::Error),
    /// The baseline failed, which says nothing about quorate.
    #[error("the baseline failed: {0}")]
    Baseline(String),
    /// What is measured failed.
    #[error("what is measured failed: {0}")]
    Ours(String),
    /// Where it happened.
    #[error("{case}: {source}")]
    Case {
        /// What was measured.
        case: String,
        /// What went wrong.
        source: Box<BenchError>,
    },
    /// A round came to no end: something waits for what never comes.
    #[error("a round was not over after {0:?}")]
    Stuck(Duration),
    /// What arrived is not what was sent.
    #[error("{sent} messages were sent and {received} received")]
    Miscounted {
        /// Messages handed over by the sender.
        sent: u64,
        /// Messages that the receiver got.
        received: u64,
    },
    /// A member got another message than the next one of its sender.
    #[error("{member} got message {came} where {next} was next: one is lost, doubled or out of turn")]
    OutOfTurn {
        /// The member.
        member: NodeId,
        /// The number of the message that was next.
        next: u64,
        /// That of the message which came.
        came: u64,
    },
    /// What a member counts is not what was sent.
    #[error(
        "{counter} of {member} counts {counted} where {sent} were sent, which is {} too {}",
        .counted.abs_diff(*.sent),
        if .counted < .sent { "few" } else { "many" }
    )]
    Disagrees {
        /// The member.
        member: NodeId,
        /// What it counts by.
        counter: &'static str,
        /// What it counts.
        counted: u64,
        /// What was sent.
        sent: u64,
    },
}

impl BenchError {
    /// The baseline failed with this error.
    pub(crate) fn baseline(error: impl std::fmt::Display) -> Self {
        Self::Baseline(error.to_string())
    }

    /// What is measured failed with this error.
    pub(crate) fn ours(error: impl std::fmt::Display) -> Self {
        Self::Ours(error.to_string())
    }

    /// It happened while this was measured.
    pub(crate) fn in_case(self, case: &str) -> Self {
        Self::Case { case: case.to_owned(), source: Box::new(self) }
    }

    /// Refuses figures of a round in which not as many messages arrived as were sent.
    pub(crate) fn unless_all_came(sent: u64, received: u64) -> Result<(), Self> {
        if received == sent { Ok(()) } else { Err(Self::Miscounted { sent, received }) }
    }

    /// A task of the benchmark ended without a result.
    pub(crate) fn task(error: tokio::task::JoinError) -> Self {
        Self::Io(io::Error::other(error))
    }
}
