//! Serving one user of this node: a client, or a node that does not carry a group itself.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::StreamExt;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Pattern, Position, PublisherId, Subject};
use quorate_transport::{CloseReason, LaneReceiver, Outbox, Peer, Role};
use serde::Serialize;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::talk::{self, Ask, Tell};
use crate::{
    bus::{
        BusActor, Forward, IN_FLIGHT_BYTES_MAX, PublishError, PublishFor, Subscribe, SubscribeError,
        SubscribeOptions, Subscribed, Trail, Unsubscribe, WAITING_BYTES_MAX, check_subject,
    },
    group::{Done, Outcome},
    node::{AskGroup, AskNodeStatus, NodeActor},
    queue::{Reader, Slot, queue},
    room::Room,
    start::spawn,
    wire::{Malformed, UseLanes},
};

/// Bytes of a client's publications that may be on their way here. A client keeps to half of it by
/// itself, so its other questions never wait; the lane of one that does not is not read.
const CLIENT_BYTES_MAX: u32 = 2 * IN_FLIGHT_BYTES_MAX;
/// The same for a node, which publishes for all that use it, on a lane that serves one group.
const NODE_BYTES_MAX: u32 = 64 << 20;
/// Subscriptions of one user.
const SUBSCRIPTIONS_MAX: usize = 4096;
/// Messages that may wait here for one subscription, beside those that its user has room for.
const WAITING_MAX: usize = 256;
/// Outcomes that are told in one frame.
const OUTCOMES_MAX: usize = 4096;

/// What a session needs of its node.
#[derive(Clone, Debug)]
pub(crate) struct SessionDesk {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) bus: Addr<BusActor>,
    pub(crate) payload_bytes_max: usize,
}

struct Session {
    desk: SessionDesk,
    peer: Rc<Peer>,
    only: Option<GroupId>,
    tell: Rc<Outbox>,
    publisher: Option<PublisherId>,
    trail: Trail,
    /// Bounded by the room, which each outcome holds.
    outcomes: mpsc::UnboundedSender<Outcome>,
    room: Room,
    readings: BTreeMap<u64, Reading>,
}

/// A subscription that is served.
struct Reading {
    credit: Rc<Credit>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Credit {
    left: Cell<u64>,
    more: Notify,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a user until its lane ends. Violations close its link.
pub(crate) async fn serve(
    desk: SessionDesk,
    peer: Rc<Peer>,
    lanes: UseLanes,
    only: Option<GroupId>,
    mut receiver: Box<dyn LaneReceiver>,
) {
    let tell = peer.outbox(lanes.tell);
    let (outcomes, ended) = mpsc::unbounded_channel();
    let telling = spawn(tell_outcomes(Rc::clone(&tell), ended));
    let is_client = peer.info().role == Role::Client;
    let room = Room::new(if is_client { CLIENT_BYTES_MAX } else { NODE_BYTES_MAX });
    let mut session = Session {
        desk,
        peer,
        only,
        tell,
        publisher: None,
        trail: Trail::default(),
        outcomes,
        room,
        readings: BTreeMap::new(),
    };
    let mut frames = Vec::new();
    while let Ok(true) = receiver.recv(&mut frames).await {
        for frame in std::mem::take(&mut frames) {
            let served = match talk::read(frame) {
                Ok((ask, payload)) => session.on_ask(ask, payload).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                metrics::counter!("quorate_malformed_frames_total").increment(1);
                tracing::warn!(from = %session.peer.info().member, %error, "the link is closed");
                session.peer.close(CloseReason::Violation(error.to_string()));
                telling.abort();
                return;
            }
        }
    }
    telling.abort();
}

/// Tells how publications ended, as many as have at a time.
async fn tell_outcomes(tell: Rc<Outbox>, mut ended: mpsc::UnboundedReceiver<Outcome>) {
    let mut batch = Vec::new();
    while ended.recv_many(&mut batch, OUTCOMES_MAX).await > 0 {
        // Their room is free again: of what is told, few bytes are left.
        let outcomes = batch.drain(..).map(|(number, outcome, _)| (number, outcome)).collect();
        let Some(frame) = talk::frame(&Tell::Outcomes(outcomes), Bytes::new()) else { return };
        if tell.push_waiting(frame).await.is_err() {
            return;
        }
    }
}

impl Session {
    async fn on_ask(&mut self, ask: Ask, payload: Bytes) -> Result<(), Malformed> {
        match ask {
            Ask::Begin { publisher } => self.begin(publisher),
            Ask::Publish { number, settled, again, must_reach, subject, reply_to } => {
                let done = self.accept(number, &payload).await;
                let publisher = self.publisher.ok_or(Malformed("client"))?;
                // Told before it has a place among the client's publications to a group: those behind it
                // would wait for it.
                if let Err(error) = self.check(&subject, &payload) {
                    done.tell(Err(error));
                    return Ok(());
                }
                let trail = Arc::clone(&self.trail);
                self.desk.bus.do_send(PublishFor {
                    publisher,
                    number,
                    settled,
                    trail,
                    again,
                    must_reach,
                    subject,
                    reply_to,
                    payload,
                    done,
                });
                Ok(())
            }
            Ask::Forward { number, stamp, subject, reply_to } => {
                let group = self.only.ok_or(Malformed("client"))?;
                let done = self.accept(number, &payload).await;
                let stamp = Some(stamp);
                self.desk.bus.do_send(Forward { group, stamp, subject, reply_to, payload, done });
                Ok(())
            }
            Ask::Subscribe { id, pattern, options, again, after } => {
                self.subscribe(id, pattern, options, again, after);
                Ok(())
            }
            Ask::Credit { id, more } => {
                if let Some(reading) = self.readings.get(&id) {
                    let credit = &reading.credit;
                    credit.left.set(credit.left.get().saturating_add(more));
                    credit.more.notify_one();
                }
                Ok(())
            }
            Ask::Unsubscribe { id } => {
                self.readings.remove(&id);
                Ok(())
            }
            Ask::Status { number } => {
                let asked = self.desk.node.send(AskNodeStatus);
                let status = asked.await.ok();
                self.answer(number, status.as_ref());
                Ok(())
            }
            Ask::Views { number, group } => {
                let group = self.desk.node.send(AskGroup(group)).await.ok().flatten();
                let views = match group {
                    Some(group) => group.history().await.ok(),
                    None => None,
                };
                self.answer(number, views.as_ref());
                Ok(())
            }
            Ask::Send { number, group } => {
                let done = self.accept(number, &payload).await;
                self.multicast(&group, payload, done).await;
                Ok(())
            }
        }
    }

    /// Whether this node publishes something for a client.
    fn check(&self, subject: &Subject, payload: &Bytes) -> Result<(), PublishError> {
        let (bytes, limit) = (payload.len(), self.desk.payload_bytes_max);
        if bytes > limit { Err(PublishError::TooLarge { bytes, limit }) } else { check_subject(subject) }
    }

    fn subscribe(
        &mut self,
        id: u64,
        pattern: Pattern,
        options: SubscribeOptions,
        again: bool,
        after: Vec<(GroupId, Position)>,
    ) {
        let is_full = self.readings.len() >= SUBSCRIPTIONS_MAX;
        if let Err(error) = if is_full { Err(SubscribeError::TooMany) } else { options.check() } {
            return self.tell(&Tell::Subscribed { id, result: Err(error) });
        }
        let credit = Rc::new(Credit { left: Cell::new(options.capacity as u64), more: Notify::new() });
        let (feed, reader) = queue(options.capacity.min(WAITING_MAX), WAITING_BYTES_MAX);
        let (done, subscribed) = oneshot::channel();
        let (feed, only) = (Arc::new(feed), self.only);
        // At the next node a client goes on with what it was granted.
        let by_client = only.is_none() && !again;
        self.desk.bus.do_send(Subscribe { pattern, options, feed, only, by_client, after, done });
        let (bus, tell) = (self.desk.bus.clone(), Rc::clone(&self.tell));
        let reading = read(bus, tell, id, subscribed, reader, Rc::clone(&credit));
        self.readings.insert(id, Reading { credit, task: spawn(reading) });
    }

    async fn multicast(&self, group: &str, payload: Bytes, done: Done) {
        let Some(group) = self.desk.node.send(AskGroup(group.to_owned())).await.ok().flatten() else {
            return done.tell(Err(PublishError::Refused(format!("the node has no group `{group}`"))));
        };
        // A group whose window is full must not hold up what else is asked.
        match group.hand_over(payload.into(), true) {
            Err(error) => done.tell(Err(error.into())),
            Ok(sent) => {
                spawn(async move { done.tell(sent.uniform().await.map_err(Into::into)) });
            }
        }
    }

    fn begin(&mut self, publisher: PublisherId) -> Result<(), Malformed> {
        let peer = self.peer.info();
        if peer.role == Role::Client && publisher.member != peer.member {
            return Err(Malformed("client")); // nobody publishes in the name of others
        }
        self.publisher = Some(publisher);
        self.trail = Trail::default();
        self.readings.clear();
        self.tell(&Tell::Welcome { member: self.peer.info().member });
        Ok(())
    }

    /// Waits until one more publication may be on its way.
    async fn accept(&self, number: u64, payload: &Bytes) -> Done {
        Done::Many(number, self.outcomes.clone(), self.room.take(payload.len()).await)
    }

    fn answer<T: Serialize>(&self, number: u64, value: Option<&T>) {
        let bytes = value.and_then(|value| rmp_serde::to_vec_named(value).ok());
        let known = bytes.is_some();
        if let Some(frame) = talk::frame(&Tell::Answer { number, known }, bytes.unwrap_or_default().into()) {
            // A link that is gone ends the session.
            let _ = self.tell.push_over(frame);
        }
    }

    fn tell(&self, tell: &Tell) {
        if let Some(frame) = talk::frame(tell, Bytes::new()) {
            // A link that is gone ends the session.
            let _ = self.tell.push_over(frame);
        }
    }
}

/// Ends a subscription at the bus when the reading ends, however it ends.
struct Release(Addr<BusActor>, u64);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.do_send(Unsubscribe(self.1));
    }
}

/// Sends what a subscription gets, as far as the user has room.
async fn read(
    bus: Addr<BusActor>,
    tell: Rc<Outbox>,
    id: u64,
    subscribed: oneshot::Receiver<Result<Subscribed, SubscribeError>>,
    mut reader: Reader<crate::bus::Delivery>,
    credit: Rc<Credit>,
) {
    let subscribed = subscribed.await.unwrap_or(Err(SubscribeError::Stopped)).map(Subscribed::take);
    let _release = subscribed.as_ref().ok().map(|(reader, _)| Release(bus, *reader));
    let failed = subscribed.is_err();
    let said = Tell::Subscribed { id, result: subscribed.map(|(_, from)| from) };
    let Some(frame) = talk::frame(&said, Bytes::new()) else { return };
    if tell.push_waiting(frame).await.is_err() || failed {
        return;
    }
    let mut missed: u64 = 0;
    while let Some(slot) = reader.next().await {
        let delivery = match slot {
            Slot::Missed(count) => {
                missed = missed.saturating_add(count);
                continue;
            }
            Slot::Item(delivery) => delivery,
        };
        while credit.left.get() == 0 {
            credit.more.notified().await;
        }
        credit.left.set(credit.left.get() - 1);
        let crate::bus::Delivery { subject, payload, reply_to, at, .. } = delivery;
        let said = Tell::Delivery { id, subject, reply_to, at, missed: std::mem::take(&mut missed) };
        let Some(frame) = talk::frame(&said, payload) else { return };
        if tell.push_waiting(frame).await.is_err() {
            return;
        }
    }
}
