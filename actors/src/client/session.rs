//! Serving one user of this node: a client, or a node that does not carry a group itself.

use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::StreamExt;
use quorate_membership::GroupId;
use quorate_protocols::bus::PublisherId;
use quorate_transport::{CloseReason, LaneReceiver, Outbox, Peer, Role};
use serde::Serialize;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

use super::talk::{self, Ask, Tell};
use crate::{
    bus::{
        BusActor, Forward, PublishError, PublishFor, Subscribe, SubscribeError, Subscribed, Trail,
        Unsubscribe, WAITING_BYTES_MAX,
    },
    group::Done,
    node::{AskGroup, AskNodeStatus, NodeActor},
    queue::{Reader, Slot, queue},
    wire::{Malformed, UseLanes},
};

/// Publications of one user that may be on their way; at the bound its lane is not read.
const IN_FLIGHT_MAX: usize = 16_384;
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

type Outcomes = mpsc::UnboundedSender<(u64, Result<(), PublishError>)>;

struct Session {
    desk: SessionDesk,
    peer: Rc<Peer>,
    only: Option<GroupId>,
    tell: Rc<Outbox>,
    publisher: Option<PublisherId>,
    trail: Trail,
    /// Bounded by `IN_FLIGHT_MAX`.
    outcomes: Outcomes,
    in_flight: Rc<InFlight>,
    readings: BTreeMap<u64, Reading>,
}

#[derive(Default)]
struct InFlight {
    count: Cell<usize>,
    fell: Notify,
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
    let in_flight = Rc::new(InFlight::default());
    let telling = actix::spawn(tell_outcomes(Rc::clone(&tell), ended, Rc::clone(&in_flight)));
    let mut session = Session {
        desk,
        peer,
        only,
        tell,
        publisher: None,
        trail: Trail::default(),
        outcomes,
        in_flight,
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
async fn tell_outcomes(
    tell: Rc<Outbox>,
    mut ended: mpsc::UnboundedReceiver<(u64, Result<(), PublishError>)>,
    in_flight: Rc<InFlight>,
) {
    let mut batch = Vec::new();
    while ended.recv_many(&mut batch, OUTCOMES_MAX).await > 0 {
        in_flight.count.set(in_flight.count.get().saturating_sub(batch.len()));
        in_flight.fell.notify_one();
        let Some(frame) = talk::frame(&Tell::Outcomes(std::mem::take(&mut batch)), Bytes::new()) else {
            return;
        };
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
                let done = self.accept(number).await;
                let publisher = self.publisher.ok_or(Malformed("client"))?;
                let (bytes, limit) = (payload.len(), self.desk.payload_bytes_max);
                if bytes > limit {
                    // Told before it has a place among the client's publications to a group: those
                    // behind it would wait for it.
                    done.tell(Err(PublishError::TooLarge { bytes, limit }));
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
                let done = self.accept(number).await;
                let stamp = Some(stamp);
                self.desk.bus.do_send(Forward { group, stamp, subject, reply_to, payload, done });
                Ok(())
            }
            Ask::Subscribe { id, pattern, options, after } => {
                if self.readings.len() >= SUBSCRIPTIONS_MAX {
                    self.tell(&Tell::Subscribed { id, result: Err(SubscribeError::TooMany) });
                    return Ok(());
                }
                let credit =
                    Rc::new(Credit { left: Cell::new(options.capacity as u64), more: Notify::new() });
                let (feed, reader) = queue(options.capacity.min(WAITING_MAX), WAITING_BYTES_MAX);
                let (done, subscribed) = oneshot::channel();
                let (feed, only) = (Arc::new(feed), self.only);
                let command = Subscribe { pattern, options, feed, only, after, done };
                self.desk.bus.do_send(command);
                let reading = read(
                    self.desk.bus.clone(),
                    Rc::clone(&self.tell),
                    id,
                    subscribed,
                    reader,
                    Rc::clone(&credit),
                );
                self.readings.insert(id, Reading { credit, task: actix::spawn(reading) });
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
                let done = self.accept(number).await;
                match self.desk.node.send(AskGroup(group.clone())).await.ok().flatten() {
                    None => done.tell(Err(PublishError::Refused(format!("the node has no group `{group}`")))),
                    Some(group) => {
                        let outcome = group.send(payload).await;
                        actix::spawn(async move {
                            done.tell(match outcome {
                                Ok(sent) => sent.uniform().await.map_err(PublishError::from),
                                Err(error) => Err(error.into()),
                            });
                        });
                    }
                }
                Ok(())
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
    async fn accept(&self, number: u64) -> Done {
        while self.in_flight.count.get() >= IN_FLIGHT_MAX {
            self.in_flight.fell.notified().await;
        }
        self.in_flight.count.set(self.in_flight.count.get() + 1);
        Done::Many(number, self.outcomes.clone())
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
struct Release(Addr<BusActor>, Option<u64>);

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(id) = self.1 {
            self.0.do_send(Unsubscribe(id));
        }
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
    let subscribed = subscribed.await.unwrap_or(Err(SubscribeError::Stopped));
    let _release = Release(bus, subscribed.as_ref().ok().map(|subscribed| subscribed.id));
    let failed = subscribed.is_err();
    let said = Tell::Subscribed { id, result: subscribed.map(|subscribed| subscribed.from) };
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
