//! What the applications do with the bus: publish, subscribe, share work, ask, answer, read.

use std::time::Duration;

use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId};
use quorate_protocols::bus::{Arrival, Read, Route, Stamp, Subject, Want};
use rand::RngExt;

use super::{
    World,
    binding::bound_name,
    network::{Frame, What},
    node::Bound,
};

/// Requests end after so long without an answer.
const PATIENCE: Duration = Duration::from_secs(2);

fn subject(text: &str) -> Subject {
    text.parse().expect("a subject")
}

impl World {
    pub(super) fn payload(&mut self) -> u64 {
        self.next_payload += 1;
        self.next_payload
    }

    pub(super) fn bound(&mut self, life: Member, group: GroupId) -> Option<&mut Bound> {
        self.nodes.get_mut(&life.node)?.parts.as_mut()?.bound.get_mut(&group)
    }

    fn subscribe(&mut self, life: Member, pattern: &str, queue: Option<&str>) {
        let want = Want { pattern: pattern.parse().expect("a pattern"), queue: queue.map(str::to_owned) };
        let id = self.router(life, |router, out| router.subscribe(want.clone(), true, out));
        let Some(Ok(id)) = id else { return };
        if let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) {
            parts.subscriptions.insert(id, want);
        }
    }

    /// What the applications of a node subscribe when it starts.
    pub(super) fn subscribe_first(&mut self, life: Member) {
        for (pattern, queue) in [("core.*", None), ("work.*", Some("workers")), ("order.*", Some("packers"))]
        {
            if self.rng.random_range(0..3) > 0 {
                self.subscribe(life, pattern, queue);
            }
        }
        if life.node.get() % 2 == 1 {
            self.subscribe(life, "ask.>", Some("oracles"));
        }
    }

    /// An application changes its mind about a subject.
    fn toggle(&mut self, life: Member, pattern: &str) {
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let held = parts.subscriptions.iter().find(|(_, want)| want.pattern.as_str() == pattern);
        match held.map(|(id, _)| *id) {
            None => self.subscribe(life, pattern, None),
            Some(id) => {
                parts.subscriptions.remove(&id);
                self.router(life, |router, out| router.unsubscribe(id, out));
            }
        }
    }

    /// The applications of a node do something, and will again.
    pub(super) fn work(&mut self, life: Member) {
        if self.now > self.busy_until {
            return;
        }
        self.soon(5_000..60_000, What::Application(life.node));
        let kind = self.rng.random_range(0..3);
        match self.rng.random_range(0..24) {
            0..4 => self.publish_new(life, &format!("core.{kind}")),
            4..8 => self.publish_new(life, &format!("work.{kind}")),
            8..11 => self.ask(life),
            11 => {
                self.toggle(life, &format!("core.{kind}"));
                self.toggle_rival(life);
            }
            choice => self.submit(life, choice % self.configs.len(), kind),
        }
    }

    /// Multicasts in one of the groups, or publishes in those that are bound.
    fn submit(&mut self, life: Member, group: usize, kind: u64) {
        let id = self.configs[group].group;
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let Some(it) = parts.groups.get(&id).filter(|group| group.room() > 0) else { return };
        let witness = self.configs[group].witnesses.contains(&life.node);
        if witness || it.has_left() || parts.tickets.len() > 100 {
            return;
        }
        if let Some(name) = bound_name(id) {
            return self.publish_own(life, id, format!("{name}.{kind}"));
        }
        self.send_in(life, id);
    }

    fn publish_new(&mut self, life: Member, text: &str) {
        let number = self.payload();
        self.publish(life, &subject(text), None, number);
    }

    /// Publishes a subject that is not bound.
    pub(super) fn publish(
        &mut self,
        life: Member,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: u64,
    ) {
        self.bus.on_publish(payload, subject);
        let Some(route) = self.router(life, |router, _| router.route(subject)) else { return };
        self.deal(life, route, subject, reply_to, payload);
    }

    fn deal(
        &mut self,
        life: Member,
        route: Route,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: u64,
    ) {
        for (node, (plain, queues)) in route.nodes {
            if node == life.node {
                self.give(life, subject, reply_to, payload, plain, &queues);
                continue;
            }
            if self.nodes[&life.node].links_to(node).is_none() {
                self.bus.on_stray_route(life, node, subject);
            }
            let (subject, reply_to) = (subject.clone(), reply_to.cloned());
            self.send(life, node, Frame::Message { subject, reply_to, payload, plain, queues });
        }
    }

    /// Hands a message that was routed here to subscribers.
    pub(super) fn give(
        &mut self,
        life: Member,
        subject: &Subject,
        reply_to: Option<&Subject>,
        payload: u64,
        plain: bool,
        queues: &[String],
    ) {
        if let Some(request) = self.router(life, |router, _| router.on_answer(subject)).flatten() {
            if let Some(number) = request {
                self.tally.answered += 1;
                self.bus.on_outcome(life, number);
            }
            return;
        }
        let Some(selection) = self.router(life, |router, _| router.select(subject, plain, queues)) else {
            return;
        };
        for id in selection.subscriptions {
            let parts = self.nodes[&life.node].parts.as_ref();
            let want = parts.and_then(|parts| parts.subscriptions.get(&id)).cloned();
            self.tally.handed += 1;
            self.note(payload ^ id << 40);
            self.bus.on_give(life, id, want.as_ref(), subject, payload);
            if let Some(to) = reply_to {
                let payload = self.payload();
                self.soon(1_000..20_000, What::Answer { by: life, to: to.clone(), payload });
            }
        }
    }

    fn ask(&mut self, life: Member) {
        let about = subject("ask.me");
        match self.router(life, |router, _| router.request(&about)) {
            Some(Ok(Some((number, reply_to)))) => {
                self.bus.on_request(life, number);
                self.push(self.now + PATIENCE, What::TimedOut(life, number));
                let payload = self.payload();
                self.publish(life, &about, Some(&reply_to), payload);
            }
            _ => self.tally.failed += 1, // nobody answers: said at once
        }
    }

    pub(super) fn time_out(&mut self, life: Member, request: u64) {
        let waits = self.router(life, |router, _| {
            let waits = router.requests().any(|number| number == request);
            router.give_up(request);
            waits
        });
        if waits == Some(true) {
            self.tally.failed += 1;
            self.bus.on_outcome(life, request);
        }
    }

    /// A group has delivered a message here.
    pub(super) fn on_delivered(
        &mut self,
        life: Member,
        id: GroupId,
        sender: Member,
        stamp: Option<Stamp>,
        payload: &Bytes,
    ) {
        let Some(bound) = self.bound(life, id) else { return };
        let arrival = bound.core.on_message(sender, stamp, payload.clone(), payload.len());
        if let Arrival::Decided(decision) = arrival {
            self.on_decided(life, id, &decision, payload);
        }
    }

    /// Readers get what a bound group delivers from their own member; the publisher's node serves
    /// queue groups.
    pub(super) fn serve_queues(&mut self, life: Member, number: u64, text: &[u8]) {
        let Ok(subject) = String::from_utf8_lossy(text).parse() else { return }; // clients' have none
        self.bus.on_publish(number, &subject);
        let Some(route) = self.router(life, |router, _| router.route_queues(&subject)) else { return };
        self.deal(life, route, &subject, None, number);
    }

    /// A reader of a bound subject reads a few messages, and will read on.
    pub(super) fn read(&mut self, life: Member, id: GroupId) {
        self.soon(1_000..1_000_000, What::Read(life, id));
        for _ in 0..self.rng.random_range(1..20) {
            let Some(bound) = self.bound(life, id) else { return };
            match bound.core.read(&mut bound.reader) {
                Read::Missed { entries, .. } => {
                    self.tally.missed += entries;
                    self.bus.on_missed(life, id, entries);
                }
                Read::Nothing => return,
                Read::Entry(position, payload) => {
                    let payload = payload.clone();
                    bound.reader.pass(position);
                    self.tally.handed += 1;
                    self.bus.on_read(life, id, position, &payload);
                }
            }
        }
    }

    /// In the healed cluster every node publishes and asks once more; now all must arrive.
    pub(super) fn probe(&mut self) {
        for node in self.nodes.keys().copied().collect::<Vec<NodeId>>() {
            let life = self.nodes[&node].life;
            for text in ["core.0", "work.0"] {
                let number = self.payload();
                let of = |node: &super::node::Node| {
                    let wants = node.parts.iter().flat_map(|parts| &parts.subscriptions);
                    wants.map(|(id, want)| (node.life, *id, want.clone())).collect::<Vec<_>>()
                };
                let standing: Vec<_> = self.nodes.values().flat_map(of).collect();
                self.bus.expect(number, &subject(text), &standing);
                self.publish(life, &subject(text), None, number);
            }
            self.ask(life);
        }
    }
}
