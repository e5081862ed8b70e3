//! What a bus is asked to do, whether it runs in this process or is reached over a link.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use actix::Recipient;
use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Pattern, Position, PublisherId, Stamp, Subject};
use tokio::sync::oneshot;

use super::{Delivery, PublishError, RequestError, SubscribeError, SubscribeOptions};
use crate::{group::Done, queue::Feed, room::Held};

/// Publishes.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Publish {
    pub(crate) subject: Subject,
    pub(crate) reply_to: Option<Subject>,
    pub(crate) payload: Bytes,
    pub(crate) done: Done,
}

/// What a client has published to each group over one link: the number of the latest.
pub(crate) type Trail = Arc<Mutex<BTreeMap<GroupId, u64>>>;

/// Publishes for a client.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PublishFor {
    pub(crate) publisher: PublisherId,
    pub(crate) number: u64,
    pub(crate) settled: u64,
    pub(crate) trail: Trail,
    /// Whether it may have been published through another node before.
    pub(crate) again: bool,
    /// Whether somebody has to be there to answer.
    pub(crate) must_reach: bool,
    pub(crate) subject: Subject,
    pub(crate) reply_to: Option<Subject>,
    pub(crate) payload: Bytes,
    pub(crate) done: Done,
}

/// Publishes for a node that does not carry the group.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Forward {
    pub(crate) group: GroupId,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) subject: Subject,
    pub(crate) reply_to: Option<Subject>,
    pub(crate) payload: Bytes,
    pub(crate) done: Done,
}

/// Publishes and waits for one answer.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Request {
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    pub(crate) done: oneshot::Sender<Result<Delivery, RequestError>>,
    /// What its payload takes of its asker's room, as long as that is kept somewhere here.
    pub(crate) held: Option<Held>,
}

/// Subscribes; answers once all nodes in reach know.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Subscribe {
    pub(crate) pattern: Pattern,
    pub(crate) options: SubscribeOptions,
    pub(crate) feed: Arc<Feed<Delivery>>,
    /// The one group that it reads, if it reads no others and nothing unbound.
    pub(crate) only: Option<GroupId>,
    /// Whether a client asks, and for the first time: it may not hold publishers back.
    pub(crate) by_client: bool,
    /// Where it goes on in each bound group; elsewhere it begins now.
    pub(crate) after: Vec<(GroupId, Position)>,
    pub(crate) done: oneshot::Sender<Result<Subscribed, SubscribeError>>,
}

/// A subscription that stands. It ends if this is dropped before anybody has taken it: whoever asked for
/// it may have given up while the answer was on its way.
#[derive(Debug)]
pub(crate) struct Subscribed {
    id: u64,
    /// Where it began in each bound group that was in reach.
    from: Vec<(GroupId, Position)>,
    /// Where it is ended.
    at: Option<Recipient<Unsubscribe>>,
}

impl Subscribed {
    pub(crate) const fn new(id: u64, from: Vec<(GroupId, Position)>, at: Recipient<Unsubscribe>) -> Self {
        Self { id, from, at: Some(at) }
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The name of the subscription, and where it began in each bound group that was in reach. Whoever
    /// takes it has to end it.
    pub(crate) fn take(mut self) -> (u64, Vec<(GroupId, Position)>) {
        self.at = None;
        (self.id, std::mem::take(&mut self.from))
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        if let Some(at) = &self.at {
            at.do_send(Unsubscribe(self.id)); // once
        }
    }
}

/// Ends a subscription.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe(pub(crate) u64);

/// Where a publication's outcome is not waited for; what it takes of somebody's room is given back.
pub(crate) fn unheard(held: Option<Held>) -> Done {
    Done::Once(oneshot::channel::<Result<(), PublishError>>().0, held)
}
