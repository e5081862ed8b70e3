//! The bus of a node: carries out what [`Interest`] and the bindings of subjects decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId};
use quorate_protocols::bus::{Interest, Pattern, Route, Subject, Want};
use quorate_transport::{Frame, Mesh};
use tokio::sync::oneshot;

use super::{
    Delivery, Publish, PublishError, Request, RequestError, SubscribeError,
    bindings::Binding,
    commands::unheard,
    local::{Local, Receipt},
    peers::Peers,
    talk::{At, Talk},
};
use crate::{
    node::Canary,
    wire::{BUS_LANE, Malformed},
};

/// Inputs that may wait for the actor.
const MAILBOX_MAX: usize = 4096;
/// Every so many requests those that nobody waits for any more are forgotten.
const SWEEP_EVERY: u64 = 1024;

/// The bus of a node.
#[derive(Debug)]
pub(crate) struct BusActor {
    pub(super) addr: Option<Addr<Self>>,
    pub(super) me: Member,
    pub(super) mesh: Mesh,
    pub(super) interest: Interest,
    pub(super) locals: BTreeMap<u64, Local>,
    pub(super) next_local: u64,
    queue_turn: u64,
    pub(super) peers: Peers,
    pub(super) bindings: BTreeMap<GroupId, Binding>,
    pub(super) payload_bytes_max: usize,
    inbox: Pattern,
    requests: BTreeMap<u64, oneshot::Sender<Result<Delivery, RequestError>>>,
    next_request: u64,
    canary: Canary,
}

impl Actor for BusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.addr = Some(ctx.address());
    }
}

impl BusActor {
    pub(crate) fn new(
        me: Member,
        mesh: Mesh,
        payload_bytes_max: usize,
        canary: Canary,
    ) -> Result<Self, SubscribeError> {
        let inbox: Pattern = format!("_inbox.{}.{}.>", me.node, me.incarnation).parse()?;
        let mut interest = Interest::new(me.node);
        let want = Want { pattern: inbox.clone(), queue: None };
        interest.subscribe(&want).map_err(|_| SubscribeError::TooMany)?;
        Ok(Self {
            addr: None,
            me,
            mesh,
            interest,
            locals: BTreeMap::new(),
            next_local: 0,
            queue_turn: 0,
            peers: Peers::default(),
            bindings: BTreeMap::new(),
            payload_bytes_max,
            inbox,
            requests: BTreeMap::new(),
            next_request: 0,
            canary,
        })
    }

    /// Passes a message on to whoever subscribes now.
    pub(super) fn pass_on(
        &mut self,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: &Bytes,
        at: At,
        done: crate::group::Done,
    ) {
        let route = self.interest.route(subject);
        self.deal(route, subject, reply_to, payload, at, done);
    }

    fn deal(
        &mut self,
        route: Route,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: &Bytes,
        at: At,
        done: crate::group::Done,
    ) {
        let receipt = Receipt::new(done);
        for (node, (plain, queues)) in route.nodes {
            if node == self.me.node {
                self.give(subject, reply_to, payload, at, plain, &queues, Some(&receipt));
                continue;
            }
            let (subject, reply_to) = (subject.clone(), reply_to.cloned());
            let talk = Talk::Message { subject, reply_to, plain, queues, at };
            let Some(lane) = self.peers.send(node, &talk, payload.clone()) else { continue };
            if lane.is_crowded() {
                // The message is on its way, but its publisher waits until there is room again.
                let receipt = Rc::clone(&receipt);
                actix::spawn(async move {
                    lane.eased().await;
                    drop(receipt);
                });
            }
        }
    }

    /// Hands a message to subscribers on this node.
    #[expect(clippy::too_many_arguments, reason = "the parts of one message, which two callers hold apart")]
    fn give(
        &mut self,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: &Bytes,
        at: At,
        plain: bool,
        queues: &[String],
        receipt: Option<&Rc<Receipt>>,
    ) {
        let delivery = Delivery {
            subject: subject.clone(),
            payload: payload.clone(),
            reply_to: reply_to.cloned(),
            at,
            missed: None,
        };
        if self.inbox.matches(subject) {
            return self.answer(delivery);
        }
        for local in self.locals.values_mut().filter(|local| local.want.pattern.matches(subject)) {
            if plain && local.want.queue.is_none() {
                local.give(delivery.clone(), receipt);
            }
        }
        for queue in queues {
            let served = |local: &&mut Local| {
                local.want.queue.as_ref() == Some(queue) && local.want.pattern.matches(subject)
            };
            let count = self.locals.values_mut().filter(served).count();
            let turn = self.queue_turn.checked_rem(count as u64).unwrap_or(0);
            self.queue_turn = self.queue_turn.wrapping_add(1);
            match self.locals.values_mut().filter(served).nth(turn as usize) {
                Some(local) => {
                    local.give(delivery.clone(), receipt);
                }
                // The last subscriber of the queue here has just gone.
                None => metrics::counter!("quorate_bus_queue_lost_total").increment(1),
            }
        }
    }

    fn answer(&mut self, delivery: Delivery) {
        let number = delivery.subject.as_str().rsplit('.').next().and_then(|word| word.parse().ok());
        if let Some(asker) = number.and_then(|number: u64| self.requests.remove(&number)) {
            // It may have timed out.
            let _ = asker.send(Ok(delivery));
        }
    }

    fn request(&mut self, Request { subject, payload, done }: Request) {
        if self.interest.route(&subject).is_empty() {
            let _ = done.send(Err(RequestError::NoResponders(subject)));
            return;
        }
        self.next_request += 1;
        if self.next_request.is_multiple_of(SWEEP_EVERY) {
            self.requests.retain(|_, asker| !asker.is_closed());
        }
        let number = self.next_request;
        let inbox = self.inbox.as_str().trim_end_matches('>');
        match format!("{inbox}{number}").parse() {
            Ok(reply_to) => {
                self.requests.insert(number, done);
                self.publish_now(Publish { subject, reply_to: Some(reply_to), payload, done: unheard() });
            }
            Err(error) => drop(done.send(Err(PublishError::from(error).into()))),
        }
    }

    fn on_frame(&mut self, from: NodeId, frame: Frame) -> Result<(), Malformed> {
        let (talk, payload) = Talk::read(frame)?;
        match talk {
            Talk::Announce { number, said } => {
                self.interest.on_announcement(from, said).map_err(|_| Malformed("bus"))?;
                self.peers.send(from, &Talk::Heard(number), Bytes::new());
            }
            Talk::Heard(number) => {
                self.peers.heard(from, number);
                self.drop_abandoned();
            }
            Talk::Carries(carried) => {
                let bound = carried.into_iter().filter_map(|it| self.bind(it)).collect();
                self.carried(from, &bound);
            }
            Talk::Message { subject, reply_to, plain, queues, at } => {
                self.give(&subject, reply_to.as_ref(), &payload, at, plain, &queues, None);
            }
        }
        Ok(())
    }
}

/// A peer is linked.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PeerUp(pub(crate) NodeId);

/// Its link is gone.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PeerDown(pub(crate) NodeId);

/// Frames of its bus.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct PeerFrames(pub(crate) NodeId, pub(crate) Vec<Frame>);

/// This node's own publication to a group was delivered: queue groups get it from here.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct HandOut(pub(crate) Delivery);

/// Stops at once.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct StopBus;

impl Handler<Request> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Request, _: &mut Self::Context) {
        self.request(command);
    }
}

impl Handler<PeerUp> for BusActor {
    type Result = ();
    fn handle(&mut self, PeerUp(node): PeerUp, _: &mut Self::Context) {
        // It may be gone already; then that is said next.
        let Some(peer) = self.mesh.peer(node) else { return };
        self.peers.up(node, peer.outbox(BUS_LANE), self.interest.whole(), self.carries());
    }
}

impl Handler<PeerDown> for BusActor {
    type Result = ();
    fn handle(&mut self, PeerDown(node): PeerDown, _: &mut Self::Context) {
        self.interest.forget(node);
        self.carried(node, &BTreeSet::new());
        self.peers.down(node);
        self.drop_abandoned();
    }
}

impl Handler<PeerFrames> for BusActor {
    type Result = Result<(), Malformed>;
    fn handle(
        &mut self,
        PeerFrames(from, frames): PeerFrames,
        _: &mut Self::Context,
    ) -> Result<(), Malformed> {
        frames.into_iter().try_for_each(|frame| self.on_frame(from, frame))
    }
}

impl Handler<HandOut> for BusActor {
    type Result = ();
    fn handle(&mut self, HandOut(delivery): HandOut, _: &mut Self::Context) {
        let mut route = self.interest.route(&delivery.subject);
        route.nodes.retain(|_, (plain, queues)| {
            *plain = false;
            !queues.is_empty()
        });
        let Delivery { subject, payload, reply_to, at, .. } = delivery;
        self.deal(route, &subject, reply_to.as_ref(), &payload, at, unheard());
    }
}

impl Handler<StopBus> for BusActor {
    type Result = ();
    fn handle(&mut self, _: StopBus, ctx: &mut Self::Context) {
        self.canary.disarm();
        ctx.stop();
    }
}
