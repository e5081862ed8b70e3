//! Readers that go on at another place: here, once this node carries the group that they read through
//! another one; and elsewhere, once it no longer does, or is back after it was outside for a while.

use actix::prelude::*;
use quorate_membership::GroupId;
use quorate_protocols::bus::SubscriptionId;

use super::{BusActor, Missed, bindings::Place};
use crate::{
    client::{HandOver, Handed},
    group::{Begins, Strays, Untail},
    start::spawn,
};

impl BusActor {
    /// Sees to it that each reader of a group reads it here if this node carries it, and elsewhere if not,
    /// or if it has come to what is not kept here.
    pub(super) fn hand_over_all(&self, group: GroupId) {
        for id in self.locals.keys() {
            self.hand_over(*id, group);
        }
    }

    /// The same for one reader. It goes on where it is until it has got what is not kept at the new place.
    pub(super) fn hand_over(&self, id: SubscriptionId, group: GroupId) {
        let place = self.locals.get(&id).and_then(|local| local.readers.get(&group)).cloned();
        let (Some((place, reader)), Some(bus)) = (place, self.addr.clone()) else { return };
        let former = place.clone();
        match (place, self.member(group)) {
            (Place::Away(uplink), Some(here)) => {
                spawn(async move {
                    let Ok(Some(from)) = here.send(Begins).await else { return };
                    let Ok(Some(handed)) = uplink.send(HandOver { reader, from }).await else { return };
                    bus.do_send(HandedOver { id, group, former, reader, handed });
                });
            }
            (Place::Here(there), here) if here.as_ref() != Some(&there) => {
                spawn(async move {
                    let seen = there.send(Untail(reader)).await.ok().flatten();
                    let handed = Handed { seen, stood: true };
                    bus.do_send(HandedOver { id, group, former, reader, handed });
                });
            }
            (Place::Here(here), _) => {
                spawn(async move {
                    let Ok(Some(position)) = here.send(Strays(reader)).await else { return };
                    let handed = Handed { seen: Some(position), stood: true };
                    bus.do_send(HandedOver { id, group, former, reader, handed });
                });
            }
            (Place::Away(_), None) => {} // it is where it should be
        }
    }
}

/// A reader has ended where it was, and goes on.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct HandedOver {
    id: SubscriptionId,
    group: GroupId,
    former: Place,
    reader: u64,
    handed: Handed,
}

impl Handler<HandedOver> for BusActor {
    type Result = ();
    fn handle(&mut self, message: HandedOver, _: &mut Self::Context) {
        let HandedOver { id, group, former, reader, handed: Handed { seen, stood } } = message;
        let Some(local) = self.locals.get_mut(&id) else { return };
        if local.readers.get(&group) != Some(&(former, reader)) {
            return; // it was ended meanwhile, or has begun anew
        }
        local.readers.remove(&group);
        match seen {
            Some(position) => drop(local.after.insert(group, position)),
            None if stood => local.feed.skip(Missed::UNKNOWN),
            None => {}
        }
        for attaching in self.attach(id, Some(group)) {
            spawn(attaching);
        }
    }
}
