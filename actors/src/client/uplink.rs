//! The user's end: chooses a node, and goes on at another one when it is lost.

use std::{collections::BTreeMap, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, NodeId, Timing};
use quorate_protocols::bus::{PublisherId, Want};
use quorate_transport::{CloseReason, Mesh, OutboxError, SendError};
use tokio::sync::oneshot;

use super::{
    commands::{Asked, Pump},
    inbox::Inbox,
    pending::Pendings,
    reading::Reading,
    silence::Silence,
    talk::{self, Ask, Tell},
};
use crate::{
    bus::{Delivery, Publish, PublishError, Request, Subscribe, SubscribeOptions},
    config::PAYLOAD_BYTES_MAX,
    wire::UseLanes,
};

const MAILBOX_MAX: usize = 4096;
/// The subscription under which answers to requests come.
const INBOX: u64 = 0;

/// Uses one node at a time out of those that are linked.
#[derive(Debug)]
pub(crate) struct Uplink {
    mesh: Mesh,
    lanes: UseLanes,
    publisher: PublisherId,
    pub(super) candidates: Vec<NodeId>,
    pub(super) active: Option<NodeId>,
    pub(super) pendings: Pendings,
    pub(super) readings: BTreeMap<u64, Reading>,
    next_reading: u64,
    /// None if there are no requests.
    inbox: Option<Inbox>,
    questions: BTreeMap<u64, oneshot::Sender<Option<Bytes>>>,
    next_question: u64,
    /// How long subscribers wait for a node that is in reach; without it until one has answered, however
    /// long it takes.
    pub(super) patience: Option<Duration>,
    pub(super) silence: Silence,
    /// Counts how often another node was used than before, or none.
    pub(super) era: u64,
    /// Who wants to be told once nothing is waited for.
    pub(super) idle: Option<oneshot::Sender<()>>,
    /// Each is dropped once all up to its number are acknowledged.
    pub(super) settled: Vec<(u64, oneshot::Sender<()>)>,
}

impl Actor for Uplink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        for pending in self.pendings.drain() {
            pending.done.tell(Err(PublishError::Stopped));
        }
    }
}

impl Uplink {
    /// For a node that does not carry a group.
    pub(crate) fn for_group(group: GroupId, mesh: Mesh, publisher: PublisherId, timing: Timing) -> Self {
        let mut uplink = Self::new(mesh, UseLanes::group(group), publisher, None);
        uplink.patience = Some(timing.service());
        uplink
    }

    /// For a client.
    pub(crate) fn for_client(mesh: Mesh, publisher: PublisherId) -> Self {
        Self::new(mesh, UseLanes::CLIENT, publisher, Some(Inbox::new(publisher)))
    }

    fn new(mesh: Mesh, lanes: UseLanes, publisher: PublisherId, inbox: Option<Inbox>) -> Self {
        Self {
            mesh,
            lanes,
            publisher,
            candidates: Vec::new(),
            active: None,
            pendings: Pendings::new(publisher),
            readings: BTreeMap::new(),
            next_reading: INBOX + 1,
            patience: None,
            silence: Silence::default(),
            era: 0,
            idle: None,
            settled: Vec::new(),
            inbox,
            questions: BTreeMap::new(),
            next_question: 0,
        }
    }

    /// Takes the first candidate that is linked and answers, unless the present one still does.
    pub(super) fn choose(&mut self, ctx: &mut Context<Self>) {
        self.silence.keep(&self.candidates);
        let linked = self.candidates.iter().copied().filter(|node| self.mesh.peer(*node).is_some());
        let linked: Vec<NodeId> = linked.collect();
        let present = self.active.filter(|node| self.candidates.contains(node));
        let chosen = self.silence.choose(present, &linked);
        if chosen == self.active {
            return;
        }
        if let Some(node) = self.active.take() {
            tracing::info!(%node, "a node is used no longer");
            self.take_leave(node);
        }
        self.active = chosen;
        self.era += 1;
        match chosen {
            Some(node) => {
                tracing::info!(%node, "a node is used");
                self.begin(node, ctx);
            }
            None if self.patience.is_some() => {
                self.readings.iter_mut().for_each(|(id, reading)| reading.stands_later(*id));
            }
            None => {}
        }
    }

    /// Asks a node for all that stands here.
    fn begin(&mut self, node: NodeId, ctx: &mut Context<Self>) {
        self.silence.begins(node);
        self.ask(&Ask::Begin { publisher: self.publisher });
        if let Some(Ok(pattern)) = self.inbox.as_ref().map(Inbox::pattern) {
            let options = SubscribeOptions::default().buffered();
            self.ask(&Ask::Subscribe { id: INBOX, pattern, options, again: false, after: Vec::new() });
        }
        let asks: Vec<Ask> = self.readings.iter_mut().map(|(id, reading)| reading.ask(*id)).collect();
        for ask in asks {
            self.ask(&ask);
        }
        self.watch(self.readings.keys().copied().collect(), ctx);
        let (again, failed) = self.pendings.lost();
        for pending in failed {
            pending.done.tell(Err(PublishError::MayHaveHappened));
        }
        for number in again {
            self.publish(number, true);
        }
        // Questions that were under way have no answer any more.
        self.questions.clear();
    }

    /// Asks something that is rare and short.
    pub(super) fn ask(&self, ask: &Ask) {
        if let Some(node) = self.active {
            self.ask_of(node, ask);
        }
    }

    pub(super) fn ask_of(&self, node: NodeId, ask: &Ask) {
        if let Err(error) = self.ask_with(node, ask, Bytes::new()) {
            tracing::error!(%error, "something was not asked");
        }
    }

    fn ask_with(&self, node: NodeId, ask: &Ask, payload: Bytes) -> Result<(), PublishError> {
        let Some(peer) = self.mesh.peer(node) else { return Ok(()) };
        let frame =
            talk::frame(ask, payload).ok_or_else(|| PublishError::Refused("it cannot be written".into()))?;
        // The publishers' room for messages in flight bounds what may wait; the rest is rare.
        match peer.outbox(self.lanes.ask).push_over(frame) {
            Err(OutboxError::TooLarge(SendError::TooLarge { bytes, limit })) => {
                Err(PublishError::TooLarge { bytes, limit })
            }
            Err(OutboxError::TooLarge(error)) => Err(PublishError::Refused(error.to_string())),
            // If the link is gone, all is asked of the next node.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Has the node publish something, now or as soon as there is one.
    pub(super) fn publish(&mut self, number: u64, again: bool) {
        if let Some(node) = self.active
            && let Some((ask, payload)) = self.pendings.ask(number, again)
            && let Err(error) = self.ask_with(node, &ask, payload)
        {
            self.settle(number, Err(error));
        }
    }

    /// Whether a node can be told a payload at all; known at once, though none may be in reach.
    pub(super) fn check(payload: &Bytes) -> Result<(), PublishError> {
        let (bytes, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
        if bytes <= limit { Ok(()) } else { Err(PublishError::TooLarge { bytes, limit }) }
    }

    pub(super) fn on_tell(&mut self, tell: Tell, payload: Bytes, ctx: &mut Context<Self>) {
        match tell {
            Tell::Welcome { .. } => {} // taken note of before
            Tell::Outcomes(outcomes) => {
                for (number, outcome) in outcomes {
                    self.settle(number, outcome);
                }
            }
            Tell::Subscribed { id, result: Err(error) } if self.patience.is_some() => {
                tracing::warn!(%error, "a node refuses to let subscribers read, and is asked again");
                if let Some(refusals) = self.readings.get_mut(&id).map(Reading::refused) {
                    self.ask_again(id, refusals, ctx);
                }
            }
            Tell::Subscribed { id, result } => {
                if let Some(reading) = self.readings.get_mut(&id)
                    && !reading.on_subscribed(id, result)
                {
                    self.readings.remove(&id);
                }
                self.hand_over_due(id);
            }
            Tell::Delivery { id, subject, reply_to, at, missed } => {
                let delivery = Delivery { subject, payload, reply_to, at, missed: None };
                if id == INBOX {
                    if let Some(inbox) = &mut self.inbox {
                        inbox.answer(delivery);
                    }
                    return self.ask(&Ask::Credit { id, more: 1 });
                }
                let room = self.readings.get_mut(&id).and_then(|it| it.on_delivery(delivery, missed));
                if let Some(more) = room {
                    self.ask(&Ask::Credit { id, more });
                }
                self.hand_over_due(id);
            }
            Tell::Answer { number, known } => {
                if let Some(asker) = self.questions.remove(&number) {
                    // Whoever no longer waits does not care.
                    let _ = asker.send(known.then_some(payload));
                }
            }
        }
    }

    /// Hands a subscription over to whoever waits for it, if it is time.
    pub(super) fn hand_over_due(&mut self, id: u64) {
        let is_stuck = self.candidates.is_empty();
        if self.readings.get(&id).is_some_and(|reading| reading.is_due(is_stuck))
            && let Some(reading) = self.readings.remove(&id)
        {
            self.ask(&Ask::Unsubscribe { id });
            reading.hand_over();
            self.tell_idle();
        }
    }

    pub(super) fn settle(&mut self, number: u64, outcome: Result<(), PublishError>) {
        let ended = matches!(outcome, Err(PublishError::Stopped | PublishError::Left));
        if ended && self.pendings.may_be_repeated(number) {
            return self.go_elsewhere();
        }
        let Some(pending) = self.pendings.take(number, outcome.is_ok()) else { return };
        if let (Err(error), Some(inbox)) = (&outcome, &mut self.inbox) {
            inbox.fail(number, error);
        }
        pending.done.tell(outcome);
        self.tell_settled();
    }

    /// The node that is used has ended its part in a group: what is under way is published through
    /// another, as if the link had broken. Between nodes the end is announced; a client sees to it itself.
    fn go_elsewhere(&self) {
        if self.inbox.is_some()
            && let Some(peer) = self.active.and_then(|node| self.mesh.peer(node))
        {
            peer.close(CloseReason::Stopping);
        }
    }

    pub(super) fn request(&mut self, Request { subject, payload, done, held, .. }: Request) {
        let Some(inbox) = &mut self.inbox else { return };
        if let Err(error) = Self::check(&payload) {
            return drop(done.send(Err(error.into())));
        }
        match inbox.next() {
            Ok((request, reply_to)) => {
                let unheard = crate::bus::unheard(held);
                let publication = self.pendings.add(subject, Some(reply_to), payload, true, unheard);
                inbox.wait(request, publication, done);
                self.publish(publication, false);
            }
            Err(error) => drop(done.send(Err(PublishError::from(error).into()))),
        }
    }

    /// Publishes for the user itself.
    pub(super) fn publish_own(&mut self, Publish { subject, reply_to, payload, done, .. }: Publish) {
        if let Err(error) = Self::check(&payload) {
            return done.tell(Err(error));
        }
        let number = self.pendings.add(subject, reply_to, payload, false, done);
        self.publish(number, false);
    }

    /// Asks a question of the node that is used now.
    pub(super) fn question(&mut self, asked: Asked, asker: oneshot::Sender<Option<Bytes>>) {
        self.next_question += 1;
        let number = self.next_question;
        self.questions.retain(|_, asker| !asker.is_closed());
        self.questions.insert(number, asker);
        self.ask(&match asked {
            Asked::Status => Ask::Status { number },
            Asked::Views(group) => Ask::Views { number, group },
        });
    }

    /// Tells whoever asked that nothing is waited for.
    pub(super) fn tell_idle(&mut self) {
        if self.readings.is_empty()
            && self.pendings.is_empty()
            && let Some(asker) = self.idle.take()
        {
            // Whoever is gone does not care.
            let _ = asker.send(());
        }
    }

    pub(super) fn subscribe(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        let Subscribe { pattern, options, feed, after, done, .. } = command;
        let id = self.next_reading;
        self.next_reading += 1;
        let addr = ctx.address();
        // Rare: once each time that a reader was full and has read half of it.
        feed.on_room(move || addr.do_send(Pump(id)));
        let want = Want { pattern, queue: options.queue.clone() };
        let done = Some((done, ctx.address().recipient()));
        let mut reading = Reading::new(want, options, feed, after, done);
        if self.active.is_some() {
            self.ask(&reading.ask(id));
            self.watch(vec![id], ctx);
        } else if self.patience.is_some() {
            reading.stands_later(id);
        }
        self.readings.insert(id, reading);
    }
}
