//! The lanes to the buses of other nodes, and who waits until all of them know of a subscription.

use std::{collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::bus::SubscriptionId;
use quorate_transport::{Body, Frame, Outbox, OutboxError, SendError};
use tokio::sync::oneshot;

use super::{PublishError, SubscribeError, commands::Subscribed, talk::Talk};

type Waiting = (oneshot::Sender<Result<Subscribed, SubscribeError>>, Subscribed);

/// The linked nodes.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    linked: BTreeMap<NodeId, Rc<Outbox>>,
    waiting: BTreeMap<SubscriptionId, Waiting>,
}

impl Peers {
    pub(crate) fn up(&mut self, node: NodeId, lane: Rc<Outbox>) {
        self.linked.insert(node, lane);
    }

    pub(crate) fn down(&mut self, node: NodeId) {
        self.linked.remove(&node);
    }

    /// The lane to a linked node.
    pub(super) fn lane(&self, node: NodeId) -> Option<&Outbox> {
        self.linked.get(&node).map(|lane| &**lane)
    }

    /// A subscriber is to be answered once its subscription stands.
    pub(crate) fn wait(
        &mut self,
        done: oneshot::Sender<Result<Subscribed, SubscribeError>>,
        subscribed: Subscribed,
    ) {
        self.waiting.insert(subscribed.id(), (done, subscribed));
    }

    /// A subscription stands. It ends if nobody waits for that any more. Returns whether its subscriber
    /// was still to be answered.
    pub(crate) fn stands(&mut self, id: SubscriptionId) -> bool {
        let waiting = self.waiting.remove(&id);
        waiting.map(|(done, subscribed)| done.send(Ok(subscribed))).is_some()
    }

    /// Tells one peer something of the buses' own.
    pub(crate) fn say(&self, to: NodeId, talk: &Talk) {
        if let Err(error) = self.send(to, talk, Bytes::new()) {
            tracing::error!(%to, %error, "not told");
        }
    }

    /// The same to all that are linked.
    pub(crate) fn say_all(&self, talk: &Talk) {
        for to in self.linked.keys() {
            self.say(*to, talk);
        }
    }

    /// Sends to one peer and returns its lane, unless it is not linked.
    ///
    /// # Errors
    /// Why no link could carry it.
    pub(crate) fn send(
        &self,
        to: NodeId,
        talk: &Talk,
        payload: impl Into<Body>,
    ) -> Result<Option<Rc<Outbox>>, PublishError> {
        let frame = talk.frame(payload).map_err(|error| PublishError::Unencodable(error.to_string()))?;
        self.send_frame(to, frame)
    }

    /// The same with a frame that goes to several peers.
    ///
    /// # Errors
    /// Why no link could carry it.
    pub(super) fn send_frame(&self, to: NodeId, frame: Frame) -> Result<Option<Rc<Outbox>>, PublishError> {
        let Some(lane) = self.linked.get(&to) else { return Ok(None) };
        match lane.push_over(frame) {
            Ok(()) => Ok(Some(Rc::clone(lane))),
            Err(OutboxError::TooLarge(SendError::TooLarge { bytes, limit })) => {
                Err(PublishError::TooLarge { bytes, limit })
            }
            Err(OutboxError::TooLarge(error)) => Err(PublishError::Refused(error.to_string())),
            Err(error) => {
                tracing::debug!(%to, %error, "not sent");
                Ok(None)
            }
        }
    }
}
