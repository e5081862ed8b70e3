//! What the application multicasts, on its way to the group's actor.
//!
//! Many callers send at the same time, and a mailbox takes an allocation and a wake-up for each
//! message. Here they gather, and the actor is told once for all that have.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quorate_protocols::Batch;

use super::{SendError, sent::Progress};

/// Something to multicast; `wait` says whether its sender waits for the window.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) payloads: Batch,
    pub(crate) progress: Arc<Progress>,
    pub(crate) wait: bool,
}

#[derive(Debug, Default)]
struct State {
    gathered: Vec<Submission>,
    closed: bool,
}

/// The queue before a group's actor. Clones are the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    state: Arc<Mutex<State>>,
    /// The longest payload that the node takes.
    pub(crate) payload_bytes_max: usize,
}

impl Intake {
    pub(crate) fn new(payload_bytes_max: usize) -> Self {
        Self { state: Arc::default(), payload_bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, behind those added before. Returns whether the actor has to be told.
    ///
    /// # Errors
    /// [`SendError::Stopped`] if it is gone.
    pub(crate) fn push(&self, submission: Submission) -> Result<bool, SendError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SendError::Stopped);
        }
        state.gathered.push(submission);
        Ok(state.gathered.len() == 1)
    }

    /// Takes all in exchange for an empty list, so that neither has to grow again.
    pub(super) fn swap(&self, empty: &mut Vec<Submission>) {
        debug_assert!(empty.is_empty(), "what was taken before is done");
        mem::swap(&mut self.lock().gathered, empty);
    }

    /// The actor ends: nothing is taken any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let gathered = mem::take(&mut state.gathered);
        drop(state);
        for Submission { progress, .. } in gathered {
            progress.fail(SendError::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> Submission {
        Submission { payloads: Batch::default(), progress: Progress::new(), wait: true }
    }

    #[test]
    fn the_actor_is_told_once_for_all_that_gather() {
        let intake = Intake::new(9);
        let told = [(); 3].map(|()| intake.push(submission()).unwrap());
        assert_eq!(told, [true, false, false]);
        let mut taken = Vec::new();
        intake.swap(&mut taken);
        assert_eq!(taken.len(), 3);
        assert_eq!(intake.push(submission()), Ok(true));
    }

    #[actix::test]
    async fn what_is_not_taken_when_the_actor_ends_fails_and_nothing_comes_after() {
        let (intake, late) = (Intake::new(9), submission());
        let progress = Arc::clone(&late.progress);
        intake.push(late).unwrap();
        intake.close();
        assert_eq!(progress.wait(super::super::sent::Stage::Accepted).await, Err(SendError::Stopped));
        assert_eq!(intake.push(submission()), Err(SendError::Stopped));
    }
}
