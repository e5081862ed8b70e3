//! Carries out what the cores want done: the twin of the actors' matches.

use std::sync::Arc;

use quorate_membership::{Change, GroupId, Member, Time, Timing};
use quorate_protocols::{
    Effect, Event, Fate, Input, Notice, PresenceEffect,
    bus::{LinkId, RouterEffect},
};

use super::{
    World,
    network::{Datagram, Frame, What},
    node::Node,
    publication::stamp_of,
};
use crate::sending::ticket_of;

impl World {
    pub(super) fn perform_presence(&mut self, life: Member, effects: Vec<PresenceEffect>) {
        let now = self.nodes[&life.node].clock.read(self.now);
        for effect in effects {
            let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else {
                return;
            };
            match effect {
                PresenceEffect::Beat { to, beat } => self.send_datagram(life, to, &Datagram::Beat(beat)),
                PresenceEffect::Swim { to, bytes } => self.send_datagram(life, to, &Datagram::Swim(bytes)),
                PresenceEffect::KeepLink(id) => parts.keep_link(id.member.node, true),
                PresenceEffect::ForgetLink(node) => parts.keep_link(node, false),
                PresenceEffect::Tell(input) => {
                    for group in parts.groups.keys().copied().collect::<Vec<_>>() {
                        self.feed(life, group, vec![input.clone()]);
                    }
                }
                PresenceEffect::Stalled => {
                    for group in parts.groups.keys().copied().collect::<Vec<_>>() {
                        self.feed(life, group, vec![Input::Wake]); // It looks first.
                    }
                }
                PresenceEffect::RoundTrip { .. } => {} // Nobody asks here.
                PresenceEffect::Noticed(notice) => self.heed(life, &notice),
                PresenceEffect::WakeDetectorAt(at) => {
                    parts.detector_wake = Some(at);
                    parts.stalls.expect(now, Some(at));
                    self.wake_at(life, at, What::DetectorWake(life, at));
                }
                PresenceEffect::WakeClusterAt(at) => {
                    parts.cluster_wake = Some(at);
                    self.wake_at(life, at, What::ClusterWake(life, at));
                }
            }
        }
    }

    /// Plans something for a moment by the node's own clock.
    fn wake_at(&mut self, life: Member, at: Time, what: What) {
        let moment = self.nodes[&life.node].clock.moment(at);
        self.push(moment.max(self.now), what);
    }

    pub(super) fn perform_router(&mut self, life: Member, effects: Vec<RouterEffect>) {
        for effect in effects {
            match effect {
                RouterEffect::Announce { to, number, said } => {
                    self.send(life, to, Frame::Announce(number, said));
                }
                RouterEffect::Heard { to, number } => self.send(life, to, Frame::Heard(number)),
                RouterEffect::Stands(_) => {}
            }
        }
    }

    pub(super) fn on_datagram(&mut self, life: Member, from: Member, datagram: Datagram) {
        match datagram {
            Datagram::Beat(beat) => {
                self.presence(life, |presence, now, out| presence.on_beat(now, from, beat, out));
            }
            Datagram::Swim(bytes) => self.presence(life, |presence, now, out| {
                // Refused is what a former life of a restarted node had sent.
                let _refused = presence.on_swim(now, from, &bytes, out);
            }),
        }
    }

    /// A frame has come. What comes late, from a link that is gone, is handed on like all else, as
    /// a task that reads a lane would.
    pub(super) fn on_frame(&mut self, life: Member, from: Member, session: u64, frame: Frame) {
        let (peer, link) = (from.node, LinkId::new(session));
        let state = self.nodes.get_mut(&life.node);
        if let Some((parts, now)) = state.and_then(|it| Some((it.parts.as_mut()?, it.clock.read(self.now)))) {
            parts.signs.insert(from, now);
        }
        match frame {
            Frame::Group(group, message) => {
                let message = Arc::unwrap_or_clone(message);
                self.feed(life, group, vec![Input::Received { from, message }]);
            }
            Frame::Announce(number, said) => {
                let done =
                    self.router(life, |router, out| router.on_announcement(peer, link, number, said, out));
                debug_assert!(done.is_none_or(|done| done.is_ok()), "nobody wants so much");
            }
            Frame::Heard(number) => {
                self.router(life, |router, out| router.on_heard(peer, link, number, out));
            }
            Frame::Carries(carried) => {
                let done = self.bindings(life, |it, out| it.on_carries(peer, link, carried, out));
                debug_assert!(done.is_none_or(|done| done.is_ok()), "nobody carries so much");
            }
            Frame::MarksWanted(group, view) => self.on_marks_wanted(life, from, group, view),
            Frame::Marks(group, view, marks) => self.on_marks(life, from, group, view, marks),
            Frame::Message { subject, reply_to, payload, plain, queues } => {
                self.give(life, &subject, reply_to.as_ref(), payload, plain, &queues);
            }
        }
    }

    pub(super) fn feed(&mut self, life: Member, id: GroupId, inputs: Vec<Input>) {
        let now = self.nodes[&life.node].clock.read(self.now);
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let (Some(group), Some(checker)) = (parts.groups.get_mut(&id), self.checkers.get_mut(&id)) else {
            return;
        };
        checker.before(group);
        let (mut effects, mut refused) = (Vec::new(), Vec::new());
        // Whoever of the node comes first after a stall notices it, as in the actors.
        let noticed = parts.noticed.entry(id).or_default();
        let late =
            self.queue_before_stall && inputs.iter().any(|input| matches!(input, Input::Received { .. }));
        let stalled = (!late && parts.stalls.stood_still(now, noticed)).then_some(Input::Stalled);
        for input in stalled.into_iter().chain(inputs) {
            let ticket = ticket_of(&input);
            // Frames of earlier lives are refused here, as they must be.
            if let Err(refusal) = group.handle(now, input, &mut effects) {
                checker.on_refusal(life, &refusal);
                let Some(ticket) = ticket else { continue };
                refused.extend(parts.tickets.remove(&(id, ticket)));
                if parts.asked.remove(&(id, ticket)) {
                    checker.letters.on_collected(life, ticket);
                }
            }
        }
        group.flush(now, &mut effects);
        checker.after(group);
        for effect in effects {
            self.perform_group(life, id, effect);
        }
        for publication in refused.into_iter().filter_map(|submitted| submitted.publication) {
            self.soon(20_000..50_000, What::HandIn(life, publication));
        }
    }

    fn perform_group(&mut self, life: Member, id: GroupId, effect: Effect) {
        let exact = self.nodes[&life.node].clock.exact(self.now);
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let Some(checker) = self.checkers.get_mut(&id) else { return };
        match effect {
            Effect::Send { to, message } => {
                checker.on_send(life, &message);
                self.multicast(life, id, &to, *message);
            }
            Effect::WakeAt(at) => {
                parts.group_wakes.insert(id, at);
                self.wake_at(life, at, What::GroupWake(life, id, at));
            }
            Effect::Fate { ticket, fate } if fate != Fate::Everywhere => {
                if let Some(submitted) = parts.tickets.remove(&(id, ticket)) {
                    submitted.payloads.iter().for_each(|it| checker.on_fate(exact, life, it, fate));
                    if let Some(publication) = submitted.publication {
                        self.on_published_fate(life, publication, fate == Fate::Uniform);
                    }
                }
            }
            Effect::Answer { ticket, from, payload } => {
                self.tally.letters += 1;
                checker.letters.on_answer(life, ticket, from, &payload);
            }
            Effect::Collected { ticket, .. } => {
                parts.asked.remove(&(id, ticket));
                checker.letters.on_collected(life, ticket);
            }
            Effect::Deliver(event) => event.each().for_each(|event| self.observe(life, id, event)),
            _ => {}
        }
    }

    fn observe(&mut self, life: Member, id: GroupId, event: Event) {
        let exact = self.nodes[&life.node].clock.exact(self.now);
        let Some(checker) = self.checkers.get_mut(&id) else { return };
        checker.on_event(self.now, exact, life, &event);
        match event {
            Event::View(view) => {
                self.say(|| format!("{life} enters {view} of {id:?} {:?}", view.changes));
                let slow = view.changes.iter().filter(|(_, why)| *why == Change::TooSlow);
                self.tally.too_slow += slow.count() as u64;
                self.note(view.id.epoch ^ life.node.get() << 32);
                self.enter_with_state(life, id, &view);
                self.on_bound_view(life, id, &view);
            }
            Event::Message { sender, seq, head, payload, .. } => {
                self.tally.delivered += 1;
                self.note(seq.get() ^ sender.node.get() << 40 ^ life.node.get() << 48);
                self.apply(life, id, &payload);
                self.on_delivered(life, id, sender, stamp_of(&head), &payload);
            }
            Event::Direct { .. } => self.tally.letters += 1,
            Event::Request { request, place, payload, .. } => {
                if place.is_some() {
                    self.apply(life, id, &payload);
                }
                self.soon(0..30_000, What::Reply { by: life, group: id, request, payload });
            }
            Event::Merged { sides } => {
                // Not the births of members, who begin alone.
                let sides = sides.iter().filter(|side| side.members.len() > 1);
                self.tally.merges += u64::from(sides.count() > 1);
            }
            Event::TakeSnapshot { view, .. } => self.take_snapshot(life, id, view),
            Event::Restore(restore) => self.restore(life, id, restore),
            outside @ (Event::Removed { .. } | Event::LineageLost | Event::Left) => {
                self.say(|| format!("{life} is outside {id:?}"));
                if let Some(bound) = self.bound(life, id) {
                    bound.core.on_outside();
                    self.bus.clients.on_outside(life);
                }
                if outside == Event::Left {
                    self.on_left(life, id);
                }
            }
            _ => {}
        }
    }

    /// The checkers hear what a failure detector has noticed, as the groups do.
    fn heed(&mut self, life: Member, notice: &Notice) {
        self.say(|| format!("{life} {notice:?}"));
        let is_up = |node: &Node| node.parts.is_some() && node.pauses == 0;
        let settled = Timing::DEFAULT.detect() * 6;
        let well = self.schedule.is_quiet(self.now, settled) && self.nodes.values().all(is_up);
        for checker in self.checkers.values_mut() {
            match notice {
                Notice::Reachable(peer) => checker.on_reachable(life, *peer),
                Notice::Superseded { old, new } => checker.on_superseded(life, *old, *new),
                Notice::Unreachable(node) if well => checker.on_accused(life, *node),
                _ => {}
            }
        }
    }
}
