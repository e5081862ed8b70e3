//! Where messages go that need not pass through the bus actor: a table that publishers read on their
//! own threads.
//!
//! The actor learns a subject's target when a message of it comes by, and forgets all of them whenever
//! anything changes that they depend on, before anybody is told that it has come about. So whoever
//! publishes after a subscription stands finds no target from before it.
//!
//! All else is left for the actor in the [`Post`]. As long as something waits there, what needs no actor
//! takes the same way, or it would overtake.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;
use bytes::Bytes;
use dashmap::DashMap;
use quorate_protocols::bus::{Subject, SubscriptionId};
use quorate_transport::Crowd;

use super::{
    BusActor, Delivery, Hosted, Local, Overflow, Publish, Request,
    collect::Collect,
    local::Receipt,
    post::{LetterPlace, Parcel, Post, Posted},
};
use crate::{
    config::GroupSpec,
    group::{PublishBound, Replication},
    queue::{Feed, Offer},
};

/// Subjects whose targets are known. When there are more all are forgotten, and those that are still
/// in use are learned again with their next message.
pub(super) const SUBJECTS_MAX: usize = 4096;

/// Whether answers are expected on a subject.
pub(super) fn is_inbox(subject: &Subject) -> bool {
    subject.as_str().starts_with("_inbox.")
}

/// Where each message of a subject goes.
#[derive(Debug)]
pub(super) enum Target {
    /// Through the bus actor, which tells what became of each message: to queue groups, which take turns,
    /// or to subscribers that hold publishers back.
    Actor,
    /// Through the bus actor to plain subscribers, some of them on other nodes, to which these lanes go.
    Letters(Vec<Arc<Crowd>>),
    /// To these subscribers on this node, if there are any, and to nobody else.
    Subscribers(Vec<Subscriber>),
    /// To the group to which the subject is bound and in which this node takes part.
    Group(Addr<Replication>),
}

/// A plain subscriber on this node.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) id: SubscriptionId,
    pub(super) feed: Arc<Feed<Delivery>>,
    pub(super) overflow: Overflow,
}

impl Subscriber {
    /// Offers a message; returns whether the bus actor has to keep it until there is room.
    fn lacks(&self, delivery: &Delivery) -> bool {
        let Offer::Full(_) = self.feed.offer_beside(delivery.clone(), delivery.weight()) else {
            return false;
        };
        if self.overflow != Overflow::Skip {
            return true;
        }
        metrics::counter!("quorate_bus_missed_total").increment(1);
        self.feed.skip(1);
        false
    }
}

/// Offers a message to subscribers; returns those for whom the bus actor has to keep it until there is room.
pub(super) fn offer(
    subscribers: &[Subscriber],
    subject: &Subject,
    reply_to: Option<&Subject>,
    payload: &Bytes,
) -> Vec<SubscriptionId> {
    let delivery = Delivery::new(subject, reply_to, payload);
    subscribers.iter().filter(|it| it.lacks(&delivery)).map(|it| it.id).collect()
}

/// The table, as publishers read it. Nothing is locked while a message is handed on.
#[derive(Debug)]
pub(crate) struct Routes {
    targets: DashMap<Subject, Arc<Target>>,
    /// Changes on their way to the bus actor.
    changes: AtomicUsize,
    payload_bytes_max: usize,
    post: Post,
}

impl Routes {
    /// Waits until the actor has seen to what was left for it; returns whether it has, or the bus has ended.
    pub(super) async fn seen(&self, number: u64) -> bool {
        self.post.seen(number).await
    }

    /// Where a message goes, if that is known and it is not too long.
    pub(super) fn target(&self, subject: &Subject, payload: &Bytes) -> Option<Arc<Target>> {
        if payload.len() <= self.payload_bytes_max { self.find(subject) } else { None }
    }

    fn find(&self, subject: &Subject) -> Option<Arc<Target>> {
        if self.changes.load(Ordering::Acquire) > 0 {
            return None;
        }
        self.targets.get(subject).map(|target| Arc::clone(&target))
    }

    /// Lets the bus actor know that a group with bound subjects is known, and whether it is carried here.
    pub(crate) fn host(
        self: &Arc<Self>,
        bus: &Addr<BusActor>,
        spec: Arc<GroupSpec>,
        here: Option<Addr<Replication>>,
    ) {
        let hosted = Hosted(spec, here, self.change());
        self.post.put(Parcel::Hosted(hosted), || bus.do_send(Collect));
    }

    /// Announces a change of which the bus actor is about to be told.
    pub(super) fn change(self: &Arc<Self>) -> Change {
        self.changes.fetch_add(1, Ordering::AcqRel);
        Change(Arc::clone(self))
    }
}

/// A change on its way to the bus actor: until this is dropped, no target counts.
#[derive(Debug)]
pub(crate) struct Change(Arc<Routes>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.changes.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The table, as the bus actor alone writes it. It is empty once this is dropped, and the post is closed, or publishers would keep
/// alive what ends with the actor.
#[derive(Debug)]
pub(super) struct RouteWriter(Arc<Routes>);

impl RouteWriter {
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        let (targets, changes) = (DashMap::new(), AtomicUsize::new(0));
        Self(Arc::new(Routes { targets, changes, payload_bytes_max, post: Post::default() }))
    }

    pub(super) fn read(&self) -> Arc<Routes> {
        Arc::clone(&self.0)
    }

    pub(super) fn knows(&self, subject: &Subject) -> bool {
        self.0.targets.contains_key(subject)
    }

    pub(super) fn learn(&self, subject: &Subject, target: Target) {
        if self.0.targets.len() >= SUBJECTS_MAX {
            self.forget();
        }
        self.0.targets.insert(subject.clone(), Arc::new(target));
    }

    pub(super) fn forget(&self) {
        self.0.targets.clear();
    }

    /// What publishers leave for the actor.
    pub(super) fn post(&self) -> &Post {
        &self.0.post
    }
}

impl Drop for RouteWriter {
    fn drop(&mut self) {
        self.forget();
        self.post().close();
    }
}

/// The way of a handle past the bus actor, or to it without waiting.
#[derive(Clone, Debug)]
pub(super) struct Shortcut {
    routes: Arc<Routes>,
    bus: Addr<BusActor>,
}

/// What became of a message that was to be handed on at once.
#[derive(Debug)]
pub(super) enum Handed {
    /// All is done about it.
    On,
    /// It was left for the actor, with this number.
    Left(u64),
    /// These subscribers here lack it, and others have got it.
    Lacked(Vec<SubscriptionId>),
    /// Not yet: a lane is crowded.
    Crowded(Arc<Crowd>),
    /// Not yet: as much waits for the actor as may.
    Full,
    /// Not yet: it needs room among the messages in flight, since a subscriber may have none for it.
    Roomless,
    /// The bus has ended.
    Stopped,
    /// Its publisher has to be told what becomes of it.
    Not,
}

impl Shortcut {
    pub(super) fn new(routes: Arc<Routes>, bus: Addr<BusActor>) -> Self {
        Self { routes, bus }
    }

    /// Hands a message on, if its target is known and there is nothing to be told of it later.
    pub(super) fn hand_on(
        &self,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: &Bytes,
        has_room: bool,
        place: Option<LetterPlace<'_>>,
    ) -> Handed {
        let post = &self.routes.post;
        match self.routes.target(subject, payload).as_deref() {
            Some(Target::Letters(lanes)) if reply_to.is_none() => {
                if let Some(lane) = lanes.iter().find(|lane| lane.is_crowded()) {
                    return Handed::Crowded(Arc::clone(lane));
                }
                match post.put_letter(subject, payload, place, || self.call()) {
                    Posted::Taken(number) => Handed::Left(number),
                    Posted::Full => Handed::Full,
                    Posted::Closed => Handed::Stopped,
                }
            }
            Some(Target::Subscribers(subscribers)) if post.is_settled() => {
                // Asked for before any of them gets it: whoever gives up waiting has published nothing then.
                if !has_room && subscribers.iter().any(|it| it.overflow != Overflow::Skip) {
                    return Handed::Roomless;
                }
                let lacking = offer(subscribers, subject, reply_to, payload);
                if lacking.is_empty() { Handed::On } else { Handed::Lacked(lacking) }
            }
            _ => Handed::Not,
        }
    }

    /// Hands a message to the actor, or to its group if that is known and nothing that was handed on before
    /// waits for the actor.
    pub(super) fn hand_over(&self, message: Publish) {
        match self.routes.target(&message.subject, &message.payload).as_deref() {
            Some(Target::Group(group)) if self.routes.post.is_settled() => {
                let Publish { subject, reply_to, payload, done } = message;
                // As from the bus actor: the publishers' room bounds what may wait there.
                group.do_send(PublishBound { stamp: None, subject, reply_to, payload, done });
            }
            _ => self.leave(Parcel::Publish(message.into())),
        }
    }

    /// Lets the actor see to it that the others get a message, too.
    pub(super) fn hand_rest(&self, message: Publish, lacking: Vec<SubscriptionId>) {
        self.leave(Parcel::Remainder(Remainder { message, lacking }.into()));
    }

    /// What publishers read, for those who wait until the actor has seen to what was left for it.
    pub(super) const fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Waits for a place for a letter, behind whoever waits already.
    pub(super) async fn place(&self, payload: &Bytes) -> Option<LetterPlace<'_>> {
        self.routes.post.place(payload).await
    }

    /// Leaves a request for the actor.
    pub(super) fn request(&self, request: Request) {
        self.leave(Parcel::Request(request.into()));
    }

    fn leave(&self, parcel: Parcel) {
        self.routes.post.put(parcel, || self.call());
    }

    fn call(&self) {
        // At most one of them waits in the mailbox beside one that is carried out.
        self.bus.do_send(Collect);
    }
}

/// A message that some subscribers on this node have got, and others lack.
#[derive(Debug)]
pub(super) struct Remainder {
    pub(super) message: Publish,
    pub(super) lacking: Vec<SubscriptionId>,
}

impl BusActor {
    /// Lets publishers know where further messages of a subject go.
    pub(super) fn learn(&self, subject: &Subject) {
        // Each answer has a subject of its own.
        if is_inbox(subject) || self.routes.knows(subject) {
            return;
        }
        let target = match self.group_of(subject) {
            Ok(Some(group)) => {
                self.publishes_here(group).filter(|_| self.bindings.knows(group)).map(Target::Group)
            }
            Ok(None) => match self.router.plain_here(subject) {
                Some(ids) => Some(Target::Subscribers(self.subscribers(&ids))),
                None => self.lanes_of_letters(subject).map(Target::Letters),
            },
            Err(_) => None, // it is refused until somebody carries the group
        };
        self.routes.learn(subject, target.unwrap_or(Target::Actor));
    }

    fn subscribers(&self, ids: &[SubscriptionId]) -> Vec<Subscriber> {
        let locals = ids.iter().filter_map(|id| Some((*id, self.locals.get(id)?)));
        let subscriber = |(id, local): (SubscriptionId, &Local)| Subscriber {
            id,
            feed: Arc::clone(&local.feed),
            overflow: local.overflow,
        };
        locals.map(subscriber).collect()
    }

    pub(super) fn give_remainder(&mut self, Remainder { message, lacking }: Remainder) {
        let delivery = Delivery::new(&message.subject, message.reply_to.as_ref(), &message.payload);
        let receipt = Receipt::new(message.done);
        for id in lacking {
            if let Some(local) = self.locals.get_mut(&id) {
                local.give(delivery.clone(), Some(&receipt));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_subjects_than_may_be_known_are_forgotten_together() {
        let writer = RouteWriter::new(1);
        let subject = |number: usize| format!("s.{number}").parse::<Subject>().unwrap();
        for number in 0..SUBJECTS_MAX {
            writer.learn(&subject(number), Target::Actor);
        }
        let routes = writer.read();
        assert_eq!(routes.targets.len(), SUBJECTS_MAX);
        writer.learn(&subject(SUBJECTS_MAX), Target::Actor);
        assert_eq!(routes.targets.len(), 1);
        assert!(routes.find(&subject(0)).is_none() && routes.find(&subject(SUBJECTS_MAX)).is_some());
        drop(writer);
        assert!(routes.find(&subject(SUBJECTS_MAX)).is_none());
    }

    #[test]
    fn no_target_counts_while_a_change_is_on_its_way() {
        let writer = RouteWriter::new(1);
        let subject = "a".parse().unwrap();
        writer.learn(&subject, Target::Actor);
        let routes = writer.read();
        let changes = [routes.change(), routes.change()];
        for change in changes {
            assert!(routes.find(&subject).is_none());
            drop(change);
        }
        assert!(routes.find(&subject).is_some());
    }
}
