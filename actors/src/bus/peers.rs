//! The buses of other nodes, and who waits until all of them know of a subscription.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::bus::Announcement;
use tokio::sync::oneshot;

use super::{
    SubscribeError,
    commands::Subscribed,
    talk::{Carried, Talk},
};
use crate::{
    node::{Outbox, Outboxes},
    wire::BUS_LANE,
};

#[derive(Debug)]
struct Peer {
    lanes: Arc<Outboxes>,
    /// The latest announcement that it has taken in.
    heard: u64,
}

type Waiting = (u64, oneshot::Sender<Result<Subscribed, SubscribeError>>, Subscribed);

/// The linked nodes.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    linked: BTreeMap<NodeId, Peer>,
    announced: u64,
    waiting: Vec<Waiting>,
}

impl Peers {
    /// Greets a peer with all that is wanted and carried here.
    pub(crate) fn up(
        &mut self,
        node: NodeId,
        lanes: Arc<Outboxes>,
        whole: Announcement,
        carries: Vec<Carried>,
    ) {
        self.announced += 1;
        let number = self.announced;
        self.linked.insert(node, Peer { lanes, heard: 0 });
        self.send(node, &Talk::Announce { number, said: whole }, Bytes::new());
        self.send(node, &Talk::Carries(carries), Bytes::new());
        // The others need not hear of it: what they know is current.
        for (_, peer) in
            self.linked.iter_mut().filter(|(other, peer)| **other != node && peer.heard + 1 == number)
        {
            peer.heard = number;
        }
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
            // Whoever gave up unsubscribes by dropping the reader.
            let _ = done.send(Ok(subscribed));
        }
    }

    /// Sends to one peer and returns its lane, unless it is not linked.
    pub(crate) fn send(&self, to: NodeId, talk: &Talk, payload: Bytes) -> Option<Arc<Outbox>> {
        let lane = self.linked.get(&to)?.lanes.lane(BUS_LANE);
        lane.push_over(talk.frame(payload)?);
        Some(lane)
    }
}
