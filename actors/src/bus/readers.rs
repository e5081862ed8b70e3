//! Subscribing: to what is passed on to this node, and to the groups that carry bound subjects.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::{BoxFuture, join_all};
use quorate_membership::GroupId;
use quorate_protocols::bus::{Pattern, Position, SubscriptionId, Want};
use tokio::sync::oneshot;

use super::{
    BusActor, Delivery, Missed, Overflow, Subscribe, SubscribeError, SubscribeOptions, Unsubscribe,
    bindings::Place, commands::Subscribed, local::Local,
};
use crate::{
    group::{Covers, Resubscribe, Untail},
    queue::Feed,
    start::spawn,
};

/// Where a reader began in a group.
type Attaching = BoxFuture<'static, Option<(GroupId, Position)>>;

impl BusActor {
    fn subscribe(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        let Subscribe { pattern, options, feed, only, by_client, after, done } = command;
        if by_client && options.overflow == Overflow::Backpressure && !self.bindings.covers(&pattern) {
            return drop(done.send(Err(SubscribeError::CannotHoldBack(pattern))));
        }
        let want = Want { pattern, queue: options.queue };
        let subscribed = self.routing(|router, out| router.subscribe(want.clone(), only.is_none(), out));
        let Ok(id) = subscribed else {
            return drop(done.send(Err(SubscribeError::TooMany)));
        };
        let addr = ctx.address();
        // Rare: once each time that a reader was full and has read half of it.
        feed.on_room(move || addr.do_send(Pump(id)));
        let mut local = Local::new(want, options.overflow, feed);
        local.capacity = options.capacity;
        local.only = only;
        local.after = after.into_iter().collect();
        self.locals.insert(id, local);
        let attaching = join_all(self.attach(id, only));
        ctx.spawn(attaching.into_actor(self).map(move |from, actor, ctx| {
            let from = from.into_iter().flatten().collect();
            let subscribed = Subscribed::new(id, from, ctx.address().recipient());
            if only.is_some() {
                drop(done.send(Ok(subscribed))); // whoever has given up ends it
            } else {
                actor.peers.wait(done, subscribed);
                actor.routing(|router, out| router.await_standing(id, out));
                ctx.run_later(actor.timing.service(), move |actor, _| actor.stands_at_last(id));
            }
        }));
    }

    /// A node that stands still, though its link is up, does not hold up a subscription: it hears of it
    /// before anything that comes after.
    fn stands_at_last(&mut self, id: SubscriptionId) {
        if self.peers.stands(id) {
            metrics::counter!("quorate_bus_unconfirmed_total").increment(1);
            tracing::warn!("a linked node has not confirmed a subscription in time");
        }
    }

    /// Whether a subscriber reads what a group delivers, or will once somebody in reach carries it again.
    pub(super) fn reads(&self, id: SubscriptionId, group: GroupId) -> bool {
        let bound = self.bindings.bound(group).or_else(|| self.forlorn(group));
        self.locals.get(&id).is_some_and(|local| local.reads(group, bound))
    }

    /// Lets a reader have what the groups deliver whose subjects it reads, all or one of them.
    pub(super) fn attach(&mut self, id: u64, only: Option<GroupId>) -> Vec<Attaching> {
        let Some(local) = self.locals.get(&id) else { return Vec::new() };
        let (want, overflow, capacity) = (local.want.clone(), local.overflow, local.capacity);
        let reads_for_itself = local.only.is_none();
        let feed = Arc::clone(&local.feed);
        let groups = self.bindings.groups().filter(|(group, bound)| {
            only.is_none_or(|only| only == *group) && local.reads(*group, Some(*bound))
        });
        let groups: Vec<GroupId> = groups.map(|(group, _)| group).collect();
        let mut attaching: Vec<Attaching> = Vec::new();
        for group in groups {
            let (place, bus) = (self.place(group), self.addr.clone());
            let (Some(place), Some(bus)) = (place, bus) else { continue };
            let (pattern, feed) = (want.pattern.clone(), Arc::clone(&feed));
            let after = self.locals.get_mut(&id).and_then(|local| local.after.remove(&group));
            // Who reads for another node stays: two newcomers would send each other round for ever.
            let may_go = after.is_some() && reads_for_itself;
            let elsewhere = may_go.then(|| self.elsewhere(group)).flatten();
            let mut gap = None;
            if let Some(local) = self.locals.get_mut(&id) {
                local.attaching.insert(group);
                gap = local.failed.get(&group).filter(|_| after.is_none()).map(|_| Arc::clone(&feed));
            }
            let options = SubscribeOptions { queue: None, capacity, overflow };
            attaching.push(Box::pin(async move {
                let place = match (place, elsewhere, after) {
                    (Place::Here(here), Some(uplink), Some(position))
                        if !here.send(Covers(position)).await.unwrap_or(true) =>
                    {
                        Place::Away(uplink)
                    }
                    (place, ..) => place,
                };
                if let Some(feed) = gap {
                    feed.skip(Missed::UNKNOWN); // since it could have begun for the first time
                }
                let begun = place.begin(group, pattern, options, feed, after).await;
                let reader = begun.map(|(reader, _)| (place, reader));
                bus.do_send(Attached { id, group, reader, after });
                begun?.1.map(|position| (group, position))
            }));
        }
        attaching
    }

    /// Tries again for a reader that could not begin in a group, unless it has begun since.
    pub(super) fn attach_missing(&mut self, id: SubscriptionId, group: GroupId) {
        let begins = |local: &Local| local.readers.contains_key(&group) || local.attaching.contains(&group);
        if self.reads(id, group) && !self.locals.get(&id).is_some_and(begins) {
            for attaching in self.attach(id, Some(group)) {
                spawn(attaching);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(local) = self.locals.remove(&id) else { return };
        self.routing(|router, out| router.unsubscribe(id, out));
        if local.holds {
            self.let_go(local.want);
        }
        local.readers.into_values().for_each(|(place, reader)| place.release(reader));
    }
}

impl Place {
    /// Begins to read there; returns the reader's name and where it begins.
    async fn begin(
        &self,
        group: GroupId,
        pattern: Pattern,
        options: SubscribeOptions,
        feed: Arc<Feed<Delivery>>,
        after: Option<Position>,
    ) -> Option<(u64, Option<Position>)> {
        match self {
            Self::Here(here) => {
                let wanted = Resubscribe { pattern, overflow: options.overflow, feed, after };
                let tailed = here.send(wanted).await.ok()??;
                Some((tailed.id, after.or(tailed.from)))
            }
            Self::Away(uplink) => {
                let (done, subscribed) = oneshot::channel();
                let after: Vec<_> = after.map(|position| (group, position)).into_iter().collect();
                let command =
                    Subscribe { pattern, options, feed, only: Some(group), by_client: false, after, done };
                uplink.send(command).await.ok()?;
                let (reader, from) = subscribed.await.ok()?.ok()?.take();
                Some((reader, from.first().map(|(_, position)| *position)))
            }
        }
    }

    /// Ends a reader there.
    pub(super) fn release(self, reader: u64) {
        match self {
            Self::Here(group) => group.do_send(Untail(reader)),
            Self::Away(uplink) => uplink.do_send(Unsubscribe(reader)),
        }
    }
}

/// A reader of a group was added there, or could not be.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Attached {
    id: u64,
    group: GroupId,
    reader: Option<(Place, u64)>,
    /// Where it goes on.
    after: Option<Position>,
}

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Pump(u64);

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

impl Handler<Attached> for BusActor {
    type Result = ();
    fn handle(&mut self, Attached { id, group, reader, after }: Attached, ctx: &mut Self::Context) {
        let wants = self.reads(id, group);
        let former = match (self.locals.get_mut(&id), reader) {
            (None, reader) => reader, // gone meanwhile
            (Some(local), Some(begun)) => {
                local.attaching.remove(&group);
                local.failed.remove(&group);
                if wants { local.readers.insert(group, begun) } else { Some(begun) }
            }
            (Some(local), None) => {
                local.attaching.remove(&group);
                local.after.extend(after.map(|position| (group, position)));
                if wants {
                    let pause = local.fail(group, self.timing);
                    ctx.run_later(pause, move |actor, _| actor.attach_missing(id, group));
                }
                None
            }
        };
        if let Some((place, reader)) = former {
            place.release(reader);
        }
        self.hand_over(id, group);
    }
}

impl Handler<Pump> for BusActor {
    type Result = ();
    fn handle(&mut self, Pump(id): Pump, _: &mut Self::Context) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        local.pump();
        if local.holds && !local.has_backlog() {
            local.holds = false;
            let want = local.want.clone();
            self.let_go(want);
        }
    }
}
