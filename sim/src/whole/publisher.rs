//! Clients that publish into a group through one node after the other: what is not acknowledged
//! when they change nodes they publish again, since its outcome is not known.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use quorate_membership::{GroupId, Incarnation, Member, NodeId, View, ViewId};
use quorate_protocols::{
    Input, Ticket,
    bus::{Admission, Arrival, Decision, Marks, PublisherId, Settlement, Stamp},
};
use rand::{RngExt, seq::IndexedRandom};

use super::{
    CARRIERS, NODES, World,
    network::{Frame, What},
};

/// Publications of one client that are on their way at once.
const OPEN_MAX: usize = 8;
/// Names of clients begin behind those of nodes.
const FIRST_CLIENT: u64 = 100;
/// What is published begins with this behind its number.
const PUBLISHED: u8 = b'!';

/// A client that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    id: PublisherId,
    /// The node that it uses.
    at: Option<Member>,
    last: u64,
    /// The numbers of what is not acknowledged.
    pub(super) open: BTreeSet<u64>,
}

impl Publisher {
    pub(super) fn new(number: u64) -> Self {
        let member = Member::new(NodeId::new(FIRST_CLIENT + number), Incarnation::new(1));
        Self { id: PublisherId { member, session: 0 }, at: None, last: 0, open: BTreeSet::new() }
    }

    fn stamp(&self, number: u64) -> Stamp {
        let settled = self.open.first().map_or(self.last, |first| first - 1);
        Stamp { publisher: self.id, number, previous: number - 1, settled: settled.min(number - 1) }
    }
}

/// What was delivered: the stamp, if a client has published it.
pub(super) fn stamp_of(payload: &[u8]) -> Option<Stamp> {
    let (_, rest) = payload.split_first_chunk::<8>()?;
    let words = rest.strip_prefix(&[PUBLISHED])?;
    let word = |index: usize| Some(u64::from_be_bytes(words.get(index * 8..index * 8 + 8)?.try_into().ok()?));
    let member = Member::new(NodeId::new(word(0)?), Incarnation::new(1));
    let publisher = PublisherId { member, session: 0 };
    Some(Stamp { publisher, number: word(1)?, previous: word(2)?, settled: word(3)? })
}

impl World {
    /// The group that clients publish into and read from afar.
    pub(super) fn published_group(&self) -> GroupId {
        self.configs[0].group
    }

    /// A client publishes, or goes to another node and publishes again.
    pub(super) fn step_publisher(&mut self, index: usize) {
        self.soon(5_000..40_000, What::Publisher(index));
        let at = self.publishers[index].at;
        let stays = at.is_some_and(|at| self.runs(at)) && self.rng.random_range(0..40) > 0;
        if !stays {
            self.publishers[index].at = self.some_carrier();
            let again: Vec<u64> = self.publishers[index].open.iter().copied().collect();
            self.tally.repeated += again.len() as u64;
            for number in again {
                self.hand_in(index, number);
            }
        }
        let busy = self.now <= self.busy_until;
        let publisher = &mut self.publishers[index];
        if busy && publisher.at.is_some() && publisher.open.len() < OPEN_MAX {
            publisher.last += 1;
            publisher.open.insert(publisher.last);
            let number = publisher.last;
            self.hand_in(index, number);
        }
    }

    /// A publication reaches the node that the client uses.
    fn hand_in(&mut self, index: usize, number: u64) {
        let publisher = &self.publishers[index];
        let (Some(at), stamp) = (publisher.at, publisher.stamp(number)) else { return };
        // One connection: what is handed in later does not overtake.
        self.push(self.now + Duration::from_millis(1), What::HandIn(at, stamp));
    }

    /// A node submits a publication; it goes on until all members have taken it in or dropped it.
    pub(super) fn submit_published(&mut self, life: Member, stamp: Stamp) {
        let id = self.published_group();
        let number = self.payload();
        let words = [stamp.publisher.member.node.get(), stamp.number, stamp.previous, stamp.settled];
        let words = words.iter().flat_map(|word| word.to_be_bytes());
        let payload: Bytes = number.to_be_bytes().into_iter().chain([PUBLISHED]).chain(words).collect();
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let Some(group) = parts.groups.get(&id).filter(|group| group.room() > 0) else {
            return self.soon(20_000..50_000, What::HandIn(life, stamp));
        };
        if group.has_left() {
            return;
        }
        let ticket = Ticket(number);
        parts.tickets.insert((id, ticket), payload.clone());
        if let Some(checker) = self.checkers.get_mut(&id) {
            checker.on_submit(life, payload.clone());
        }
        self.feed(life, id, vec![Input::Submit { ticket, head: Bytes::new(), payload }]);
    }

    /// The group has told what became of a publication.
    pub(super) fn on_published_fate(&mut self, life: Member, stamp: Stamp, arrived: bool) {
        let id = self.published_group();
        let Some(bound) = self.bound(life, id) else { return };
        match bound.core.on_fate(stamp.publisher, stamp.number, arrived) {
            Settlement::NotYet => return self.soon(1_000..20_000, What::Settle(life, stamp)),
            Settlement::Again => return self.soon(1_000..20_000, What::HandIn(life, stamp)),
            Settlement::Passed => {}
        }
        let index = (stamp.publisher.member.node.get() - FIRST_CLIENT) as usize;
        self.bus.clients.on_acknowledged(&stamp);
        self.tally.acknowledged += u64::from(self.publishers[index].open.remove(&stamp.number));
    }

    /// A newcomer asks for the marks of publishers until a member has told them.
    pub(super) fn ask_marks(&mut self, life: Member, id: GroupId) {
        let Some((view, member)) = self.bound(life, id).and_then(|bound| bound.core.ask()) else {
            return;
        };
        self.soon(40_000..60_000, What::AskMarks(life, id));
        self.send(life, member.node, Frame::MarksWanted(id, view));
        self.lie(life, id, view);
    }

    /// A node that carries nothing tells a newcomer that nobody has published anything.
    fn lie(&mut self, to: Member, id: GroupId, view: ViewId) {
        let liar = self.nodes.get(&NodeId::new(NODES)).filter(|node| node.parts.is_some());
        if let Some(liar) = liar.map(|node| node.life) {
            self.send(liar, to.node, Frame::Marks(id, view, Marks::default()));
        }
    }

    pub(super) fn on_marks_wanted(&mut self, life: Member, from: Member, id: GroupId, view: ViewId) {
        let marks = self.bound(life, id).and_then(|bound| bound.core.snapshot(view).cloned());
        if let Some(marks) = marks {
            self.send(life, from.node, Frame::Marks(id, view, marks));
        }
    }

    pub(super) fn on_marks(&mut self, life: Member, from: Member, id: GroupId, view: ViewId, marks: Marks) {
        let Some(bound) = self.bound(life, id) else { return };
        let mut decided = Vec::new();
        // Refused is what nobody asked for, or what came second.
        let _refused = bound.core.learn(from, view, marks, |decision, payload| {
            decided.push((decision, payload.cloned().unwrap_or_default()));
        });
        for (decision, payload) in decided {
            self.on_decided(life, id, &decision, &payload);
        }
    }

    /// A group with bound subjects enters a view.
    pub(super) fn on_bound_view(&mut self, life: Member, id: GroupId, view: &View) {
        let Some(bound) = self.bound(life, id) else { return };
        if let Arrival::Decided(decision) = bound.core.on_view(view, Bytes::new(), 0) {
            self.on_decided(life, id, &decision, &Bytes::new());
        }
        self.ask_marks(life, id);
    }

    /// What a bound group has delivered passes to the readers, or is dropped.
    pub(super) fn on_decided(&mut self, life: Member, id: GroupId, decision: &Decision, payload: &Bytes) {
        let Decision { position, sender, stamp, admission } = decision;
        self.bus.clients.on_decided(life, id, *position, stamp.as_ref(), *admission);
        if *admission != Admission::New {
            self.tally.dropped += 1;
            return;
        }
        self.bus.on_position(life, id, *position, payload);
        if stamp.is_none() && *sender == Some(life) {
            self.serve_queues(life, payload);
        }
    }

    /// Whether a process is there still.
    pub(super) fn runs(&self, life: Member) -> bool {
        self.nodes.get(&life.node).is_some_and(|node| node.life == life && node.parts.is_some())
    }

    /// One of the carriers that run, if any does.
    pub(super) fn some_carrier(&mut self) -> Option<Member> {
        let up = self.nodes.values().filter(|node| node.life.node.get() <= CARRIERS && node.parts.is_some());
        let up: Vec<Member> = up.map(|node| node.life).collect();
        up.choose(&mut self.rng).copied()
    }
}
