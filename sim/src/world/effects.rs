//! Carries out what the cores want done: the twin of the actors' match.

use std::time::Duration;

use quorate_membership::{DetectorEffect, Member, NodeId, Time, View, ViewId};
use quorate_protocols::{Body, Effect, Event, Fate, Input};
use rand::RngExt;

use super::{World, node::Node, what::What};
use crate::Seen;

impl World {
    /// Carries out one effect of a group. Returns whether the process is still alive.
    pub(super) fn perform(&mut self, life: Member, effect: Effect) -> bool {
        match effect {
            Effect::Send { to, message } => {
                self.checker.on_send(life, &message);
                if let Body::Prepare { ballot } = message.body
                    && self.ballots.insert(life.node, ballot) != Some(ballot)
                {
                    self.tally.attempts += 1;
                }
                return self.send(life, &to, *message);
            }
            Effect::WakeAt(at) => {
                let Some(state) = self.nodes.get_mut(&life.node) else { return false };
                state.wake = Some(at);
                let moment = state.clock.moment(at);
                self.queue.push(moment, What::Wake(life));
            }
            Effect::Fate { ticket, fate } => {
                let Some(state) = self.nodes.get_mut(&life.node) else { return false };
                if fate == Fate::Everywhere {
                    return true;
                }
                let Some(payloads) = state.tickets.remove(&ticket) else { return true };
                state.uniform += if fate == Fate::Uniform { payloads.len() as u64 } else { 0 };
                let now = self.exact(life.node);
                for payload in payloads {
                    self.checker.on_fate(now, life, &payload, fate);
                    if fate == Fate::Lost && self.retries && self.checker.is_multicast(&payload) {
                        self.at(Duration::ZERO, What::Again { by: life, payload: Some(payload) });
                    }
                    self.tally.uniform += u64::from(fate == Fate::Uniform);
                }
            }
            Effect::Answer { ticket, from, payload } => {
                self.tally.letters += 1;
                self.checker.letters.on_answer(life, ticket, from, &payload);
            }
            Effect::Collected { ticket, .. } => {
                self.checker.letters.on_collected(life, ticket);
                if let Some(state) = self.nodes.get_mut(&life.node) {
                    state.asked.remove(&ticket);
                }
            }
            Effect::Deliver(event) => event.each().for_each(|event| self.observe(life, event)),
            _ => {}
        }
        true
    }

    fn observe(&mut self, life: Member, event: Event) {
        match &event {
            Event::Message { .. } | Event::Direct { .. } | Event::Request { .. } => {}
            Event::View(view) => self.say(|| format!("{life} enters {view} {:?}", view.changes)),
            other => self.say(|| format!("{life} {other:?}")),
        }
        if let Some(history) = &mut self.history {
            history.note(Seen { at: self.now, step: self.tally.steps, by: life, event: event.clone() });
        }
        let exact = self.exact(life.node);
        self.checker.on_event(self.now, exact, life, &event);
        match event {
            Event::View(view) => {
                self.note(view.id.epoch ^ life.node.get() << 32);
                if self.greets {
                    self.at(Duration::ZERO, What::Again { by: life, payload: None });
                }
                self.enter_with_state(life, &view);
            }
            Event::Message { sender, seq, payload, .. } => {
                self.tally.delivered += 1;
                self.note(seq.get() ^ sender.node.get() << 40 ^ life.node.get() << 48);
                self.apply(life.node, &payload);
            }
            Event::Merged { .. } => self.tally.merges += 1,
            Event::TakeSnapshot { view, .. } => self.take_snapshot(life, view),
            Event::Restore(restore) => {
                let node = self.nodes.get_mut(&life.node);
                self.tally.restored += u64::from(node.is_some_and(|node| node.replica.restore(restore)));
            }
            Event::Direct { .. } => self.tally.letters += 1,
            Event::Request { request, place, payload, .. } => {
                if place.is_some() {
                    self.apply(life.node, &payload);
                }
                let pause = Duration::from_micros(self.rng.random_range(0..30_000));
                self.at(pause, What::Answer { by: life, request, payload });
            }
            _ => {}
        }
    }

    fn apply(&mut self, node: NodeId, payload: &[u8]) {
        let ordered = self.config.order.is_total();
        if let Some(node) = self.nodes.get_mut(&node) {
            node.replica.apply(payload, ordered);
        }
    }

    /// A view begins at a member.
    fn enter_with_state(&mut self, life: Member, view: &View) {
        let Some(node) = self.nodes.get_mut(&life.node) else { return };
        let state = node.replica.enter(life, view);
        if self.config.state_transfer {
            self.checker.on_state(life, view, state);
        }
    }

    /// The state of now is handed over a little later.
    fn take_snapshot(&mut self, life: Member, view: ViewId) {
        let node = self.nodes.get(&life.node);
        let state = node.and_then(|node| node.replica.snapshot(self.state_bytes_min));
        let pause = Duration::from_micros(self.rng.random_range(0..30_000));
        if let Some(state) = state {
            self.at(pause, What::Snapshot { by: life, view, state });
        }
    }

    /// The present moment, unless the node's clock is or has lately been wrong.
    fn exact(&self, node: NodeId) -> Option<Time> {
        self.nodes[&node].clock.exact(self.now)
    }

    /// Whether all nodes are up and connected, and have been for long, though they may be late.
    fn nothing_is_wrong(&self) -> bool {
        let settled = self.schedule.is_quiet(self.now, self.config.timing.detect() * 6);
        settled && !self.lanes.are_limited() && self.nodes.values().all(Node::is_up)
    }

    fn note(&mut self, value: u64) {
        self.tally.digest =
            (self.tally.digest ^ value ^ self.now.as_nanos()).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// Carries out what the failure detector of a node wants done.
    pub(super) fn perform_detector(&mut self, node: NodeId, effects: Vec<DetectorEffect>) {
        let Some(life) = self.nodes.get(&node).map(|state| state.life) else { return };
        let mut news = Vec::new();
        for effect in effects {
            match effect {
                DetectorEffect::Send { to, beat } => self.carry_beat(life, to, beat),
                DetectorEffect::WakeAt(at) => {
                    let Some(state) = self.nodes.get_mut(&node) else { return };
                    state.look = Some(at);
                    let moment = state.clock.moment(at);
                    self.queue.push(moment, What::Look(life));
                }
                DetectorEffect::Reachable { member } => {
                    self.checker.on_reachable(life, member);
                    news.push(Input::Reachable(member));
                }
                DetectorEffect::Unreachable { node } => {
                    self.tally.suspicions += 1;
                    if self.nothing_is_wrong() {
                        self.checker.on_accused(life, node);
                    }
                    news.push(Input::Unreachable(node));
                }
                DetectorEffect::Superseded { old, new } => {
                    self.checker.on_superseded(life, old, new);
                    news.push(Input::Unreachable(old.node));
                }
                DetectorEffect::RoundTrip { .. } => {} // Nobody asks here.
                DetectorEffect::Stalled { late_by } => {
                    self.say(|| format!("{life} stood still for {late_by:?}"));
                    news.push(Input::Stalled);
                }
            }
        }
        if !news.is_empty() {
            self.feed(node, news);
        }
    }
}
