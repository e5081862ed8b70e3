//! The fate of a message, as its sender sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use quorate_protocols::Refusal;
use tokio::sync::Notify;

/// Why a message was not sent, or did not arrive.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody will deliver it. Send it again once this member is back in a view.
    #[error("this member had to leave the group before the message was sent; send it again")]
    Lost,
    /// Others may have delivered it. Sending it again may double it.
    #[error("this member had to leave the group before it learned whether others have the message")]
    Unknown,
    /// The group does not take it.
    #[error("not sent: {0}")]
    Refused(#[from] Refusal),
    /// Too many messages wait for the window. Send again later.
    #[error("{0} messages wait already; send again later")]
    Busy(usize),
    /// The window is full; only [`Group::try_send`](crate::Group::try_send) says so.
    #[error("{waiting} bytes of messages wait to be held by all; send again later, or let `send` wait")]
    WouldBlock {
        /// Bytes that wait.
        waiting: usize,
    },
    /// The payload is too long.
    #[error("a payload of {bytes} bytes exceeds the limit of {limit}; split it")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit of the node.
        limit: usize,
    },
    /// The group was stopped here; others may have the message.
    #[error("the group was stopped at this node before the outcome was known")]
    Stopped,
}

impl SendError {
    /// Whether the message may have been delivered somewhere all the same.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown | Self::Stopped)
    }
}

/// How far a message has come; each step implies those before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    Waiting,
    Accepted,
    Uniform,
    Everywhere,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    failure: Option<Box<SendError>>,
}

/// The one record of a message's way, shared by the group and the sender.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    moved: Notify,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { stage: Stage::Waiting, failure: None };
        Arc::new(Self { state: Mutex::new(state), moved: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.lock().stage
    }

    pub(crate) fn reach(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        drop(state);
        self.moved.notify_waiters();
    }

    pub(crate) fn fail(&self, why: SendError) {
        self.lock().failure.get_or_insert_with(|| Box::new(why));
        self.moved.notify_waiters();
    }

    pub(crate) async fn wait(&self, stage: Stage) -> Result<(), SendError> {
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                if state.stage >= stage {
                    return Ok(());
                }
                if let Some(why) = &state.failure {
                    return Err(SendError::clone(why));
                }
            }
            moved.await;
        }
    }
}

/// A message that the group has accepted. Dropping this changes nothing about the message.
#[derive(Clone, Debug)]
pub struct Sent(pub(crate) Arc<Progress>);

impl Sent {
    /// Waits until a majority of the view holds the message and it was delivered here: it survives
    /// any view change.
    ///
    /// # Errors
    /// [`SendError`] says whether others may have it.
    pub async fn uniform(&self) -> Result<(), SendError> {
        self.0.wait(Stage::Uniform).await
    }

    /// Waits until every member of the view holds the message.
    ///
    /// # Errors
    /// [`SendError::Unknown`] if this member had to leave before it knew.
    pub async fn everywhere(&self) -> Result<(), SendError> {
        self.0.wait(Stage::Everywhere).await
    }
}

/// Messages that the group has accepted, in parts that go out in a frame each. Dropping this changes nothing
/// about them.
#[derive(Clone, Debug)]
pub struct SentAll(pub(crate) Vec<Sent>);

impl SentAll {
    /// Waits until each of them is [uniform](Sent::uniform).
    ///
    /// # Errors
    /// [`SendError::Lost`] if nobody will deliver any of them; what was lost in part is
    /// [`SendError::Unknown`], since sending all of them again would double the rest.
    pub async fn uniform(&self) -> Result<(), SendError> {
        in_all(join_all(self.0.iter().map(Sent::uniform)).await)
    }

    /// Waits until every member of the view holds all of them.
    ///
    /// # Errors
    /// As [`Self::uniform`].
    pub async fn everywhere(&self) -> Result<(), SendError> {
        in_all(join_all(self.0.iter().map(Sent::everywhere)).await)
    }
}

/// What is to be said of messages as a whole.
fn in_all(parts: Vec<Result<(), SendError>>) -> Result<(), SendError> {
    let some_lost = parts.contains(&Err(SendError::Lost));
    if some_lost && parts.iter().any(|part| *part != Err(SendError::Lost)) {
        return Err(SendError::Unknown);
    }
    parts.into_iter().collect()
}

/// Why not all of many messages were taken.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the first {taken} messages were taken, and not the next: {why}")]
pub struct SendAllError {
    /// How many were.
    pub taken: usize,
    /// Those.
    pub sent: SentAll,
    /// Why not the next.
    #[source]
    pub why: SendError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_which_some_are_lost_must_not_all_be_sent_again() {
        let (lost, unknown) = (Err(SendError::Lost), Err(SendError::Unknown));
        assert_eq!(in_all(Vec::new()), Ok(()));
        assert_eq!(in_all(vec![Ok(()), Ok(())]), Ok(()));
        assert_eq!(in_all(vec![lost.clone(), lost.clone()]), lost);
        assert_eq!(in_all(vec![lost.clone(), Ok(())]), unknown);
        assert_eq!(in_all(vec![unknown.clone(), lost]), unknown);
        assert_eq!(in_all(vec![Ok(()), Err(SendError::Stopped)]), Err(SendError::Stopped));
    }
}
