//! Where messages go that need not pass through the bus actor: a table that publishers read on their
//! own threads.
//!
//! The actor learns a subject's target when a message of it comes by, and forgets all of them whenever
//! anything changes that they depend on, before anybody is told that it has come about. So whoever
//! publishes after a subscription stands finds no target from before it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering, fence},
};

use actix::prelude::*;
use dashmap::DashMap;
use quorate_protocols::bus::{Subject, SubscriptionId};

use super::{BusActor, Delivery, Local, Overflow, Publish, local::Receipt};
use crate::{
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
    /// Through the bus actor: to other nodes, or to queue groups, which take turns.
    Actor,
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

/// The table, as publishers read it. Nothing is locked while a message is handed on.
#[derive(Debug)]
pub(crate) struct Routes {
    targets: DashMap<Subject, Arc<Target>>,
    /// Changes on their way to the bus actor.
    changes: AtomicUsize,
    payload_bytes_max: usize,
}

impl Routes {
    fn find(&self, subject: &Subject) -> Option<Arc<Target>> {
        if self.changes.load(Ordering::Acquire) > 0 {
            return None;
        }
        self.targets.get(subject).map(|target| Arc::clone(&target))
    }

    /// Announces a change of which the bus actor is about to be told.
    pub(crate) fn change(self: &Arc<Self>) -> Change {
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

/// The table, as the bus actor alone writes it. It is empty once this is dropped, or publishers would keep
/// alive what ends with the actor.
#[derive(Debug)]
pub(super) struct RouteWriter(Arc<Routes>);

impl RouteWriter {
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        let (targets, changes) = (DashMap::new(), AtomicUsize::new(0));
        Self(Arc::new(Routes { targets, changes, payload_bytes_max }))
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
}

impl Drop for RouteWriter {
    fn drop(&mut self) {
        self.forget();
    }
}

/// What one handle has put into the bus actor's mailbox and the actor has not handled.
#[derive(Debug, Default)]
struct Queued(Arc<()>);

/// One message in the mailbox. The actor drops it with all that it does about the message.
pub(crate) type Ticket = Arc<()>;

impl Queued {
    fn is_empty(&self) -> bool {
        let none = Arc::strong_count(&self.0) == 1;
        // Pairs with the drop of the last ticket: what the actor did before that is seen from here on.
        fence(Ordering::Acquire);
        none
    }
}

/// The way of one handle past the bus actor.
#[derive(Debug)]
pub(super) struct Shortcut {
    routes: Arc<Routes>,
    bus: Addr<BusActor>,
    queued: Queued,
}

impl Clone for Shortcut {
    /// Each handle waits for its own messages only, or publishers that never meet would send each other
    /// through the actor for ever. A call returns once the actor has handled its message, so what another
    /// handle publishes after that does not overtake it either.
    fn clone(&self) -> Self {
        Self { routes: Arc::clone(&self.routes), bus: self.bus.clone(), queued: Queued::default() }
    }
}

/// What is left of a message for the bus actor.
#[derive(Debug)]
pub(super) enum Rest {
    Nothing,
    All(Publish),
    Some(Remainder),
}

impl Shortcut {
    pub(super) fn new(routes: Arc<Routes>, bus: Addr<BusActor>) -> Self {
        Self { routes, bus, queued: Queued::default() }
    }

    /// For a message that goes into the actor's mailbox.
    pub(super) fn ticket(&self) -> Ticket {
        Arc::clone(&self.queued.0)
    }

    /// Hands a message on without the bus actor, as far as its target is known and nothing of this handle
    /// that comes before it waits for the actor.
    pub(super) fn hand_on(&self, message: Publish) -> Rest {
        let fits = message.payload.len() <= self.routes.payload_bytes_max;
        let known = if fits && self.queued.is_empty() { self.routes.find(&message.subject) } else { None };
        match known.as_deref() {
            Some(Target::Subscribers(subscribers)) => {
                let delivery = message.delivery();
                let lacking = subscribers.iter().filter(|it| it.lacks(&delivery)).map(|it| it.id);
                let lacking: Vec<SubscriptionId> = lacking.collect();
                if lacking.is_empty() {
                    message.done.tell(Ok(()));
                    return Rest::Nothing;
                }
                Rest::Some(Remainder { message, lacking })
            }
            Some(Target::Group(group)) => {
                let Publish { subject, reply_to, payload, done, .. } = message;
                // As from the bus actor: the publishers' room bounds what may wait there.
                group.do_send(PublishBound { stamp: None, subject, reply_to, payload, done });
                Rest::Nothing
            }
            Some(Target::Actor) | None => Rest::All(message),
        }
    }

    /// Lets the bus actor see to it that the others get a message, too.
    pub(super) async fn leave(&self, mut rest: Remainder) {
        rest.message.ticket = Some(self.ticket());
        // Some have it: should the bus be stopped, the outcome says so.
        let _ = self.bus.send(rest).await;
    }
}

/// A message that some subscribers on this node have got, and others lack.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Remainder {
    message: Publish,
    lacking: Vec<SubscriptionId>,
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
            Ok(None) => self.router.plain_here(subject).map(|ids| {
                let locals = ids.iter().filter_map(|id| Some((*id, self.locals.get(id)?)));
                let subscriber = |(id, local): (SubscriptionId, &Local)| Subscriber {
                    id,
                    feed: Arc::clone(&local.feed),
                    overflow: local.overflow,
                };
                Target::Subscribers(locals.map(subscriber).collect())
            }),
            Err(_) => None, // it is refused until somebody carries the group
        };
        self.routes.learn(subject, target.unwrap_or(Target::Actor));
    }
}

impl Handler<Remainder> for BusActor {
    type Result = ();
    fn handle(&mut self, Remainder { mut message, lacking }: Remainder, _: &mut Self::Context) {
        let ticket = message.ticket.take();
        let delivery = message.delivery();
        let receipt = Receipt::new(message.done);
        for id in lacking {
            if let Some(local) = self.locals.get_mut(&id) {
                local.give(delivery.clone(), Some(&receipt));
            }
        }
        drop(ticket);
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
