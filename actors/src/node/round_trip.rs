//! How long heartbeats take there and back.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::NodeId;
use tokio::sync::oneshot;

/// A heartbeat is to be answered at once. Dropped without a word if it cannot be, or is not within
/// the detection time; `None` says that a later one was answered first.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct AskRoundTrip(pub(crate) NodeId, pub(crate) oneshot::Sender<Option<Duration>>);

/// The same, asked of the node, which answers for how long to wait unless it is busy.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Duration>")]
pub(crate) struct BeginRoundTrip(pub(crate) AskRoundTrip);

/// Why no heartbeat came back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RoundTripError {
    /// It did not come within the detection time, or nothing is exchanged with that node.
    #[error("no heartbeat came back from {0} in time: see `quorate status` for whether it is reachable")]
    NoAnswer(NodeId),
    /// A later one was answered, so this one was lost on its way there or back.
    #[error("a heartbeat to {0} was lost on its way there or back: a later one was answered")]
    Lost(NodeId),
    /// This node has more to do than it can take.
    #[error("the node is busy: ask again later")]
    Busy,
    /// The node was stopped.
    #[error("the node was stopped")]
    Stopped,
}

/// Who waits for which heartbeat.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips(BTreeMap<(NodeId, u64), oneshot::Sender<Option<Duration>>>);

impl RoundTrips {
    pub(super) fn wait(&mut self, node: NodeId, sequence: u64, answer: oneshot::Sender<Option<Duration>>) {
        // Whoever gave up need not be kept.
        self.0.retain(|_, waiting| !waiting.is_closed());
        self.0.insert((node, sequence), answer);
    }

    pub(super) fn over(&mut self, node: NodeId, sequence: u64, took: Option<Duration>) {
        if let Some(answer) = self.0.remove(&(node, sequence)) {
            // Nobody waits any more: then nobody wants to know.
            let _ = answer.send(took);
        }
    }
}
