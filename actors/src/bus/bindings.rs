//! Subjects that are bound to groups: here, or at nodes that carry them.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use actix::prelude::*;
use quorate_membership::{GroupId, NodeId};
use quorate_protocols::bus::{Pattern, Stamp, Subject};
use quorate_transport::Lane;

use super::{
    BusActor, Missed, Publish, PublishError,
    commands::{Forward, PublishFor},
    talk::{Carried, Talk},
};
use crate::{
    client::{Carriers, Uplink},
    config::GroupSpec,
    group::{PublishBound, Replication, group_id},
    wire::UseLanes,
};

/// A group whose subjects are published through it.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(super) name: String,
    pub(super) patterns: Vec<Pattern>,
    /// The group's actor, if this node is a data member.
    pub(super) here: Option<Addr<Replication>>,
    /// The linked nodes that carry it.
    carriers: BTreeSet<NodeId>,
    /// The way to one of them, once it was needed.
    uplink: Option<Addr<Uplink>>,
}

/// Where a bound subject is served.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Here(Addr<Replication>),
    Away(Addr<Uplink>),
}

impl BusActor {
    pub(super) fn binding(&self, subject: &Subject) -> Option<GroupId> {
        let matches = |binding: &Binding| binding.patterns.iter().any(|pattern| pattern.matches(subject));
        self.bindings.iter().find(|(_, binding)| matches(binding)).map(|(group, _)| *group)
    }

    /// Where a group's subjects are served; makes a way to another node if none carries it here.
    pub(super) fn place(&mut self, group: GroupId) -> Option<Place> {
        match &self.bindings.get(&group)?.here {
            Some(here) => Some(Place::Here(here.clone())),
            None => self.uplink(group).map(Place::Away),
        }
    }

    /// The way to another node for readers that go on at a position which is not kept here, as at a
    /// newcomer; `None` if no other node carries the group.
    pub(super) fn elsewhere(&mut self, group: GroupId) -> Option<Addr<Uplink>> {
        let is_carried = self.bindings.get(&group).is_some_and(|binding| !binding.carriers.is_empty());
        is_carried.then(|| self.uplink(group)).flatten()
    }

    fn uplink(&mut self, group: GroupId) -> Option<Addr<Uplink>> {
        let binding = self.bindings.get_mut(&group)?;
        let uplink = binding.uplink.get_or_insert_with(|| {
            let uplink = Uplink::for_group(group, self.mesh.clone(), self.me).start();
            uplink.do_send(Carriers(spread(&binding.carriers, self.me.node)));
            uplink
        });
        Some(uplink.clone())
    }

    pub(super) fn publish_now(&mut self, command: Publish) {
        let Publish { subject, reply_to, payload, done } = command;
        let (bytes, limit) = (payload.len(), self.payload_bytes_max);
        if bytes > limit {
            return done.tell(Err(PublishError::TooLarge { bytes, limit }));
        }
        let Some(group) = self.binding(&subject) else {
            return self.pass_on(&subject, reply_to.as_ref(), &payload, None, done);
        };
        self.forward(Forward { group, stamp: None, subject, reply_to, payload, done });
    }

    fn publish_for(&mut self, command: PublishFor) {
        let PublishFor { publisher, number, settled, trail, again, must_reach, .. } = command;
        let PublishFor { subject, reply_to, payload, done, .. } = command;
        if must_reach && !self.router.is_wanted(&subject) {
            return done.tell(Err(PublishError::NoResponders(subject)));
        }
        let Some(group) = self.binding(&subject) else {
            if again {
                return done.tell(Err(PublishError::MayHaveHappened));
            }
            return self.publish_now(Publish { subject, reply_to, payload, done });
        };
        let mut trail = trail.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = trail.insert(group, number).unwrap_or(0);
        drop(trail);
        let stamp = Some(Stamp { publisher, number, previous, settled });
        self.forward(Forward { group, stamp, subject, reply_to, payload, done });
    }

    /// Publishes to a group. The publishers' room for messages in flight bounds what may wait there.
    fn forward(&mut self, command: Forward) {
        match self.place(command.group) {
            None => command.done.tell(Err(PublishError::NotBound(command.subject))),
            Some(Place::Here(group)) => {
                let Forward { stamp, subject, reply_to, payload, done, .. } = command;
                group.do_send(PublishBound { stamp, subject, reply_to, payload, done });
            }
            Some(Place::Away(uplink)) => uplink.do_send(command),
        }
    }

    pub(super) fn carries(&self) -> Vec<Carried> {
        let here = self.bindings.values().filter(|binding| binding.here.is_some());
        here.map(|it| Carried { name: it.name.clone(), patterns: it.patterns.clone() }).collect()
    }

    /// Learns of a binding. What contradicts what is known is refused.
    pub(super) fn bind(&mut self, carried: Carried) -> Option<GroupId> {
        let group = group_id(&carried.name);
        let overlaps =
            |known: &Binding| known.patterns.iter().any(|a| carried.patterns.iter().any(|b| a.overlaps(b)));
        if let Some((_, known)) = self.bindings.iter().find(|(id, known)| **id != group && overlaps(known)) {
            let (one, other) = (&known.name, &carried.name);
            tracing::error!("the groups {one} and {other} have common subjects: change one of them");
            return None;
        }
        let news = !self.bindings.contains_key(&group);
        let Carried { name, patterns } = carried;
        let binding = Binding { name, patterns, here: None, carriers: BTreeSet::new(), uplink: None };
        self.bindings.entry(group).or_insert(binding);
        if news {
            self.attach_all(group);
        }
        Some(group)
    }

    /// A node carries these groups and no others.
    pub(super) fn carried(&mut self, node: NodeId, groups: &BTreeSet<GroupId>) {
        for (group, binding) in &mut self.bindings {
            let changed = if groups.contains(group) {
                binding.carriers.insert(node)
            } else {
                binding.carriers.remove(&node)
            };
            if let Some(uplink) = binding.uplink.as_ref().filter(|_| changed) {
                uplink.do_send(Carriers(spread(&binding.carriers, self.me.node)));
            }
        }
    }

    fn on_hosted(&mut self, spec: &GroupSpec, here: Option<&Addr<Replication>>) {
        let carried = Carried { name: spec.name().to_owned(), patterns: spec.subjects().to_vec() };
        let Some(group) = self.bind(carried) else { return };
        let Some(binding) = self.bindings.get_mut(&group) else { return };
        let was_here = binding.here.is_some();
        self.strays.remove(&group); // another part of the group counts its readers anew
        binding.here = here.cloned();
        if here.is_some() {
            // Readers go on here; what they read through another node ends.
            if let Some(uplink) = binding.uplink.take() {
                uplink.do_send(crate::client::StopUplink);
            }
            self.attach_all(group);
        } else if was_here {
            // Readers go on at another node, from now on.
            for local in self.locals.values_mut().filter(|local| local.readers.contains_key(&group)) {
                local.feed.skip(Missed::UNKNOWN);
            }
            self.attach_all(group);
        }
        self.peers.tell_all(&Talk::Carries(self.carries()));
    }

    /// Lets all readers have what a group delivers from now on.
    fn attach_all(&mut self, group: GroupId) {
        let readers: Vec<u64> = self.locals.keys().copied().collect();
        for id in readers {
            for attaching in self.attach(id, Some(group)) {
                actix::spawn(attaching);
            }
        }
    }
}

/// The carriers in an order that differs from node to node, so that not all use the same one.
fn spread(carriers: &BTreeSet<NodeId>, me: NodeId) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = carriers.iter().copied().collect();
    let first = me.get().checked_rem(nodes.len() as u64).unwrap_or(0);
    nodes.rotate_left(first as usize);
    nodes
}

/// A node that is used for a group has opened the lane of its answers.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Addr<Uplink>>")]
pub(crate) struct UplinkOf(pub(crate) Lane);

impl Handler<UplinkOf> for BusActor {
    type Result = Option<Addr<Uplink>>;
    fn handle(&mut self, UplinkOf(lane): UplinkOf, _: &mut Self::Context) -> Option<Addr<Uplink>> {
        let mut bindings = self.bindings.iter();
        bindings.find(|(group, _)| UseLanes::group(**group).tell == lane)?.1.uplink.clone()
    }
}

/// A group with bound subjects is known, and carried here if there is an actor.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Hosted(pub(crate) Arc<GroupSpec>, pub(crate) Option<Addr<Replication>>);

impl Handler<Publish> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Publish, _: &mut Self::Context) {
        self.publish_now(command);
    }
}

impl Handler<PublishFor> for BusActor {
    type Result = ();
    fn handle(&mut self, command: PublishFor, _: &mut Self::Context) {
        self.publish_for(command);
    }
}

impl Handler<Forward> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Forward, _: &mut Self::Context) {
        self.forward(command);
    }
}

impl Handler<Hosted> for BusActor {
    type Result = ();
    fn handle(&mut self, Hosted(spec, here): Hosted, _: &mut Self::Context) {
        self.on_hosted(&spec, here.as_ref());
    }
}
