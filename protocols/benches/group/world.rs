//! Groups in one thread, between which messages take no time.

use std::collections::{BTreeSet, VecDeque};

use quorate_membership::{GroupId, Incarnation, Member, NodeId, Time};
use quorate_protocols::{Batch, Effect, Effects, Event, Group, GroupConfig, Input, Message, Order, Ticket};

/// Groups in one thread, between which messages take no time.
pub(crate) struct World {
    now: Time,
    /// One at each node that runs.
    groups: Vec<Group>,
    flying: VecDeque<(Member, NodeId, Message)>,
    wakes: BTreeSet<(Time, NodeId)>,
    delivered: usize,
}

fn member(number: u64) -> Member {
    Member::new(NodeId::new(number), Incarnation::new(1))
}

impl World {
    /// A group of so many members in its first view.
    pub(crate) fn founded(members: u64, order: Order) -> Self {
        let founders = (1..=members).map(NodeId::new).collect();
        let config = GroupConfig { order, ..GroupConfig::new(GroupId::new(1), founders) };
        let groups = (1..=members).map(|number| Group::new(config.clone(), member(number), Time::ZERO));
        let mut world = Self {
            now: Time::ZERO,
            groups: groups.collect(),
            flying: VecDeque::new(),
            wakes: BTreeSet::new(),
            delivered: 0,
        };
        for node in 1..=members {
            for other in (1..=members).filter(|other| *other != node) {
                world.input(NodeId::new(node), Input::Reachable(member(other)));
            }
        }
        world.run_until(members as usize);
        world
    }

    /// The first members multicast a batch each, which all members deliver. Returns how many messages were
    /// delivered.
    pub(crate) fn multicast(&mut self, senders: u64, batch: &Batch) -> usize {
        self.delivered = 0;
        for sender in 1..=senders {
            let input = Input::SubmitAll { ticket: Ticket(sender), payloads: batch.clone() };
            self.input(NodeId::new(sender), input);
        }
        self.settle();
        self.delivered
    }

    /// The last member is no longer heard, and the others go on.
    pub(crate) fn lose_one(&mut self) {
        let gone = self.groups.pop().expect("a member").me().node;
        for node in self.nodes() {
            self.input(node, Input::Unreachable(gone));
        }
        self.run_until(self.groups.len());
    }

    /// The last member leaves, and the others go on.
    pub(crate) fn leave_one(&mut self) {
        let leaving = self.groups.last().expect("a member").me().node;
        self.input(leaving, Input::Leave);
        self.run_until(self.groups.len() - 1);
    }

    /// Goes from one wake to the next until all members that have not left are in a view of so many.
    fn run_until(&mut self, members: usize) {
        self.settle();
        let inside = |group: &Group| {
            let there =
                group.view().is_some_and(|view| !view.id.is_genesis() && view.members.len() == members);
            there || group.has_left()
        };
        while !self.groups.iter().all(inside) {
            let (at, node) = self.wakes.pop_first().expect("somebody waits for a time");
            self.now = self.now.max(at);
            if self.groups.iter().any(|group| group.me().node == node) {
                self.input(node, Input::Wake);
            }
            self.settle();
        }
    }

    /// Lets all messages arrive that are on the way, and those that follow from them.
    fn settle(&mut self) {
        while let Some((from, to, message)) = self.flying.pop_front() {
            if self.groups.iter().any(|group| group.me().node == to) {
                self.input(to, Input::Received { from, message });
            }
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.groups.iter().map(|group| group.me().node).collect()
    }

    fn input(&mut self, node: NodeId, input: Input) {
        let mut out = Effects::new();
        let group = self.groups.iter_mut().find(|group| group.me().node == node).expect("it runs");
        group.handle(self.now, input, &mut out).expect("a correct input");
        group.flush(self.now, &mut out);
        let from = group.me();
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    self.flying.extend(to.iter().map(|to| (from, *to, (*message).clone())));
                }
                Effect::WakeAt(at) => {
                    self.wakes.insert((at, node));
                }
                Effect::Deliver(Event::Messages(messages)) => self.delivered += messages.batch.len(),
                Effect::Deliver(Event::Message { .. }) => self.delivered += 1,
                _ => {}
            }
        }
    }
}
