//! The bus of a node: carries out what [`Interest`] and the bindings of subjects decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId};
use quorate_protocols::bus::{Interest, Pattern, Route, Subject, Want};
use quorate_transport::Frame;
use tokio::sync::oneshot;

use super::{
    Delivery, Publish, PublishError, Request, RequestError, Subscribe, SubscribeError, Unsubscribe,
    commands::{Subscribed, unheard},
    local::{Local, Receipt},
    peers::Peers,
    talk::{At, Carried, Talk},
};
use crate::{
    config::GroupSpec,
    group::{PublishBound, Replication, Untail, group_id},
    node::{Canary, Outboxes},
    wire::Malformed,
};

/// Inputs that may wait for the actor.
const MAILBOX_MAX: usize = 4096;
/// Every so many requests those that nobody waits for any more are forgotten.
const SWEEP_EVERY: u64 = 1024;

/// A group whose subjects are published through it.
#[derive(Debug)]
struct Binding {
    name: String,
    patterns: Vec<Pattern>,
    /// The group's actor, if this node is a data member.
    here: Option<Addr<Replication>>,
    /// The nodes that carry it.
    carriers: BTreeSet<NodeId>,
}

/// The bus of a node.
#[derive(Debug)]
pub(crate) struct BusActor {
    me: Member,
    interest: Interest,
    locals: BTreeMap<u64, Local>,
    next_local: u64,
    queue_turn: u64,
    peers: Peers,
    bindings: BTreeMap<GroupId, Binding>,
    payload_bytes_max: usize,
    inbox: Pattern,
    requests: BTreeMap<u64, oneshot::Sender<Result<Delivery, RequestError>>>,
    next_request: u64,
    canary: Canary,
}

impl Actor for BusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.canary.disarm();
    }
}

impl BusActor {
    pub(crate) fn new(me: Member, payload_bytes_max: usize, canary: Canary) -> Result<Self, SubscribeError> {
        let inbox: Pattern = format!("_inbox.{}.{}.>", me.node, me.incarnation).parse()?;
        let mut interest = Interest::new(me.node);
        let want = Want { pattern: inbox.clone(), queue: None };
        interest.subscribe(&want).map_err(|_| SubscribeError::TooMany)?;
        Ok(Self {
            me,
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

    fn binding(&self, subject: &Subject) -> Option<&Binding> {
        let mut bindings = self.bindings.values();
        bindings.find(|binding| binding.patterns.iter().any(|pattern| pattern.matches(subject)))
    }

    fn publish(&mut self, command: Publish) {
        let Publish { subject, reply_to, payload, done } = command;
        let (bytes, limit) = (payload.len(), self.payload_bytes_max);
        if bytes > limit {
            return done.tell(Err(PublishError::TooLarge { bytes, limit }));
        }
        match self.binding(&subject) {
            None => self.pass_on(&subject, reply_to.as_ref(), &payload, None, done),
            // The publishers' room for messages in flight bounds what may wait there.
            Some(Binding { here: Some(group), .. }) => {
                group.do_send(PublishBound { stamp: None, subject, reply_to, payload, done });
            }
            Some(_) => done.tell(Err(PublishError::NotBound(subject))),
        }
    }

    /// Passes a message on to whoever subscribes now.
    fn pass_on(
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
                Some(local) => local.give(delivery.clone(), receipt),
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
                self.publish(Publish { subject, reply_to: Some(reply_to), payload, done: unheard() });
            }
            Err(error) => drop(done.send(Err(PublishError::from(error).into()))),
        }
    }

    fn subscribe(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        let Subscribe { pattern, options, feed, after, done } = command;
        let want = Want { pattern, queue: options.queue };
        match self.interest.subscribe(&want) {
            Err(_) => return drop(done.send(Err(SubscribeError::TooMany))),
            Ok(Some(news)) => self.peers.announce(&news),
            Ok(None) => {}
        }
        let id = self.next_local;
        self.next_local += 1;
        let addr = ctx.address();
        // Rare: once each time that a reader was full and has read half of it.
        feed.on_room(move || addr.do_send(Pump(id)));
        let local = Local::new(want.clone(), options.overflow, feed);
        let tails: Vec<_> = self.overlapping(&want).map(|(id, here)| (id, here, local.tail())).collect();
        self.locals.insert(id, local);
        let attaching = async move {
            let mut attached = Vec::new();
            for (group, here, mut wanted) in tails {
                wanted.after = after.iter().find(|(it, _)| *it == group).map(|(_, position)| *position);
                if let Ok(Some(tailed)) = here.send(wanted).await {
                    attached.push((group, here, tailed));
                }
            }
            attached
        };
        let attached = attaching.into_actor(self).map(move |attached, actor, _| {
            let from = attached.iter().filter_map(|(group, _, tailed)| Some((*group, tailed.from?)));
            let subscribed = Subscribed { id, from: from.collect() };
            actor.attached(id, attached.into_iter().map(|(_, here, tailed)| (here, tailed.id)));
            actor.peers.when_heard(done, subscribed);
        });
        ctx.spawn(attached);
    }

    /// The groups on this node whose subjects a plain subscriber reads.
    fn overlapping<'a>(
        &'a self,
        want: &'a Want,
    ) -> impl Iterator<Item = (GroupId, Addr<Replication>)> + use<'a> {
        let overlaps = |binding: &Binding| binding.patterns.iter().any(|it| it.overlaps(&want.pattern));
        let bindings = self.bindings.iter().filter(move |(_, it)| want.queue.is_none() && overlaps(it));
        bindings.filter_map(|(group, binding)| Some((*group, binding.here.clone()?)))
    }

    fn attached(&mut self, id: u64, tails: impl Iterator<Item = (Addr<Replication>, u64)>) {
        match self.locals.get_mut(&id) {
            Some(local) => local.tails.extend(tails),
            None => tails.for_each(|(group, tail)| group.do_send(Untail(tail))),
        }
    }

    fn unsubscribe(&mut self, id: u64) {
        let Some(local) = self.locals.remove(&id) else { return };
        if let Some(news) = self.interest.unsubscribe(&local.want) {
            self.peers.announce(&news);
        }
        local.tails.into_iter().for_each(|(group, tail)| group.do_send(Untail(tail)));
    }

    fn carries(&self) -> Vec<Carried> {
        let here = self.bindings.values().filter(|binding| binding.here.is_some());
        here.map(|it| Carried { name: it.name.clone(), patterns: it.patterns.clone() }).collect()
    }

    /// Learns that a node carries a group. What contradicts what is known is refused.
    fn bind(&mut self, carried: Carried) -> Option<&mut Binding> {
        let group = group_id(&carried.name);
        let clashes = |(id, known): (&GroupId, &Binding)| {
            *id != group && known.patterns.iter().any(|a| carried.patterns.iter().any(|b| a.overlaps(b)))
        };
        if let Some(known) = self.bindings.iter().find(|known| clashes((known.0, known.1))) {
            let (one, other) = (&known.1.name, &carried.name);
            tracing::error!("the groups {one} and {other} have common subjects: change one of them");
            return None;
        }
        Some(self.bindings.entry(group).or_insert(Binding {
            name: carried.name,
            patterns: carried.patterns,
            here: None,
            carriers: BTreeSet::new(),
        }))
    }

    fn on_hosted(&mut self, spec: &GroupSpec, here: Option<Addr<Replication>>, ctx: &mut Context<Self>) {
        let carried = Carried { name: spec.name().to_owned(), patterns: spec.subjects().to_vec() };
        let Some(binding) = self.bind(carried) else { return };
        binding.here.clone_from(&here);
        self.peers.tell_all(&Talk::Carries(self.carries()));
        let Some(here) = here else { return };
        for (id, local) in &self.locals {
            let reads = spec.subjects().iter().any(|pattern| pattern.overlaps(&local.want.pattern));
            if local.want.queue.is_some() || !reads {
                continue;
            }
            let (id, group, wanted) = (*id, here.clone(), local.tail());
            let attaching = async move { (group.send(wanted).await, group) };
            ctx.spawn(attaching.into_actor(self).map(move |(tailed, group), actor, _| {
                if let Ok(Some(tailed)) = tailed {
                    actor.attached(id, std::iter::once((group, tailed.id)));
                }
            }));
        }
    }

    fn no_longer_carries(&mut self, node: NodeId) {
        for binding in self.bindings.values_mut() {
            binding.carriers.remove(&node);
        }
    }

    fn on_frame(&mut self, from: NodeId, frame: Frame) -> Result<(), Malformed> {
        let (talk, payload) = Talk::read(frame)?;
        match talk {
            Talk::Announce { number, said } => {
                self.interest.on_announcement(from, said).map_err(|_| Malformed("bus"))?;
                self.peers.send(from, &Talk::Heard(number), Bytes::new());
            }
            Talk::Heard(number) => self.peers.heard(from, number),
            Talk::Carries(carried) => {
                self.no_longer_carries(from);
                for carried in carried {
                    if let Some(binding) = self.bind(carried) {
                        binding.carriers.insert(from);
                    }
                }
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
pub(crate) struct PeerUp(pub(crate) NodeId, pub(crate) Arc<Outboxes>);

/// Its link is gone.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct PeerDown(pub(crate) NodeId);

/// Frames of its bus.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct PeerFrames(pub(crate) NodeId, pub(crate) Vec<Frame>);

/// A group with bound subjects is known, and carried here if there is an actor.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Hosted(pub(crate) Arc<GroupSpec>, pub(crate) Option<Addr<Replication>>);

/// This node's own publication to a group was delivered: queue groups get it from here.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct HandOut(pub(crate) Delivery);

/// Stops at once.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct StopBus;

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Pump(u64);

impl Handler<Publish> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Publish, _: &mut Self::Context) {
        self.publish(command);
    }
}

impl Handler<Request> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Request, _: &mut Self::Context) {
        self.request(command);
    }
}

impl Handler<Subscribe> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Subscribe, ctx: &mut Self::Context) {
        self.subscribe(command, ctx);
    }
}

impl Handler<Unsubscribe> for BusActor {
    type Result = ();
    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        self.unsubscribe(id);
    }
}

impl Handler<Pump> for BusActor {
    type Result = ();
    fn handle(&mut self, Pump(id): Pump, _: &mut Self::Context) {
        if let Some(local) = self.locals.get_mut(&id) {
            local.pump();
        }
    }
}

impl Handler<PeerUp> for BusActor {
    type Result = ();
    fn handle(&mut self, PeerUp(node, lanes): PeerUp, _: &mut Self::Context) {
        self.peers.up(node, lanes, self.interest.whole(), self.carries());
    }
}

impl Handler<PeerDown> for BusActor {
    type Result = ();
    fn handle(&mut self, PeerDown(node): PeerDown, _: &mut Self::Context) {
        self.interest.forget(node);
        self.no_longer_carries(node);
        self.peers.down(node);
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

impl Handler<Hosted> for BusActor {
    type Result = ();
    fn handle(&mut self, Hosted(spec, here): Hosted, ctx: &mut Self::Context) {
        self.on_hosted(&spec, here, ctx);
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
        ctx.stop();
    }
}
