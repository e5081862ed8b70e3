//! Tells when an actor ends that should not have.

use tokio::sync::mpsc;

/// Part of an actor: if the actor is dropped without having stopped in order, the node hears of it.
#[derive(Debug)]
pub(crate) struct Canary {
    actor: String,
    alarm: Option<mpsc::UnboundedSender<String>>,
}

impl Canary {
    // Unbounded: at most one alarm per actor.
    pub(crate) fn new(actor: impl Into<String>, alarm: mpsc::UnboundedSender<String>) -> Self {
        Self { actor: actor.into(), alarm: Some(alarm) }
    }

    /// The actor is asked to stop. Not for `Actor::stopped`, which an actor that panics passes, too.
    pub(crate) fn disarm(&mut self) {
        self.alarm = None;
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if let Some(alarm) = &self.alarm {
            // A node that is gone itself needs no telling.
            let _ = alarm.send(std::mem::take(&mut self.actor));
        }
    }
}
