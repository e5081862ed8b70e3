//! What can go wrong with a node as a whole.

use std::error::Error;

use quorate_membership::Member;

use crate::config::{LifeError, SettingsError};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The node cannot begin a life.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The transport was not opened, for the reason that it gave.
    #[error("the transport was not opened: {0}")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
    /// It was called outside an actix system.
    #[error("a node starts inside an actix system: call it from `#[actix::main]` or an arbiter")]
    NoSystem,
    /// It ended while it started.
    #[error("the node stopped while it started: {0}")]
    Stopped(String),
}

/// Why a group was not joined.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It runs here with other settings.
    #[error("group `{0}` runs on this node with other settings: leave it first, or use the same")]
    OtherSettings(String),
    /// Its newcomers get the application's state, so somebody has to keep it here.
    #[error("group `{0}` has state: join it with `join_with_state`, or declare it without")]
    NeedsState(String),
    /// Its newcomers get no state.
    #[error("group `{0}` has no state: join it with `join`, or declare it with state")]
    NoState(String),
    /// It runs here, and its state is kept by somebody else or about to be given up.
    #[error("group `{0}` runs on this node already: leave it first, and wait until it is left")]
    Running(String),
    /// The node was stopped.
    #[error("the node was stopped")]
    Stopped,
}

/// Why a node stopped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked for it.
    #[error("it was asked to stop")]
    Asked,
    /// One of its actors ended, and a node is never half.
    #[error("its part `{0}` failed: see the log for the reason, then start the node again")]
    ActorFailed(String),
    /// The cluster knows a later life of the same node, perhaps this one.
    #[error(
        "the node runs elsewhere in a later life{}: stop one of the two, or give this one another number",
        .0.map(|life| format!(", {life}")).unwrap_or_default()
    )]
    Superseded(Option<Member>),
}
