//! What this node itself publishes to a group while it begins to carry it, or ceases to.
//!
//! Through another node it publishes under another name than at its own member, and what bears different
//! names is not kept in order by the group. So the one begins when all of the other is acknowledged.

use actix::prelude::*;
use quorate_membership::GroupId;

use super::{
    BusActor, PublishError,
    bindings::{Place, Served},
    commands::Forward,
};
use crate::{
    client::{AwaitSettled, OwnMember},
    group::{GiveBack, PublishBound, Replication, Returned},
    start::spawn,
};

/// Publications that wait for those that went another way.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    /// Counts how often the node has begun to carry the group, or ceased to.
    number: u64,
    /// What waits, as long as something has to.
    held: Option<Vec<Forward>>,
    /// How many stays are over whose publications may still be given back.
    giving_back: usize,
    /// Whether some were, that bear the name of such a stay and are not acknowledged yet.
    has_orphans: bool,
}

impl BusActor {
    /// This node carries a group from now on, or no longer. What it had published through another node is
    /// published here as well, under the same stamps: perhaps no other node is left. What it had published
    /// here in vain is published through another node.
    pub(super) fn cross(&mut self, group: GroupId, former: Option<Addr<Replication>>) {
        let Some(served) = self.served.get_mut(&group) else { return };
        let crossing = &mut served.crossing;
        crossing.number += 1;
        if let (None, Some(former), Some(bus)) = (&served.here, former, self.addr.clone()) {
            crossing.held.get_or_insert_default();
            crossing.giving_back += 1;
            spawn(async move {
                // One that is stopped has nothing to give back.
                let _ = former.send(GiveBack(bus.clone().recipient())).await;
                bus.do_send(GivenBack(group));
            });
        }
        self.await_settled(group);
    }

    /// Goes on once all that was published another way is acknowledged.
    fn await_settled(&mut self, group: GroupId) {
        let Some(Served { here, uplink, crossing, .. }) = self.served.get_mut(&group) else { return };
        if crossing.giving_back > 0 {
            return;
        }
        let Some(uplink) = uplink.clone().filter(|_| here.is_some() || crossing.has_orphans) else {
            return self.go_on(group);
        };
        crossing.held.get_or_insert_default();
        if let Some(here) = here {
            uplink.do_send(OwnMember(here.clone()));
        }
        let (bus, number) = (self.addr.clone(), crossing.number);
        spawn(async move {
            // One that is stopped has nothing under way either.
            let _ = uplink.send(AwaitSettled).await;
            if let Some(bus) = bus {
                bus.do_send(Settled(group, number));
            }
        });
    }

    /// Publishes what was held back.
    fn go_on(&mut self, group: GroupId) {
        let Some(served) = self.served.get_mut(&group) else { return };
        served.crossing.has_orphans = false;
        let held = served.crossing.held.take();
        for command in held.into_iter().flatten() {
            self.forward(command);
        }
        self.routes.forget(); // what they publish from now on may go straight there
    }

    /// The group's actor here, if all that this node itself publishes may go straight to it.
    pub(super) fn publishes_here(&self, group: GroupId) -> Option<Addr<Replication>> {
        let served = self.served.get(&group)?;
        self.member(group).filter(|_| served.crossing.held.is_none())
    }

    /// Publishes to a group. The publishers' room for messages in flight bounds what may wait there, or here.
    pub(super) fn forward(&mut self, command: Forward) {
        let held = self.served.get_mut(&command.group).and_then(|served| served.crossing.held.as_mut());
        if let Some(held) = held.filter(|_| command.stamp.is_none()) {
            return held.push(command);
        }
        match self.place(command.group) {
            None => command.done.tell(Err(PublishError::NotBound(command.subject))),
            Some(Place::Here(group)) => {
                let Forward { stamp, subject, reply_to, payload, done, .. } = command;
                group.do_send(PublishBound { stamp, subject, reply_to, payload, done });
            }
            Some(Place::Away(uplink)) => uplink.do_send(command),
        }
    }
}

/// All that was published another way before a crossing is acknowledged.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Settled(pub(super) GroupId, pub(super) u64);

/// All that was published here in vain before this node left a group is given back.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct GivenBack(GroupId);

impl Handler<Settled> for BusActor {
    type Result = ();
    fn handle(&mut self, Settled(group, number): Settled, _: &mut Self::Context) {
        if self.served.get(&group).is_some_and(|served| served.crossing.number == number) {
            self.go_on(group);
        }
    }
}

impl Handler<Returned> for BusActor {
    type Result = ();
    fn handle(&mut self, Returned(command): Returned, _: &mut Self::Context) {
        let uplink = self.uplink(command.group);
        if let Some(served) = self.served.get_mut(&command.group) {
            served.crossing.has_orphans = true;
            uplink.do_send(command);
            // It may be the only one again. While more are given back, all of them are told together later.
            if let Some(here) = served.here.as_ref().filter(|_| served.crossing.giving_back == 0) {
                uplink.do_send(OwnMember(here.clone()));
            }
        }
    }
}

impl Handler<GivenBack> for BusActor {
    type Result = ();
    fn handle(&mut self, GivenBack(group): GivenBack, _: &mut Self::Context) {
        if let Some(served) = self.served.get_mut(&group) {
            served.crossing.giving_back = served.crossing.giving_back.saturating_sub(1); // it may be forgotten and known anew
            self.await_settled(group);
        }
    }
}
