//! Publishing into a group, and reading what was published, within the group's actor.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use quorate_protocols::{
    Event,
    bus::{Pattern, Position, PublisherId, Stamp, Subject},
};
use tokio::sync::{mpsc, oneshot};

use super::{Asker, replication::Replication};
use crate::{
    bus::{Delivery, Envelope, HandOut, Opened, Overflow, PublishError, open, wrap, wrap_raw},
    queue::Feed,
    room::Held,
};

/// How one of many publications ended, and the room that it took.
pub(crate) type Outcome = (u64, Result<(), PublishError>, Option<Held>);

/// Whom to tell how a publication ended.
#[derive(Debug)]
pub(crate) enum Done {
    /// The publisher's room for messages in flight is given back with the outcome.
    Once(
        oneshot::Sender<Result<(), PublishError>>,
        #[expect(dead_code, reason = "only its end matters")] Option<Held>,
    ),
    /// One of many, by its number. The room goes on with the outcome until that is told.
    Many(u64, mpsc::UnboundedSender<Outcome>, Option<Held>),
}

impl Done {
    pub(crate) fn tell(self, outcome: Result<(), PublishError>) {
        // Whoever no longer waits does not care.
        match self {
            Self::Once(asker, _) => drop(asker.send(outcome)),
            Self::Many(number, askers, held) => drop(askers.send((number, outcome, held))),
        }
    }
}

/// A publication that waits or is on its way.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) publisher: PublisherId,
    pub(crate) number: u64,
    pub(crate) wrapped: Bytes,
    pub(crate) done: Done,
}

/// Publishes; the stamp is that of a client, or this node makes its own.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PublishBound {
    pub(crate) stamp: Option<Stamp>,
    pub(crate) subject: Subject,
    pub(crate) reply_to: Option<Subject>,
    pub(crate) payload: Bytes,
    pub(crate) done: Done,
}

/// Reads what is published from `after` on, or from now.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Tailed>")]
pub(crate) struct Resubscribe {
    pub(crate) pattern: Pattern,
    pub(crate) overflow: Overflow,
    pub(crate) feed: Arc<Feed<Delivery>>,
    pub(crate) after: Option<Position>,
}

/// A reader was added.
#[derive(Clone, Copy, Debug, MessageResponse)]
pub(crate) struct Tailed {
    pub(crate) id: u64,
    pub(crate) from: Option<Position>,
}

/// Removes a reader.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Untail(pub(crate) u64);

/// Asks whether everything behind a position is kept here.
#[derive(Debug, actix::Message)]
#[rtype(result = "bool")]
pub(crate) struct Covers(pub(crate) Position);

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Pump(u64);

impl Replication {
    /// What a message sent to the group itself looks like on its way.
    pub(crate) fn wrapped(&self, payload: Bytes) -> Bytes {
        if self.spec.subjects().is_empty() { payload } else { wrap_raw(&payload) }
    }

    /// Lets the subscribers have what was published; returns what the group's readers get.
    pub(crate) fn unwrapped(&mut self, mut event: Event) -> Option<Event> {
        let Some(bound) = &mut self.bound else { return Some(event) };
        match &mut event {
            Event::View(view) => {
                self.pump_due = true;
                bound.on_view(view);
            }
            Event::Removed { .. } | Event::LineageLost | Event::Left => bound.on_removed(),
            Event::Message { sender, payload, .. } if self.spec.subjects().is_empty() => {
                self.pump_due = true;
                bound.on_raw(*sender, payload.clone());
            }
            Event::Message { sender, payload, .. } => match open(std::mem::take(payload)) {
                Some(Opened::Raw(raw)) => {
                    self.pump_due = true;
                    bound.on_raw(*sender, raw.clone());
                    *payload = raw;
                }
                Some(Opened::Published(envelope, inner)) => {
                    self.pump_due = true;
                    *payload = inner.clone();
                    let (subject, reply_to) = (envelope.subject.clone(), envelope.reply_to.clone());
                    if !bound.on_published(*sender, envelope, inner) {
                        return None;
                    }
                    if *sender == self.group.me()
                        && !bound.is_undecided()
                        && let Some(bus) = &self.bus
                    {
                        let at = bound.position().map(|position| (self.spec.id(), position));
                        match bound.handing_out.try_take(payload.len()) {
                            Some(held) => {
                                let payload = payload.clone();
                                bus.do_send(HandOut(
                                    Delivery { subject, payload, reply_to, at, missed: None },
                                    held,
                                ));
                            }
                            None => metrics::counter!("quorate_bus_queue_lost_total").increment(1),
                        }
                    }
                }
                None => {
                    // All members deliver it, so all of them count it and none shows it.
                    tracing::error!(%sender, "a member sent what no correct member sends");
                    bound.on_nonsense();
                    return None;
                }
            },
            _ => {}
        }
        Some(event)
    }

    fn publish(&mut self, message: PublishBound, ctx: &mut Context<Self>) {
        let PublishBound { stamp, subject, reply_to, payload, done } = message;
        let bound = self.bound.as_mut().filter(|_| !self.spec.subjects().is_empty());
        let Some(bound) = bound else { return done.tell(Err(PublishError::NotBound(subject))) };
        // A stamped one has a place among its publisher's, and those behind it would wait for it; the
        // node to which it was given has looked at its length.
        let (bytes, limit) = (payload.len(), self.payload_bytes_max);
        if stamp.is_none() && bytes > limit {
            return done.tell(Err(PublishError::TooLarge { bytes, limit }));
        }
        let stamp = stamp.unwrap_or_else(|| bound.stamp());
        match wrap(&Envelope { stamp, subject, reply_to }, &payload) {
            Ok(wrapped) => {
                let Stamp { publisher, number, .. } = stamp;
                let publication = Publication { publisher, number, wrapped, done };
                self.waiting.push(Asker::Publisher(publication));
                self.admit_soon(ctx);
            }
            Err(error) => {
                bound.settle(stamp.publisher, stamp.number);
                done.tell(Err(PublishError::Unencodable(error.to_string())));
            }
        }
    }

    /// Ends a publication, or sends it again: twice does no harm, since all members drop repetitions.
    pub(crate) fn settle_publication(&mut self, publication: Publication, arrived: bool) {
        let Some(bound) = &mut self.bound else { return };
        let Publication { publisher, number, .. } = publication;
        let again = !arrived || bound.take_gap(publisher, number);
        if again && !self.group.has_left() {
            self.waiting.push(Asker::Publisher(publication));
            self.admit_due = true;
            return;
        }
        bound.settle(publisher, number);
        publication.done.tell(if again { Err(PublishError::Stopped) } else { Ok(()) });
    }
}

impl Handler<PublishBound> for Replication {
    type Result = ();
    fn handle(&mut self, message: PublishBound, ctx: &mut Self::Context) {
        self.publish(message, ctx);
    }
}

impl Handler<Resubscribe> for Replication {
    type Result = Option<Tailed>;
    fn handle(&mut self, wanted: Resubscribe, ctx: &mut Self::Context) -> Option<Tailed> {
        let Resubscribe { pattern, overflow, feed, after } = wanted;
        let bound = self.bound.as_mut()?;
        let from = bound.position();
        let id = bound.add_tail(pattern, overflow, Arc::clone(&feed), after);
        let addr = ctx.address();
        // Rare: once each time that a reader was full and has read half of it.
        feed.on_room(move || addr.do_send(Pump(id)));
        // It may have made room before it could say so.
        ctx.notify(Pump(id));
        Some(Tailed { id, from })
    }
}

impl Handler<Untail> for Replication {
    type Result = ();
    fn handle(&mut self, Untail(id): Untail, _: &mut Self::Context) {
        if let Some(bound) = &mut self.bound {
            bound.remove_tail(id);
        }
    }
}

impl Handler<Covers> for Replication {
    type Result = bool;
    fn handle(&mut self, Covers(position): Covers, _: &mut Self::Context) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.covers(position))
    }
}

impl Handler<Pump> for Replication {
    type Result = ();
    fn handle(&mut self, Pump(id): Pump, _: &mut Self::Context) {
        if let Some(bound) = &mut self.bound {
            bound.pump(id);
        }
    }
}
