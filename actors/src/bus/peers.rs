//! The buses of other nodes, and who waits until all of them know of a subscription.

use std::{collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::bus::Announcement;
use quorate_transport::Outbox;
use tokio::sync::oneshot;

use super::{
    SubscribeError,
    commands::Subscribed,
    talk::{Carried, Talk},
};

#[derive(Debug)]
struct Peer {
    lane: Rc<Outbox>,
    /// The latest announcement that it has taken in.
    heard: u64,
}

type Waiting = (u64, oneshot::Sender<Result<Subscribed, SubscribeError>>, Subscribed);

/// The linked nodes.
#[derive(Debug)]
pub(crate) struct Peers {
    linked: BTreeMap<NodeId, Peer>,
    /// The number of the latest announcement. A peer that has heard none is at zero.
    announced: u64,
    waiting: Vec<Waiting>,
    /// Subscriptions that nobody waits for any more.
    abandoned: Vec<u64>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { linked: BTreeMap::new(), announced: 1, waiting: Vec::new(), abandoned: Vec::new() }
    }
}

impl Peers {
    /// Greets a peer with all that is wanted and carried here.
    pub(crate) fn up(&mut self, node: NodeId, lane: Rc<Outbox>, whole: Announcement, carries: Vec<Carried>) {
        self.linked.insert(node, Peer { lane, heard: 0 });
        self.send(node, &Talk::Announce { number: self.announced, said: whole }, Bytes::new());
        self.send(node, &Talk::Carries(carries), Bytes::new());
    }

    pub(crate) fn down(&mut self, node: NodeId) {
        self.linked.remove(&node);
        self.settle();
    }

    pub(crate) fn heard(&mut self, node: NodeId, number: u64) {
        if let Some(peer) = self.linked.get_mut(&node) {
            peer.heard = peer.heard.max(number.min(self.announced));
        }
        self.settle();
    }

    /// Tells all peers.
    pub(crate) fn announce(&mut self, said: &Announcement) {
        self.announced += 1;
        let talk = Talk::Announce { number: self.announced, said: said.clone() };
        self.tell_all(&talk);
    }

    pub(crate) fn tell_all(&self, talk: &Talk) {
        for node in self.linked.keys() {
            self.send(*node, talk, Bytes::new());
        }
    }

    /// Answers a subscriber once all peers know of all that was announced so far.
    pub(crate) fn when_heard(
        &mut self,
        done: oneshot::Sender<Result<Subscribed, SubscribeError>>,
        subscribed: Subscribed,
    ) {
        self.waiting.push((self.announced, done, subscribed));
        self.settle();
    }

    fn settle(&mut self) {
        let heard = self.linked.values().map(|peer| peer.heard).min().unwrap_or(u64::MAX);
        for (_, done, subscribed) in self.waiting.extract_if(.., |(number, ..)| *number <= heard) {
            let id = subscribed.id;
            if done.send(Ok(subscribed)).is_err() {
                self.abandoned.push(id);
            }
        }
    }

    /// Subscriptions to end because whoever asked for them gave up.
    pub(crate) fn take_abandoned(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.abandoned)
    }

    /// Sends to one peer and returns its lane, unless it is not linked.
    pub(crate) fn send(&self, to: NodeId, talk: &Talk, payload: Bytes) -> Option<Rc<Outbox>> {
        let lane = &self.linked.get(&to)?.lane;
        if let Err(error) = lane.push_over(talk.frame(payload)?) {
            tracing::debug!(%to, %error, "not sent");
            return None;
        }
        Some(Rc::clone(lane))
    }
}
