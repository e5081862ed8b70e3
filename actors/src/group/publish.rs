//! Publishing into a group, and reading what was published, within the group's actor.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use quorate_protocols::{
    Event,
    bus::{Pattern, Position, Settlement, Stamp, Subject},
};
use tokio::sync::{mpsc, oneshot};

use super::{Asker, bound::Passage, replication::Replication};
use crate::{
    bus::{Delivery, Envelope, Opened, Overflow, PublishError, head, open},
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
    pub(crate) stamp: Stamp,
    /// What stands before the payload in the group.
    pub(crate) head: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) done: Done,
}

impl Publication {
    /// It is submitted again under this stamp.
    fn renew(&mut self, stamp: Stamp) {
        if stamp != self.stamp
            && let Some(Opened::Published(envelope)) = open(&self.head)
            && let Ok(head) = head(&Envelope { stamp, ..envelope })
        {
            (self.stamp, self.head) = (stamp, head);
        }
    }
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

/// Removes a reader; answers how far it has come.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Position>")]
pub(crate) struct Untail(pub(crate) u64);

/// Asks how far a reader has come; answered if it is ended, since this member was outside.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Position>")]
pub(crate) struct Strays(pub(crate) u64);

/// Asks from where on this member keeps what the group delivers; answered once it is in the group.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Position>")]
pub(crate) struct Begins;

/// Asks whether everything behind a position is kept here.
#[derive(Debug, actix::Message)]
#[rtype(result = "bool")]
pub(crate) struct Covers(pub(crate) Position);

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Pump(u64);

impl Replication {
    /// Lets the subscribers have what was published; returns what the group's readers get, and whether
    /// nobody here knows yet if they do.
    pub(crate) fn unwrapped(&mut self, mut event: Event) -> Option<(Event, bool)> {
        let head =
            if let Event::Message { head, .. } = &mut event { std::mem::take(head) } else { Bytes::new() };
        let Some(bound) = &mut self.bound else { return Some((event, false)) };
        let mut in_doubt = false;
        match &mut event {
            Event::View(view) => {
                self.pump_due = true;
                bound.on_view(view);
            }
            Event::Removed { .. } | Event::LineageLost | Event::Left => {
                bound.core.on_outside();
                self.settle_due = true;
            }
            Event::Message { sender, payload, .. } if self.spec.subjects().is_empty() => {
                self.pump_due = true;
                bound.on_raw(*sender, payload.clone());
            }
            Event::Message { sender, payload, .. } => match open(&head) {
                Some(Opened::Raw) => {
                    self.pump_due = true;
                    bound.on_raw(*sender, payload.clone());
                }
                Some(Opened::Published(envelope)) => {
                    self.pump_due = true;
                    match bound.on_published(*sender, envelope, payload.clone()) {
                        Passage::New(hand_out) => {
                            let handed = hand_out.into_iter().zip(&self.bus);
                            handed.for_each(|(hand_out, bus)| bus.do_send(hand_out));
                        }
                        Passage::InDoubt => in_doubt = true,
                        Passage::Dropped => return None,
                    }
                }
                None => {
                    // All members deliver it, so all of them count it and none shows it.
                    tracing::error!(%sender, "a member sent what no correct member sends");
                    bound.core.on_nonsense();
                    return None;
                }
            },
            _ => {}
        }
        Some((event, in_doubt))
    }

    fn publish(&mut self, message: PublishBound, ctx: &mut Context<Self>) {
        let PublishBound { stamp, subject, reply_to, payload, done } = message;
        let bound = self.bound.as_mut().filter(|_| !self.spec.subjects().is_empty());
        let Some(bound) = bound else { return done.tell(Err(PublishError::NotBound(subject))) };
        // A stamped one has a place among its publisher's, and those behind it would wait for it; the
        // node to which it was given has looked at its length.
        let (bytes, limit) = (payload.len(), self.intake.payload_bytes_max);
        if stamp.is_none() && bytes > limit {
            return done.tell(Err(PublishError::TooLarge { bytes, limit }));
        }
        let stamp = stamp.unwrap_or_else(|| bound.core.stamp());
        match head(&Envelope { stamp, subject, reply_to }) {
            Ok(head) => {
                let publication = Publication { stamp, head, payload, done };
                self.waiting.push(Asker::Publisher(Box::new(publication)));
                self.admit_soon(ctx);
            }
            Err(error) => {
                bound.core.give_up(stamp.publisher, stamp.number);
                done.tell(Err(PublishError::Unencodable(error.to_string())));
            }
        }
    }

    /// Ends a publication, or sends it again: twice does no harm, since all members drop repetitions.
    pub(crate) fn settle_publication(&mut self, mut publication: Publication, arrived: bool) {
        let Some(bound) = &mut self.bound else { return };
        match bound.core.on_fate(publication.stamp, arrived) {
            Settlement::NotYet => self.undecided.push(publication),
            Settlement::Passed => publication.done.tell(Ok(())),
            Settlement::Again(_) if self.group.has_left() => {
                self.orphan(publication, PublishError::Stopped);
            }
            Settlement::Again(stamp) => {
                publication.renew(stamp);
                self.waiting.push(Asker::Publisher(Box::new(publication)));
                self.admit_due = true;
            }
        }
    }

    /// Ends publications whose fate was known before it was known whether they passed.
    pub(crate) fn settle_undecided(&mut self) {
        self.settle_due = false;
        for publication in std::mem::take(&mut self.undecided) {
            self.settle_publication(publication, true);
        }
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
        let from = bound.core.position();
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
    type Result = Option<Position>;
    fn handle(&mut self, Untail(id): Untail, _: &mut Self::Context) -> Option<Position> {
        self.bound.as_mut()?.remove_tail(id)
    }
}

impl Handler<Strays> for Replication {
    type Result = ResponseFuture<Option<Position>>;
    fn handle(&mut self, Strays(id): Strays, _: &mut Self::Context) -> Self::Result {
        let (heir, seen) = oneshot::channel();
        if let Some(bound) = &mut self.bound {
            bound.promise(id, heir);
        }
        Box::pin(async move { seen.await.ok() })
    }
}

impl Handler<Begins> for Replication {
    type Result = ResponseFuture<Option<Position>>;
    fn handle(&mut self, _: Begins, _: &mut Self::Context) -> Self::Result {
        let (asker, begins) = oneshot::channel();
        if let Some(bound) = &mut self.bound {
            bound.tell_beginning(asker);
        }
        Box::pin(async move { begins.await.ok() })
    }
}

impl Handler<Covers> for Replication {
    type Result = bool;
    fn handle(&mut self, Covers(position): Covers, _: &mut Self::Context) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.core.covers(position))
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

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, Member, NodeId};
    use quorate_protocols::bus::PublisherId;

    use super::*;

    #[test]
    fn what_is_submitted_again_has_its_new_stamp_in_front() {
        let member = Member::new(NodeId::new(1), Incarnation::new(1));
        let stamp =
            Stamp { publisher: PublisherId { member, session: 0 }, number: 13, previous: 12, settled: 11 };
        let envelope = Envelope { stamp, subject: "log.a".parse().expect("a subject"), reply_to: None };
        let head = head(&envelope).expect("it is short");
        let done = Done::Once(oneshot::channel().0, None);
        let mut publication = Publication { stamp, head, payload: Bytes::new(), done };
        publication.renew(stamp.settled_through(12));
        assert_eq!(publication.stamp.settled, 12);
        let Some(Opened::Published(envelope)) = open(&publication.head) else { panic!("it was published") };
        assert_eq!((envelope.stamp, envelope.subject.to_string()), (publication.stamp, "log.a".to_owned()));
    }
}
