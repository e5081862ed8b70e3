//! What a bus is asked to do, whether it runs in this process or is reached over a link.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

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

/// A subscription stands.
#[derive(Clone, Debug)]
pub(crate) struct Subscribed {
    pub(crate) id: u64,
    /// Where it began in each bound group that runs here.
    pub(crate) from: Vec<(GroupId, Position)>,
}

/// Ends a subscription.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe(pub(crate) u64);

/// Where a publication's outcome is not waited for; what it takes of somebody's room is given back.
pub(crate) fn unheard(held: Option<Held>) -> Done {
    Done::Once(oneshot::channel::<Result<(), PublishError>>().0, held)
}
