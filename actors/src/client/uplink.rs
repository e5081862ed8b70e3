//! The user's end: chooses a node, and goes on at another one when it is lost.

use std::collections::BTreeMap;

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId};
use quorate_protocols::bus::{Pattern, PublisherId, Want};
use quorate_transport::{Frame, LaneReceiver, Mesh};
use tokio::sync::oneshot;

use super::{
    pending::Pendings,
    reading::Reading,
    talk::{self, Ask, Tell},
};
use crate::{
    bus::{
        Delivery, Forward, Publish, PublishError, Request, RequestError, Subscribe, SubscribeOptions,
        Unsubscribe,
    },
    wire::{Malformed, UseLanes},
};

const MAILBOX_MAX: usize = 4096;
/// Every so many requests those that nobody waits for any more are forgotten.
const SWEEP_EVERY: u64 = 1024;
/// The subscription under which answers to requests come.
const INBOX: u64 = 0;

/// Uses one node at a time out of those that are linked.
#[derive(Debug)]
pub(crate) struct Uplink {
    mesh: Mesh,
    lanes: UseLanes,
    publisher: PublisherId,
    candidates: Vec<NodeId>,
    active: Option<NodeId>,
    pendings: Pendings,
    readings: BTreeMap<u64, Reading>,
    next_reading: u64,
    /// The prefix of subjects under which answers come; none if there are no requests.
    inbox: Option<String>,
    requests: BTreeMap<u64, (u64, oneshot::Sender<Result<Delivery, RequestError>>)>,
    questions: BTreeMap<u64, oneshot::Sender<Option<Bytes>>>,
    next_question: u64,
    /// Whether subscribers wait until a node is in reach.
    patient: bool,
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
    pub(crate) fn for_group(group: GroupId, mesh: Mesh, me: Member) -> Self {
        // Session zero is that of the node's own publications to groups that it carries.
        let publisher = PublisherId { member: me, session: 1 };
        Self::new(mesh, UseLanes::group(group), publisher, None)
    }

    /// For a client.
    pub(crate) fn for_client(mesh: Mesh, publisher: PublisherId) -> Self {
        let PublisherId { member, session } = publisher;
        let inbox = format!("_inbox.c{}.{}.{session}", member.node.get(), member.incarnation);
        Self::new(mesh, UseLanes::CLIENT, publisher, Some(inbox))
    }

    fn new(mesh: Mesh, lanes: UseLanes, publisher: PublisherId, inbox: Option<String>) -> Self {
        Self {
            mesh,
            lanes,
            publisher,
            candidates: Vec::new(),
            active: None,
            pendings: Pendings::new(publisher),
            readings: BTreeMap::new(),
            next_reading: INBOX + 1,
            patient: inbox.is_some(),
            inbox,
            requests: BTreeMap::new(),
            questions: BTreeMap::new(),
            next_question: 0,
        }
    }

    /// Takes the first candidate that is linked, unless the present one still is.
    fn choose(&mut self) {
        if self.active.is_some_and(|node| self.candidates.contains(&node)) {
            return;
        }
        let lost = self.active.take();
        if let Some(node) = lost {
            tracing::info!(%node, "the node that was used is lost");
        }
        let linked = self.candidates.iter().copied().find(|node| self.mesh.peer(*node).is_some());
        let Some(node) = linked else { return };
        tracing::info!(%node, "a node is used");
        self.active = Some(node);
        self.begin();
    }

    /// Asks a node for all that stands here.
    fn begin(&mut self) {
        self.ask(&Ask::Begin { publisher: self.publisher }, Bytes::new());
        if let Some(pattern) =
            self.inbox.as_ref().and_then(|inbox| format!("{inbox}.>").parse::<Pattern>().ok())
        {
            let options = SubscribeOptions::default().backpressure();
            self.ask(&Ask::Subscribe { id: INBOX, pattern, options, after: Vec::new() }, Bytes::new());
        }
        let asks: Vec<Ask> = self.readings.iter_mut().map(|(id, reading)| reading.ask(*id)).collect();
        for ask in asks {
            self.ask(&ask, Bytes::new());
        }
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

    fn ask(&self, ask: &Ask, payload: Bytes) {
        let Some(peer) = self.active.and_then(|node| self.mesh.peer(node)) else { return };
        let Some(frame) = talk::frame(ask, payload) else { return };
        // The publishers' room for messages in flight bounds what may wait; the rest is rare. If the
        // link is gone, all is asked of the next node.
        let _ = peer.outbox(self.lanes.ask).push_over(frame);
    }

    fn publish(&self, number: u64, again: bool) {
        if self.active.is_some()
            && let Some((ask, payload)) = self.pendings.ask(number, again)
        {
            self.ask(&ask, payload);
        }
    }

    fn on_tell(&mut self, tell: Tell, payload: Bytes) {
        match tell {
            Tell::Welcome { .. } => {}
            Tell::Outcomes(outcomes) => {
                for (number, outcome) in outcomes {
                    self.settle(number, outcome);
                }
            }
            Tell::Subscribed { id, result } => {
                if let Some(reading) = self.readings.get_mut(&id)
                    && !reading.on_subscribed(id, result)
                {
                    self.readings.remove(&id);
                }
            }
            Tell::Delivery { id, subject, reply_to, at, missed } => {
                let delivery = Delivery { subject, payload, reply_to, at, missed: None };
                if id == INBOX {
                    self.answer(delivery);
                    return self.ask(&Ask::Credit { id, more: 1 }, Bytes::new());
                }
                let room = self.readings.get_mut(&id).and_then(|it| it.on_delivery(delivery, missed));
                if let Some(more) = room {
                    self.ask(&Ask::Credit { id, more }, Bytes::new());
                }
            }
            Tell::Answer { number, known } => {
                if let Some(asker) = self.questions.remove(&number) {
                    // Whoever no longer waits does not care.
                    let _ = asker.send(known.then_some(payload));
                }
            }
        }
    }

    fn settle(&mut self, number: u64, outcome: Result<(), PublishError>) {
        let Some(pending) = self.pendings.take(number) else { return };
        if let Err(error) = &outcome
            && let Some((_, asker)) =
                self.requests.extract_if(.., |_, (of, _)| *of == number).next().map(|it| it.1)
        {
            let _ = asker.send(Err(match error.clone() {
                PublishError::NoResponders(subject) => RequestError::NoResponders(subject),
                other => other.into(),
            }));
        }
        pending.done.tell(outcome);
    }

    fn answer(&mut self, delivery: Delivery) {
        let number = delivery.subject.as_str().rsplit('.').next().and_then(|word| word.parse().ok());
        if let Some((_, asker)) = number.and_then(|number: u64| self.requests.remove(&number)) {
            let _ = asker.send(Ok(delivery));
        }
    }

    fn request(&mut self, Request { subject, payload, done }: Request) {
        let Some(inbox) = &self.inbox else { return };
        self.next_question += 1;
        let number = self.next_question;
        if number.is_multiple_of(SWEEP_EVERY) {
            self.requests.retain(|_, (_, asker)| !asker.is_closed());
        }
        match format!("{inbox}.{number}").parse() {
            Ok(reply_to) => {
                let unheard = crate::bus::unheard();
                let of = self.pendings.add(subject, Some(reply_to), payload, true, unheard);
                self.requests.insert(number, (of, done));
                self.publish(of, false);
            }
            Err(error) => drop(done.send(Err(PublishError::from(error).into()))),
        }
    }

    fn subscribe(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        let Subscribe { pattern, options, feed, after, done, .. } = command;
        let id = self.next_reading;
        self.next_reading += 1;
        let addr = ctx.address();
        // Rare: once each time that a reader was full and has read half of it.
        feed.on_room(move || addr.do_send(Pump(id)));
        let want = Want { pattern, queue: options.queue.clone() };
        let mut reading = Reading::new(want, options, feed, after, done);
        if self.active.is_some() {
            self.ask(&reading.ask(id), Bytes::new());
        } else if !self.patient {
            reading.stands_later(id);
        }
        self.readings.insert(id, reading);
    }
}

/// The linked nodes that may be used, the preferred one first.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Carriers(pub(crate) Vec<NodeId>);

/// Frames of answers of a node.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct Answers(pub(crate) NodeId, pub(crate) Vec<Frame>);

/// Stops at once.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct StopUplink;

/// Asks the node that is used; nothing comes back if it is lost.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Question(pub(crate) Asked, pub(crate) oneshot::Sender<Option<Bytes>>);

/// What may be asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Status,
    Views(String),
}

/// Multicasts to a group of the node that is used.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Multicast {
    pub(crate) group: String,
    pub(crate) payload: Bytes,
    pub(crate) done: crate::group::Done,
}

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Pump(u64);

/// Reads the answers of a node.
#[derive(Debug)]
pub(crate) struct AnswersFrom(pub(crate) NodeId, pub(crate) Box<dyn LaneReceiver>);

impl AnswersFrom {
    /// Hands them on until the lane ends.
    pub(crate) async fn read(self, uplink: Addr<Uplink>) -> Result<(), Malformed> {
        let Self(node, mut receiver) = self;
        let mut frames = Vec::new();
        while let Ok(true) = receiver.recv(&mut frames).await {
            match uplink.send(Answers(node, std::mem::take(&mut frames))).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

impl Handler<Carriers> for Uplink {
    type Result = ();
    fn handle(&mut self, Carriers(nodes): Carriers, _: &mut Self::Context) {
        self.candidates = nodes;
        self.choose();
    }
}

impl Handler<Answers> for Uplink {
    type Result = Result<(), Malformed>;
    fn handle(&mut self, Answers(node, frames): Answers, _: &mut Self::Context) -> Result<(), Malformed> {
        for frame in frames {
            let (tell, payload) = talk::read(frame)?;
            if self.active == Some(node) {
                self.on_tell(tell, payload);
            }
        }
        Ok(())
    }
}

impl Handler<Publish> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Publish, _: &mut Self::Context) {
        let Publish { subject, reply_to, payload, done } = command;
        let number = self.pendings.add(subject, reply_to, payload, false, done);
        self.publish(number, false);
    }
}

impl Handler<Forward> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Forward, _: &mut Self::Context) {
        let Forward { stamp, subject, reply_to, payload, done, .. } = command;
        let number = self.pendings.add_stamped(stamp, subject, reply_to, payload, done);
        self.publish(number, false);
    }
}

impl Handler<Multicast> for Uplink {
    type Result = ();
    fn handle(&mut self, Multicast { group, payload, done }: Multicast, _: &mut Self::Context) {
        let number = self.pendings.add_multicast(group, payload, done);
        self.publish(number, false);
    }
}

impl Handler<Request> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Request, _: &mut Self::Context) {
        self.request(command);
    }
}

impl Handler<Subscribe> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Subscribe, ctx: &mut Self::Context) {
        self.subscribe(command, ctx);
    }
}

impl Handler<Unsubscribe> for Uplink {
    type Result = ();
    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        if self.readings.remove(&id).is_some() {
            self.ask(&Ask::Unsubscribe { id }, Bytes::new());
        }
    }
}

impl Handler<Pump> for Uplink {
    type Result = ();
    fn handle(&mut self, Pump(id): Pump, _: &mut Self::Context) {
        if let Some(more) = self.readings.get_mut(&id).and_then(Reading::pump) {
            self.ask(&Ask::Credit { id, more }, Bytes::new());
        }
    }
}

impl Handler<Question> for Uplink {
    type Result = ();
    fn handle(&mut self, Question(asked, asker): Question, _: &mut Self::Context) {
        self.next_question += 1;
        let number = self.next_question;
        self.questions.retain(|_, asker| !asker.is_closed());
        self.questions.insert(number, asker);
        self.ask(
            &match asked {
                Asked::Status => Ask::Status { number },
                Asked::Views(group) => Ask::Views { number, group },
            },
            Bytes::new(),
        );
    }
}

impl Handler<StopUplink> for Uplink {
    type Result = ();
    fn handle(&mut self, _: StopUplink, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
