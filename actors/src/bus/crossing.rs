//! What this node itself publishes to a group while it begins to carry it, or ceases to.
//!
//! Through another node it publishes under another name than at its own member, and what bears different
//! names is not kept in order by the group. So the one begins when all of the other is acknowledged.

use actix::prelude::*;
use quorate_membership::GroupId;

use super::{BusActor, PublishError, bindings::Place, commands::Forward};
use crate::{
    client::{AwaitSettled, OwnMember},
    group::{PublishBound, Replication},
};

/// Publications that wait for those that went another way.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    /// Counts how often the node has begun to carry the group, or ceased to.
    number: u64,
    /// What waits, as long as something has to.
    held: Option<Vec<Forward>>,
}

impl BusActor {
    /// This node carries a group from now on, or no longer. What it had published through another node is
    /// published here as well, under the same stamps: perhaps no other node is left.
    pub(super) fn cross(&mut self, group: GroupId, here: Option<&Addr<Replication>>) {
        let Some(served) = self.served.get_mut(&group) else { return };
        let crossing = &mut served.crossing;
        crossing.number += 1;
        let number = crossing.number;
        match (here, served.uplink.clone()) {
            (Some(here), Some(uplink)) => {
                crossing.held.get_or_insert_default();
                uplink.do_send(OwnMember(here.clone()));
                let bus = self.addr.clone();
                actix::spawn(async move {
                    // One that is stopped has nothing under way either.
                    let _ = uplink.send(AwaitSettled).await;
                    if let Some(bus) = bus {
                        bus.do_send(Settled(group, number));
                    }
                });
            }
            (Some(_), None) => {}
            (None, _) => self.go_on(group),
        }
    }

    /// Publishes what was held back.
    fn go_on(&mut self, group: GroupId) {
        let held = self.served.get_mut(&group).and_then(|served| served.crossing.held.take());
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

/// All that was published through another node before a crossing is acknowledged.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Settled(pub(super) GroupId, pub(super) u64);

impl Handler<Settled> for BusActor {
    type Result = ();
    fn handle(&mut self, Settled(group, number): Settled, _: &mut Self::Context) {
        if self.served.get(&group).is_some_and(|served| served.crossing.number == number) {
            self.go_on(group);
        }
    }
}
