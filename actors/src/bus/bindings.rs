//! Subjects that are bound to groups: here, or at nodes that carry them.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use actix::prelude::*;
use quorate_membership::{GroupId, NodeId};
use quorate_protocols::bus::{BindingEffect, Bindings, Carried, LinkId, Pattern, Stamp, Subject};
use quorate_transport::Lane;
use tracing::Span;

use super::{
    BusActor, Missed, Publish, PublishError,
    commands::{Forward, PublishFor},
    crossing::Crossing,
    routes::Change,
    talk::Talk,
};
use crate::{
    client::{AwaitIdle, Carriers, StopUplink, Uplink},
    config::GroupSpec,
    group::Replication,
    start::{spawn, start_within},
    wire::UseLanes,
};

/// Uplinks that are kept for groups that nobody in reach carries, while their readers and publishers wait.
const FORLORN_MAX: usize = 64;

/// Where the subjects of one group are served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// The group's actor, if this node is a data member.
    pub(super) here: Option<Addr<Replication>>,
    /// The way to a node that carries it, once it was needed.
    pub(super) uplink: Option<Addr<Uplink>>,
    /// The subjects that were bound to it, if nobody in reach carries it any more.
    forlorn: BTreeSet<Pattern>,
    /// What this node publishes while it changes from one way to the other.
    pub(super) crossing: Crossing,
}

/// Where a bound subject is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Here(Addr<Replication>),
    Away(Addr<Uplink>),
}

impl BusActor {
    /// Lets the core decide something about bindings, and carries out what it wants done.
    pub(super) fn binding<T>(&mut self, act: impl FnOnce(&mut Bindings, &mut Vec<BindingEffect>) -> T) -> T {
        let mut effects = Vec::new();
        let decided = act(&mut self.bindings, &mut effects);
        self.routes.forget();
        for effect in effects {
            self.rebind(effect);
        }
        decided
    }

    fn rebind(&mut self, effect: BindingEffect) {
        match effect {
            BindingEffect::Announce { to, carried } => self.peers.say(to, &Talk::Carries(carried)),
            BindingEffect::Changed(group) => self.reattach(group),
            BindingEffect::Carriers(group) => {
                self.tell_carriers(group);
                self.reattach(group); // somebody may let those read that could not begin before
            }
            BindingEffect::Forgotten(group, bound) => self.forget(group, bound),
            BindingEffect::Conflict { kept, set_aside } => {
                metrics::counter!("quorate_bus_binding_conflicts_total").increment(1);
                tracing::error!(
                    "the groups {kept} and {set_aside} have common subjects, which stay with {kept}, and those of \
                     {set_aside} are bound to nothing: change one of them"
                );
            }
            BindingEffect::Differ(group) => {
                tracing::warn!("nodes bind different subjects to group {group}: give all of them the same");
            }
        }
    }

    /// A peer has said what it carries.
    pub(super) fn on_carries(&mut self, from: NodeId, link: LinkId, carried: Vec<Carried>) {
        if let Err(refused) = self.binding(|it, out| it.on_carries(from, link, carried, out)) {
            metrics::counter!("quorate_bus_carries_refused_total").increment(1);
            tracing::error!(%from, %refused, "what a node says it carries is not taken in");
        }
    }

    /// Where a group's subjects are served; makes a way to another node if none carries it here.
    pub(super) fn place(&mut self, group: GroupId) -> Option<Place> {
        if !self.bindings.knows(group) {
            return None;
        }
        match self.member(group) {
            Some(here) => Some(Place::Here(here)),
            None => Some(Place::Away(self.uplink(group))),
        }
    }

    /// The group's actor, if this node is a data member.
    pub(super) fn member(&self, group: GroupId) -> Option<Addr<Replication>> {
        self.served.get(&group)?.here.clone()
    }

    /// The subjects that were bound to a group for which somebody waits though nobody in reach carries it.
    pub(super) fn forlorn(&self, group: GroupId) -> Option<&BTreeSet<Pattern>> {
        Some(&self.served.get(&group)?.forlorn)
    }

    /// The way to another node for readers that go on at a position which is not kept here, as at a
    /// newcomer; `None` if no other node carries the group.
    pub(super) fn elsewhere(&mut self, group: GroupId) -> Option<Addr<Uplink>> {
        let is_carried = self.bindings.carriers(group).next().is_some();
        is_carried.then(|| self.uplink(group))
    }

    pub(super) fn uplink(&mut self, group: GroupId) -> Addr<Uplink> {
        let served = self.served.entry(group).or_default();
        if let Some(uplink) = &served.uplink {
            return uplink.clone();
        }
        let uplink = Uplink::for_group(group, self.mesh.clone(), self.sessions.begin(), self.timing);
        let uplink = start_within(Span::current(), |_| uplink);
        served.uplink = Some(uplink.clone());
        self.tell_carriers(group);
        uplink
    }

    fn tell_carriers(&self, group: GroupId) {
        if let Some(uplink) = self.served.get(&group).and_then(|it| it.uplink.as_ref()) {
            uplink.do_send(Carriers(spread(self.bindings.carriers(group).collect(), self.me.node)));
        }
    }

    /// Nobody in reach carries a group, and it is not configured here. Who reads it or has published to it
    /// waits, as long as few groups are waited for.
    fn forget(&mut self, group: GroupId, bound: BTreeSet<Pattern>) {
        let Some(served) = self.served.get_mut(&group) else { return };
        let Some(uplink) = served.uplink.clone() else { return drop(self.served.remove(&group)) };
        served.forlorn = bound;
        uplink.do_send(Carriers(Vec::new()));
        let bus = self.addr.clone();
        spawn(async move {
            if let (Ok(true), Some(bus)) = (uplink.send(AwaitIdle).await, bus) {
                bus.do_send(Idle(group));
            }
        });
        let forlorn = self.served.keys().copied().filter(|it| !self.bindings.knows(*it) && *it != group);
        let forlorn: Vec<GroupId> = forlorn.collect();
        for surplus in forlorn.into_iter().skip(FORLORN_MAX - 1) {
            self.give_up(surplus);
        }
    }

    /// The group to which a subject is bound.
    ///
    /// # Errors
    /// [`PublishError::NotBound`] if nobody in reach carries that group any more, and readers or
    /// publishers here wait for it: to publish past it would lose the message.
    pub(super) fn group_of(&self, subject: &Subject) -> Result<Option<GroupId>, PublishError> {
        let group = self.bindings.group_of(subject);
        let waited_for = |it: &Served| it.forlorn.iter().any(|pattern| pattern.matches(subject));
        if group.is_none() && self.served.values().any(waited_for) {
            return Err(PublishError::NotBound(subject.clone()));
        }
        Ok(group)
    }

    fn give_up(&mut self, group: GroupId) {
        if let Some(uplink) = self.served.remove(&group).and_then(|it| it.uplink) {
            uplink.do_send(StopUplink);
        }
        for local in self.locals.values_mut() {
            if local.readers.remove(&group).is_some() {
                local.feed.skip(Missed::UNKNOWN);
            }
        }
    }

    /// Other subjects than before are bound to a group: its readers are those that want some of them.
    fn reattach(&mut self, group: GroupId) {
        if let Some(served) = self.served.get_mut(&group) {
            served.forlorn.clear();
        }
        let locals: Vec<u64> = self.locals.keys().copied().collect();
        for id in locals {
            let wants = self.reads(id, group);
            let Some(local) = self.locals.get_mut(&id) else { continue };
            let reads = local.readers.contains_key(&group) || local.attaching.contains(&group);
            match (wants, reads) {
                (true, false) => {
                    for attaching in self.attach(id, Some(group)) {
                        spawn(attaching);
                    }
                }
                (false, true) => {
                    local
                        .readers
                        .remove(&group)
                        .into_iter()
                        .for_each(|(place, reader)| place.release(reader));
                    local.feed.skip(Missed::UNKNOWN);
                }
                _ => {}
            }
        }
    }

    pub(super) fn publish_now(&mut self, command: Publish) {
        let Publish { subject, reply_to, payload, done } = command;
        let (bytes, limit) = (payload.len(), self.payload_bytes_max);
        if bytes > limit {
            return done.tell(Err(PublishError::TooLarge { bytes, limit }));
        }
        let group = match self.group_of(&subject) {
            Ok(Some(group)) => group,
            Ok(None) => return self.pass_on(&subject, reply_to.as_ref(), &payload, None, done),
            Err(error) => return done.tell(Err(error)),
        };
        self.forward(Forward { group, stamp: None, subject, reply_to, payload, done });
    }

    fn publish_for(&mut self, command: PublishFor) {
        let PublishFor { publisher, number, settled, trail, again, must_reach, .. } = command;
        let PublishFor { subject, reply_to, payload, done, .. } = command;
        if must_reach && !self.router.is_wanted(&subject) {
            return done.tell(Err(PublishError::NoResponders(subject)));
        }
        let group = match self.group_of(&subject) {
            Ok(Some(group)) => group,
            Ok(None) if !again => {
                return self.publish_now(Publish { subject, reply_to, payload, done });
            }
            Ok(None) => return done.tell(Err(PublishError::MayHaveHappened)),
            Err(error) => return done.tell(Err(error)),
        };
        let mut trail = trail.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = trail.insert(group, number).unwrap_or(0);
        drop(trail);
        let stamp = Some(Stamp { publisher, number, previous, settled });
        self.forward(Forward { group, stamp, subject, reply_to, payload, done });
    }

    pub(super) fn on_hosted(&mut self, Hosted(spec, here, change): Hosted) {
        self.host(&spec, here.as_ref());
        drop(change);
    }

    fn host(&mut self, spec: &GroupSpec, here: Option<&Addr<Replication>>) {
        let group = spec.id();
        let former = std::mem::replace(&mut self.served.entry(group).or_default().here, here.cloned());
        let carried = Carried { name: spec.name().to_owned(), patterns: spec.subjects().to_vec() };
        if let Err(refused) = self.binding(|it, out| it.configure(carried, here.is_some(), out)) {
            metrics::counter!("quorate_bus_carries_refused_total").increment(1);
            return tracing::error!(group = spec.name(), %refused, "the group's subjects are not bound");
        }
        self.cross(group, former);
        self.reattach(group);
        self.hand_over_all(group);
    }
}

/// The carriers in an order that differs from node to node, so that not all use the same one.
fn spread(mut nodes: Vec<NodeId>, me: NodeId) -> Vec<NodeId> {
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
        let mut served = self.served.iter();
        served.find(|(group, _)| UseLanes::group(**group).tell == lane)?.1.uplink.clone()
    }
}

/// Nobody here waits for a group that nobody in reach carries.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Idle(GroupId);

/// A group with bound subjects is known, and carried here if there is an actor.
#[derive(Debug)]
pub(crate) struct Hosted(pub(crate) Arc<GroupSpec>, pub(crate) Option<Addr<Replication>>, pub(crate) Change);

impl Handler<Publish> for BusActor {
    type Result = ();
    fn handle(&mut self, command: Publish, _: &mut Self::Context) {
        self.learn(&command.subject);
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

impl Handler<Idle> for BusActor {
    type Result = ();
    fn handle(&mut self, Idle(group): Idle, _: &mut Self::Context) {
        if !self.bindings.knows(group) {
            self.give_up(group);
        }
    }
}
