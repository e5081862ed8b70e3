//! One group at one node, as an actor: the only place that touches the group's core.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{Member, NodeId, Time, View};
use quorate_protocols::{self as protocols, Event, Group, GroupConfig, Input, Refusal, Ticket};
use tokio::sync::{mpsc, oneshot};

use crate::codec::Packet;

/// Inputs that may wait for the actor.
const MAILBOX_MAX: usize = 1024;
/// Submissions that may wait for the window to open.
const WAITING_MAX: usize = 4096;

/// The one monotonic clock of a node.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts the clock.
    #[expect(clippy::new_without_default, reason = "two clocks of one node must not differ by accident")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }
}

/// What a group wants sent to peers.
#[derive(Clone, Debug, actix::Message)]
#[rtype(result = "()")]
pub struct Outgoing {
    /// To whom.
    pub to: Arc<[NodeId]>,
    /// What.
    pub packet: Packet,
}

/// Why a multicast did not end well.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody will deliver it. Send it again once this member is back in a view.
    #[error("this member had to leave the group before the message was sent; send it again")]
    Lost,
    /// Others may have delivered it. Sending it again may double it.
    #[error("this member had to leave the group before it learned whether others have the message")]
    Unknown,
    /// The group does not take it.
    #[error("not sent: {0}")]
    Refused(#[from] Refusal),
    /// Too many messages wait for the window. Send again later.
    #[error("{WAITING_MAX} messages wait already; send again later")]
    Busy,
    /// The group was stopped here; others may have the message.
    #[error("the group was stopped at this node before the outcome was known")]
    Stopped,
}

/// The group was stopped at this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the group was stopped at this node; start it again")]
pub struct Stopped;

/// The group's mailbox is full or closed: the input is lost, as on a link that breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the group takes no input now; offer it again later")]
pub struct BusyError;

type Asker = oneshot::Sender<Result<(), SendError>>;

pub(crate) struct Replication {
    group: Group,
    pub(crate) clock: Clock,
    pub(crate) outlet: Recipient<Outgoing>,
    pub(crate) readers: Vec<mpsc::Sender<Event>>,
    pub(crate) askers: BTreeMap<Ticket, Asker>,
    waiting: VecDeque<(Bytes, Asker)>,
    next_ticket: u64,
    flush_due: bool,
}

impl Actor for Replication {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.flush_soon(ctx);
    }
}

impl Replication {
    pub(crate) fn drive(&mut self, input: Input, ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        if let Err(refusal) = self.group.handle(self.clock.now(), input, &mut effects) {
            tracing::debug!(%refusal, "an input was refused");
        }
        self.perform(effects, ctx);
        self.flush_soon(ctx);
    }

    // What was notified runs after the mailbox was drained: the batch is what had queued up.
    fn flush_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.flush_due, true) {
            ctx.notify(Flush);
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.flush_due = false;
        let mut effects = Vec::new();
        self.group.flush(self.clock.now(), &mut effects);
        self.perform(effects, ctx);
        self.admit(ctx);
    }

    /// Submits what waits, oldest first, as far as the window allows.
    fn admit(&mut self, ctx: &mut Context<Self>) {
        while let Some((payload, asker)) = self.waiting.pop_front() {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let mut effects = Vec::new();
            let input = Input::Submit { ticket, payload: payload.clone() };
            match self.group.handle(self.clock.now(), input, &mut effects) {
                Ok(()) => {
                    self.askers.insert(ticket, asker);
                    self.perform(effects, ctx);
                    self.flush_soon(ctx);
                }
                Err(Refusal::WouldBlock { waiting, .. }) if waiting > 0 => {
                    self.waiting.push_front((payload, asker));
                    return;
                }
                Err(refusal) => drop(asker.send(Err(refusal.into()))),
            }
        }
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Flush;

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Feed(Input);

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Submit(Bytes, Asker);

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Read(mpsc::Sender<Event>);

#[derive(actix::Message)]
#[rtype(result = "Option<View>")]
struct AskView;

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Flush> for Replication {
    type Result = ();
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}

impl Handler<Feed> for Replication {
    type Result = ();
    fn handle(&mut self, Feed(input): Feed, ctx: &mut Self::Context) {
        self.drive(input, ctx);
    }
}

impl Handler<Submit> for Replication {
    type Result = ();
    fn handle(&mut self, Submit(payload, asker): Submit, ctx: &mut Self::Context) {
        if self.waiting.len() >= WAITING_MAX {
            drop(asker.send(Err(SendError::Busy)));
            return;
        }
        self.waiting.push_back((payload, asker));
        self.admit(ctx);
    }
}

impl Handler<Read> for Replication {
    type Result = ();
    fn handle(&mut self, Read(reader): Read, _: &mut Self::Context) {
        self.readers.push(reader);
    }
}

impl Handler<AskView> for Replication {
    type Result = Option<View>;
    fn handle(&mut self, _: AskView, _: &mut Self::Context) -> Option<View> {
        self.group.view().cloned()
    }
}

impl Handler<Stop> for Replication {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// One group at this node. Clones speak to the same group.
#[derive(Clone, Debug)]
pub struct GroupHandle(Addr<Replication>);

impl GroupHandle {
    /// Starts this node's part in a group on the current arbiter; what it sends goes to `outlet`.
    pub fn start(config: GroupConfig, me: Member, clock: Clock, outlet: Recipient<Outgoing>) -> Self {
        let actor = Replication {
            group: Group::new(config, me, clock.now()),
            clock,
            outlet,
            readers: Vec::new(),
            askers: BTreeMap::new(),
            waiting: VecDeque::new(),
            next_ticket: 0,
            flush_due: false,
        };
        Self(actor.start())
    }

    /// Multicasts a message and waits until it is uniform: it survives any view change.
    ///
    /// While the window is full the message waits for its turn.
    ///
    /// # Errors
    /// [`SendError`] says whether others may have it.
    pub async fn multicast(&self, payload: Bytes) -> Result<(), SendError> {
        let (asker, fate) = oneshot::channel();
        self.0.send(Submit(payload, asker)).await.map_err(|_| SendError::Stopped)?;
        fate.await.unwrap_or(Err(SendError::Stopped))
    }

    /// Views and messages from now on. A reader that falls `capacity` events behind is cut off:
    /// its channel ends after what it holds.
    ///
    /// # Errors
    /// [`Stopped`] if the group no longer runs here.
    pub async fn events(&self, capacity: usize) -> Result<mpsc::Receiver<Event>, Stopped> {
        let (reader, events) = mpsc::channel(capacity.max(1));
        self.0.send(Read(reader)).await.map_err(|_| Stopped)?;
        Ok(events)
    }

    /// The present view; `None` while outside the group.
    ///
    /// # Errors
    /// [`Stopped`] if the group no longer runs here.
    pub async fn view(&self) -> Result<Option<View>, Stopped> {
        self.0.send(AskView).await.map_err(|_| Stopped)
    }

    /// Asks to leave; `Event::Left` tells when it is done.
    ///
    /// # Errors
    /// [`Stopped`] if the group no longer runs here.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.0.send(Feed(Input::Leave)).await.map_err(|_| Stopped)
    }

    /// Stops this node's part at once, without a word to the others.
    pub async fn stop(&self) {
        // Stopped already is as good.
        let _ = self.0.send(Stop).await;
    }

    /// Hands over a message that arrived from a peer.
    ///
    /// # Errors
    /// [`BusyError`] if it was dropped; the group asks for it again.
    pub fn received(&self, from: Member, message: protocols::Message) -> Result<(), BusyError> {
        self.0.try_send(Feed(Input::Received { from, message })).map_err(|_| BusyError)
    }

    /// Tells that this node and another hear each other.
    ///
    /// # Errors
    /// [`Stopped`] if the group no longer runs here.
    pub async fn reachable(&self, member: Member) -> Result<(), Stopped> {
        self.0.send(Feed(Input::Reachable(member))).await.map_err(|_| Stopped)
    }

    /// Tells that they no longer do.
    ///
    /// # Errors
    /// [`Stopped`] if the group no longer runs here.
    pub async fn unreachable(&self, node: NodeId) -> Result<(), Stopped> {
        self.0.send(Feed(Input::Unreachable(node))).await.map_err(|_| Stopped)
    }
}
