//! The bus, as an application holds it.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Pattern, Position, Subject, SubjectError, group_id, is_name};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, oneshot},
    task::{consume_budget, unconstrained},
};

use super::{
    BusActor, Delivery, Follower, Publish, PublishError, Request, RequestError, Subscribe, SubscribeError,
    SubscribeOptions, Subscription, Unsubscribe, WAITING_BYTES_MAX, delivery,
    follow::{events_of, is_reserved},
    routes::{Handed, Routes, Shortcut},
};
use crate::{
    group::Done,
    queue::queue,
    room::{Held, Room},
    start::spawn,
};

/// Bytes of one handle's publications that may wait to be acknowledged, those of its clones
/// included.
pub(crate) const IN_FLIGHT_BYTES_MAX: u32 = 8 << 20;

/// The message bus: the same whether the node runs in this process or is reached over a link.
///
/// Subjects are words with dots between them; patterns have `*` for one word and a last `>` for one
/// or more. A subject that a group is bound to comes to all its subscribers in the group's one
/// order, and each message of it once; other subjects are passed on once, to whoever subscribes at
/// that moment.
///
/// ```
/// use quorate::{Node, SubscribeOptions};
///
/// # actix::System::new().block_on(async {
/// let node = Node::alone("demo").await?;
/// let bus = node.bus();
/// let mut subscription = bus.subscribe("greetings.*", SubscribeOptions::default()).await?;
/// bus.publish("greetings.world", "hello").await?;
/// assert_eq!(subscription.next().await.unwrap().payload, "hello");
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Bus {
    publish: Recipient<Publish>,
    request: Recipient<Request>,
    subscribe: Recipient<Subscribe>,
    unsubscribe: Recipient<Unsubscribe>,
    in_flight: Room,
    shortcut: Option<Shortcut>,
    turn: Turn,
}

/// Lets the messages of one handle be handed on one after the other. Each clone of a handle has its own.
#[derive(Debug, Default)]
struct Turn(Mutex<()>);

impl Clone for Turn {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// A publication on its way. Dropping this changes nothing about it.
#[derive(Debug)]
pub struct Publishing(Outcome);

#[derive(Debug)]
enum Outcome {
    HandedOn,
    /// It was left for the bus actor, with this number.
    Left(u64, Arc<Routes>),
    Waits(oneshot::Receiver<Result<(), PublishError>>),
}

impl Publishing {
    /// Waits until the message was handed on, or, on a subject that is bound to a group, until it
    /// survives any view change of the group.
    ///
    /// # Errors
    /// [`PublishError`] says whether subscribers may have it.
    pub async fn acknowledged(self) -> Result<(), PublishError> {
        match self.0 {
            Outcome::HandedOn => Ok(()),
            Outcome::Left(number, routes) => {
                if routes.seen(number).await {
                    Ok(())
                } else {
                    Err(PublishError::Stopped)
                }
            }
            Outcome::Waits(outcome) => outcome.await.unwrap_or(Err(PublishError::Stopped)),
        }
    }
}

/// Something that names a subject, or the reason why not.
pub trait ToSubject {
    /// The subject.
    ///
    /// # Errors
    /// [`SubjectError`] if it is none.
    fn to_subject(self) -> Result<Subject, SubjectError>;
}

impl ToSubject for &str {
    fn to_subject(self) -> Result<Subject, SubjectError> {
        self.parse()
    }
}

impl ToSubject for Subject {
    fn to_subject(self) -> Result<Subject, SubjectError> {
        Ok(self)
    }
}

impl ToSubject for &Subject {
    fn to_subject(self) -> Result<Subject, SubjectError> {
        Ok(self.clone())
    }
}

/// Whether anybody may publish on a subject.
pub(crate) fn check_subject(subject: &Subject) -> Result<(), PublishError> {
    if is_reserved(subject.as_str()) {
        return Err(PublishError::Refused(format!("`{subject}` is kept for the events of a group")));
    }
    Ok(())
}

impl Bus {
    pub(crate) fn over<A>(actor: &Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>>
            + Handler<Publish>
            + Handler<Request>
            + Handler<Subscribe>
            + Handler<Unsubscribe>,
    {
        Self {
            publish: actor.clone().recipient(),
            request: actor.clone().recipient(),
            subscribe: actor.clone().recipient(),
            unsubscribe: actor.clone().recipient(),
            in_flight: Room::new(IN_FLIGHT_BYTES_MAX),
            shortcut: None,
            turn: Turn::default(),
        }
    }

    /// The bus of a node in this process, past whose actor goes what may.
    pub(crate) fn within(actor: &Addr<BusActor>, routes: Arc<Routes>) -> Self {
        Self { shortcut: Some(Shortcut::new(routes, actor.clone())), ..Self::over(actor) }
    }

    /// The same handle, all of whose messages go through the bus actor, for comparison.
    #[doc(hidden)]
    #[must_use]
    pub fn through_actor(mut self) -> Self {
        self.shortcut = None;
        self
    }

    /// Publishes a message and waits until it is acknowledged; see [`Publishing::acknowledged`]. Whoever
    /// gives up waiting may have published it or not.
    ///
    /// # Errors
    /// [`PublishError`] says whether subscribers may have it.
    pub async fn publish(
        &self,
        subject: impl ToSubject,
        payload: impl Into<Bytes>,
    ) -> Result<(), PublishError> {
        self.begin(subject, payload).await?.acknowledged().await
    }

    /// Publishes a message and waits only while too many of this handle's messages are on their
    /// way, so that many may be. They arrive in the order of these calls, and those of a clone of the
    /// handle after all whose calls had returned before.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was published then.
    pub async fn begin(
        &self,
        subject: impl ToSubject,
        payload: impl Into<Bytes>,
    ) -> Result<Publishing, PublishError> {
        self.hand_over(subject.to_subject()?, None, payload.into()).await
    }

    /// Publishes a value; see [`Delivery::decode`].
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_typed<T: Serialize>(
        &self,
        subject: impl ToSubject,
        value: &T,
    ) -> Result<(), PublishError> {
        self.publish(subject, delivery::encode(value)?).await
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`PublishError::Refused`] if the message expects no answer.
    pub async fn reply(&self, to: &Delivery, payload: impl Into<Bytes>) -> Result<(), PublishError> {
        let Some(subject) = to.reply_to.clone() else {
            return Err(PublishError::Refused(format!("the message on `{}` expects no answer", to.subject)));
        };
        self.publish(subject, payload).await
    }

    /// Answers a request with a value; see [`Self::request_typed`].
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub async fn reply_typed(&self, to: &Delivery, value: &impl Serialize) -> Result<(), PublishError> {
        self.reply(to, delivery::encode(value)?).await
    }

    /// Waits until one more payload of so many bytes may be on its way.
    pub(crate) async fn room(&self, bytes: usize) -> Option<Held> {
        self.in_flight.take(bytes).await
    }

    async fn hand_over(
        &self,
        subject: Subject,
        reply_to: Option<Subject>,
        payload: Bytes,
    ) -> Result<Publishing, PublishError> {
        check_subject(&subject)?;
        let Some(shortcut) = &self.shortcut else { return self.send_over(subject, reply_to, payload).await };
        // In turns, whatever each of them waits for, and nobody else on this thread is left without one. The
        // turn itself is waited for in any case, not at the scheduler's pleasure: those behind would overtake.
        let _turn = unconstrained(self.turn.0.lock()).await;
        consume_budget().await;
        let (mut held, mut place) = (None, None);
        let lacking = loop {
            match shortcut.hand_on(&subject, reply_to.as_ref(), &payload, held.is_some(), place.take()) {
                Handed::On => return Ok(Publishing(Outcome::HandedOn)),
                Handed::Left(number) => {
                    return Ok(Publishing(Outcome::Left(number, Arc::clone(shortcut.routes()))));
                }
                Handed::Crowded(lane) => lane.eased().await,
                Handed::Full => place = shortcut.place(&payload).await,
                Handed::Roomless => held = self.room(payload.len()).await,
                Handed::Stopped => return Err(PublishError::Stopped),
                Handed::Lacked(lacking) => break lacking,
                Handed::Not => break Vec::new(),
            }
        };
        if held.is_none() {
            held = self.room(payload.len()).await;
        }
        let (asker, outcome) = oneshot::channel();
        let message = Publish { subject, reply_to, payload, done: Done::Once(asker, held) };
        if lacking.is_empty() {
            shortcut.hand_over(message);
        } else {
            shortcut.hand_rest(message, lacking);
        }
        Ok(Publishing(Outcome::Waits(outcome)))
    }

    /// The way of a handle whose bus is reached over a link.
    async fn send_over(
        &self,
        subject: Subject,
        reply_to: Option<Subject>,
        payload: Bytes,
    ) -> Result<Publishing, PublishError> {
        let held = self.room(payload.len()).await;
        let (asker, outcome) = oneshot::channel();
        let message = Publish { subject, reply_to, payload, done: Done::Once(asker, held) };
        self.publish.send(message).await.map_err(|_| PublishError::Stopped)?;
        Ok(Publishing(Outcome::Waits(outcome)))
    }

    /// Publishes a message and waits for the first answer to it.
    ///
    /// # Errors
    /// [`RequestError::NoResponders`] at once if nobody in reach subscribes to the subject.
    pub async fn request(
        &self,
        subject: impl ToSubject,
        payload: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Delivery, RequestError> {
        let (subject, payload) = (subject.to_subject()?, payload.into());
        let asking = async {
            check_subject(&subject)?;
            let turn = match self.shortcut {
                Some(_) => Some(unconstrained(self.turn.0.lock()).await),
                None => None,
            };
            let held = self.room(payload.len()).await;
            let (done, answer) = oneshot::channel();
            let command = Request { subject: subject.clone(), payload, done, held };
            match &self.shortcut {
                None => self.request.send(command).await.map_err(|_| PublishError::Stopped)?,
                Some(shortcut) => shortcut.request(command),
            }
            drop(turn);
            answer.await.unwrap_or(Err(PublishError::Stopped.into()))
        };
        let answer = tokio::time::timeout(within, asking).await;
        answer.unwrap_or(Err(RequestError::TimedOut { subject, within }))
    }

    /// Publishes a value and waits for the first answer to it, which [`Self::reply_typed`] has written.
    ///
    /// # Errors
    /// As [`Self::request`], and [`RequestError::Unreadable`] if the answer is of another type.
    pub async fn request_typed<T: DeserializeOwned>(
        &self,
        subject: impl ToSubject,
        value: &impl Serialize,
        within: Duration,
    ) -> Result<T, RequestError> {
        let subject = subject.to_subject()?;
        let answer = self.request(&subject, delivery::encode(value)?, within).await?;
        answer.decode().map_err(|why| RequestError::Unreadable { subject, why: why.to_string() })
    }

    /// Subscribes to what a pattern selects. Once this returns, all nodes in reach know: what
    /// anybody publishes afterwards is not missed. A node that stands still is waited for no longer than
    /// twice the detection time.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, SubscribeError> {
        let pattern: Pattern = pattern.parse()?;
        if is_reserved(pattern.as_str()) {
            return Err(SubscribeError::Pattern(format!("`{pattern}` is kept for events: follow the group")));
        }
        options.check()?;
        Ok(self.subscribe_after(pattern, options, Vec::new()).await?.0)
    }

    async fn subscribe_after(
        &self,
        pattern: Pattern,
        options: SubscribeOptions,
        after: Vec<(GroupId, Position)>,
    ) -> Result<(Subscription, Vec<(GroupId, Position)>), SubscribeError> {
        let (feed, reader) = queue(options.capacity, WAITING_BYTES_MAX);
        let (done, subscribed) = oneshot::channel();
        let command =
            Subscribe { pattern, options, feed: Arc::new(feed), only: None, by_client: false, after, done };
        self.subscribe.send(command).await.map_err(|_| SubscribeError::Stopped)?;
        let (id, from) = subscribed.await.unwrap_or(Err(SubscribeError::Stopped))?.take();
        Ok((Subscription::new(reader, id, self.unsubscribe.clone()), from))
    }

    /// Follows a group, whether it runs on this node or on others: reads its views and messages in its
    /// order, each once, from behind a position or from now on. A client goes on at another node where
    /// it was. The group has to keep a [history](crate::GroupSettings::history).
    ///
    /// ```
    /// use quorate::{Happened, Node};
    ///
    /// # actix::System::new().block_on(async {
    /// let node = Node::alone("demo").await?;
    /// let group = node.group("local").await.ok_or("it runs here")?;
    /// group.multicast("one").await?;
    /// let mut follower = node.bus().follow("local", None).await?;
    /// group.multicast("two").await?;
    /// let event = follower.next().await.ok_or("it goes on")?;
    /// assert!(matches!(event.what, Happened::Message { payload, .. } if payload == "two"));
    /// node.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError::NoHistory`] if no node in reach keeps the group's events, or none that does answers in
    /// time.
    pub async fn follow(&self, group: &str, after: Option<Position>) -> Result<Follower, SubscribeError> {
        if !is_name(group) {
            return Err(SubscribeError::NoHistory(group.to_owned()));
        }
        let id = group_id(group);
        let after: Vec<_> = after.map(|position| (id, position)).into_iter().collect();
        let options = SubscribeOptions::default().buffered();
        let (subscription, from) = self.subscribe_after(events_of(id)?, options, after).await?;
        let begins = from.first().map(|(_, position)| *position);
        let at = begins.ok_or_else(|| SubscribeError::NoHistory(group.to_owned()))?;
        Ok(Follower::new(subscription, Some(at)))
    }

    /// Lets an actor have what a pattern selects, one message after the other: the next is sent once
    /// the actor has handled the one before. It ends when the actor stops.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe_recipient(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        recipient: Recipient<Delivery>,
    ) -> Result<(), SubscribeError> {
        let mut subscription = self.subscribe(pattern, options).await?;
        spawn(async move {
            while let Some(delivery) = subscription.next().await {
                if recipient.send(delivery).await.is_err() {
                    break;
                }
            }
        });
        Ok(())
    }
}
