//! The bus of a node: carries out what [`Router`] and the bindings of subjects decide.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId, Timing};
use quorate_protocols::bus::{
    Bindings, Holders, LinkId, Route, Router, RouterEffect, Subject, SubscriptionId,
};
use quorate_transport::{Frame, Mesh};
use tokio::sync::oneshot;

use super::{
    Delivery, Publish, PublishError, Request, RequestError, SubscribeError,
    bindings::Served,
    commands::unheard,
    local::{Local, Receipt},
    peers::Peers,
    post::Parcel,
    routes::{RouteWriter, Routes, is_inbox},
    talk::{At, Talk},
};
use crate::{
    node::Canary,
    room::Held,
    sessions::Sessions,
    start::spawn,
    wire::{BUS_LANE, Malformed},
};

/// Inputs that may wait for the actor.
const MAILBOX_MAX: usize = 4096;
/// Every so many requests those that nobody waits for any more are forgotten.
const SWEEP_EVERY: u64 = 1024;

/// The bus of a node.
#[derive(Debug)]
pub(crate) struct BusActor {
    // The first to be dropped: what the table names ends with the fields below, and not while it is locked.
    pub(super) routes: RouteWriter,
    /// An empty list, for what publishers leave next.
    pub(super) spare: Vec<Parcel>,
    pub(super) addr: Option<Addr<Self>>,
    pub(super) me: Member,
    pub(super) sessions: Sessions,
    pub(super) mesh: Mesh,
    pub(super) timing: Timing,
    pub(super) router: Router,
    pub(super) locals: BTreeMap<SubscriptionId, Local>,
    pub(super) peers: Peers,
    pub(super) holders: Holders<Rc<Receipt>>,
    pub(super) bindings: Bindings,
    pub(super) served: BTreeMap<GroupId, Served>,
    pub(super) payload_bytes_max: usize,
    requests: BTreeMap<u64, oneshot::Sender<Result<Delivery, RequestError>>>,
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
        sessions: Sessions,
        mesh: Mesh,
        timing: Timing,
        payload_bytes_max: usize,
        canary: Canary,
    ) -> Result<Self, SubscribeError> {
        let me = sessions.member();
        Ok(Self {
            addr: None,
            me,
            sessions,
            mesh,
            timing,
            router: Router::new(me)?,
            locals: BTreeMap::new(),
            peers: Peers::default(),
            holders: Holders::default(),
            bindings: Bindings::default(),
            served: BTreeMap::new(),
            payload_bytes_max,
            routes: RouteWriter::new(payload_bytes_max),
            spare: Vec::new(),
            requests: BTreeMap::new(),
            canary,
        })
    }

    /// What publishers on any thread read.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.read()
    }

    /// Lets the core decide something, and carries out what it wants done.
    pub(super) fn routing<T>(&mut self, act: impl FnOnce(&mut Router, &mut Vec<RouterEffect>) -> T) -> T {
        let mut effects = Vec::new();
        let decided = act(&mut self.router, &mut effects);
        // Before anybody is told that it has come about.
        self.routes.forget();
        self.perform(effects);
        decided
    }

    fn perform(&mut self, effects: Vec<RouterEffect>) {
        for effect in effects {
            match effect {
                RouterEffect::Announce { to, number, said } => {
                    self.peers.say(to, &Talk::Announce { number, said });
                }
                RouterEffect::Heard { to, number } => self.peers.say(to, &Talk::Heard(number)),
                RouterEffect::Stands(id) => {
                    self.peers.stands(id);
                }
            }
        }
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
        let route = self.router.route(subject);
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
            let (about, reply_to) = (subject.clone(), reply_to.cloned());
            let talk = Talk::Message { subject: about, reply_to, plain, queues, at };
            let sent = self.peers.send(node, &talk, payload.clone());
            if let (Ok(Some(_)), Talk::Message { plain, queues, at: None, .. }) = (&sent, &talk)
                && !is_inbox(subject)
            {
                self.holders.wait(node, subject, *plain, queues, &receipt);
            }
            match sent {
                // The message is on its way, but its publisher waits until there is room again.
                Ok(Some(lane)) if lane.crowd().is_crowded() => {
                    let receipt = Rc::clone(&receipt);
                    spawn(async move {
                        lane.crowd().eased().await;
                        drop(receipt);
                    });
                }
                Ok(_) => {}
                Err(error) => receipt.refuse(error),
            }
        }
    }

    /// Hands a message to subscribers on this node; one from another node has no receipt.
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
        if let Some(request) = self.router.on_answer(subject) {
            if let Some(asker) = request.and_then(|number| self.requests.remove(&number)) {
                // It may have timed out.
                let _ = asker.send(Ok(delivery));
            }
            return;
        }
        let selection = self.router.select(subject, plain, queues);
        for id in selection.subscriptions {
            if let Some(local) = self.locals.get_mut(&id) {
                local.give(delivery.clone(), receipt);
            }
            if receipt.is_none() && at.is_none() {
                self.hold_back(id);
            }
        }
        if selection.lost > 0 {
            // The last subscribers of these queue groups here have just gone.
            metrics::counter!("quorate_bus_queue_lost_total").increment(selection.lost as u64);
        }
    }

    pub(super) fn request(&mut self, Request { subject, payload, done, held }: Request) {
        match self.router.request(&subject) {
            Ok(None) => drop(done.send(Err(RequestError::NoResponders(subject)))),
            Ok(Some((number, reply_to))) => {
                if number.is_multiple_of(SWEEP_EVERY) {
                    for (abandoned, _) in self.requests.extract_if(.., |_, asker| asker.is_closed()) {
                        self.router.give_up(abandoned);
                    }
                }
                self.requests.insert(number, done);
                let done = unheard(held);
                self.publish_now(Publish { subject, reply_to: Some(reply_to), payload, done });
            }
            Err(error) => drop(done.send(Err(PublishError::from(error).into()))),
        }
    }

    fn on_frame(&mut self, from: NodeId, link: LinkId, frame: Frame) -> Result<(), Malformed> {
        let (talk, payload) = Talk::read(frame)?;
        match talk {
            Talk::Announce { number, said } => {
                self.routing(|router, out| router.on_announcement(from, link, number, said, out))
                    .map_err(|_| Malformed("bus"))?;
            }
            Talk::Heard(number) => self.routing(|router, out| router.on_heard(from, link, number, out)),
            Talk::Carries(carried) => self.on_carries(from, link, carried),
            Talk::Message { subject, reply_to, plain, queues, at } => {
                self.give(&subject, reply_to.as_ref(), &payload, at, plain, &queues, None);
            }
            Talk::Letters { subject } => self.on_letters(&subject, payload)?,
            Talk::Hold(want) => {
                self.holders.on_hold(from, link, want).map_err(|_| Malformed("bus"))?;
                self.routes.forget();
            }
            Talk::Go(want) => {
                self.holders.on_go(from, link, &want);
                self.routes.forget();
            }
        }
        Ok(())
    }
}

/// A peer is linked.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PeerUp(pub(crate) NodeId, pub(crate) LinkId);

/// Its link is gone.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PeerDown(pub(crate) NodeId, pub(crate) LinkId);

/// Frames of its bus, and the link that brought them. They may come after the news of its end.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct PeerFrames(pub(crate) NodeId, pub(crate) LinkId, pub(crate) Vec<Frame>);

/// This node's own publication to a group was delivered: queue groups get it from here.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct HandOut(pub(crate) Delivery, pub(crate) Held);

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
    fn handle(&mut self, PeerUp(node, link): PeerUp, _: &mut Self::Context) {
        // It may be gone already; then that is said next.
        let Some(peer) = self.mesh.peer(node) else { return };
        self.peers.up(node, peer.outbox(BUS_LANE));
        for want in self.holders.on_link(node, link) {
            self.peers.say(node, &Talk::Hold(want.clone()));
        }
        self.routing(|router, out| router.on_link(node, link, out));
        self.binding(|it, out| it.on_link(node, link, out));
    }
}

impl Handler<PeerDown> for BusActor {
    type Result = ();
    fn handle(&mut self, PeerDown(node, link): PeerDown, _: &mut Self::Context) {
        self.peers.down(node);
        self.holders.on_unlink(node, link);
        self.routing(|router, out| router.on_unlink(node, link, out));
        self.binding(|it, out| it.on_unlink(node, link, out));
    }
}

impl Handler<PeerFrames> for BusActor {
    type Result = Result<(), Malformed>;
    fn handle(
        &mut self,
        PeerFrames(from, link, frames): PeerFrames,
        _: &mut Self::Context,
    ) -> Result<(), Malformed> {
        frames.into_iter().try_for_each(|frame| self.on_frame(from, link, frame))
    }
}

impl Handler<HandOut> for BusActor {
    type Result = ();
    fn handle(&mut self, HandOut(delivery, held): HandOut, _: &mut Self::Context) {
        let route = self.router.route_queues(&delivery.subject);
        let Delivery { subject, payload, reply_to, at, .. } = delivery;
        self.deal(route, &subject, reply_to.as_ref(), &payload, at, unheard(Some(held)));
    }
}

impl Handler<StopBus> for BusActor {
    type Result = ();
    fn handle(&mut self, _: StopBus, ctx: &mut Self::Context) {
        self.collect_last();
        self.canary.disarm();
        ctx.stop();
    }
}
