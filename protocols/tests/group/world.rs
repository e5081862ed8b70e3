//! A few groups, a clock and a network that takes a millisecond, unless told otherwise, and loses only what it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{GroupId, Incarnation, Member, NodeId, Seq, Time, View};
use quorate_protocols::{
    Audience, Body, Collect, Effect, Effects, Event, Fate, Group, GroupConfig, Input, Message, Refusal,
    Ticket, Wait,
};

type Lost = Box<dyn Fn(NodeId, NodeId, &Body) -> bool>;

pub(crate) struct World {
    now: Time,
    config: GroupConfig,
    groups: BTreeMap<NodeId, Group>,
    /// By when it arrives, in the order sent.
    flying: BTreeMap<(Time, u64), (Member, NodeId, Message)>,
    sent: u64,
    /// How long a message takes.
    takes: Duration,
    /// The links to this node carry so many bytes of data per millisecond; `None`: what each node sends.
    throttled: Option<(Option<NodeId>, usize)>,
    /// When the last data on such a link arrives.
    busy: BTreeMap<NodeId, Time>,
    wakes: BTreeSet<(Time, NodeId)>,
    lost: Lost,
    seen: BTreeMap<NodeId, Vec<Effect>>,
}

pub(crate) fn n(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(crate) fn member(number: u64) -> Member {
    Member::new(n(number), Incarnation::new(1))
}

pub(crate) fn text(payload: &Bytes) -> &str {
    std::str::from_utf8(payload).unwrap()
}

impl World {
    /// A network without nodes, for a group of so many founders.
    pub(crate) fn empty(founders: u64) -> Self {
        Self {
            now: Time::ZERO,
            config: GroupConfig::new(GroupId::new(1), (1..=founders).map(NodeId::new).collect()),
            groups: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            takes: Duration::from_millis(1),
            throttled: None,
            busy: BTreeMap::new(),
            wakes: BTreeSet::new(),
            lost: Box::new(|_, _, _| false),
            seen: BTreeMap::new(),
        }
    }

    /// A group of so many founders in its first view, with a changed configuration.
    pub(crate) fn founded(founders: u64, change: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut world = Self::empty(founders);
        change(&mut world.config);
        for number in 1..=founders {
            world.start(number);
        }
        world.run(1000);
        for number in 1..=founders {
            assert_eq!(world.view(number).members.len() as u64, founders);
        }
        world.seen.clear();
        world
    }

    pub(crate) const fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Starts a node that reaches all others.
    pub(crate) fn start(&mut self, number: u64) {
        self.start_as(member(number), None);
    }

    /// Changes how nodes that start later take the group.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut GroupConfig)) {
        change(&mut self.config);
    }

    /// Starts a node that reaches nobody yet.
    pub(crate) fn start_deaf(&mut self, number: u64) {
        self.groups.insert(n(number), Group::new(self.config.clone(), member(number), self.now));
        self.flush(n(number));
    }

    /// Starts a node that takes the group for something else.
    pub(crate) fn start_otherwise(&mut self, me: Member, change: impl FnOnce(&mut GroupConfig)) {
        let config = self.config.clone();
        change(&mut self.config);
        self.start_as(me, None);
        self.config = config;
    }

    /// The same in this life, in which something reaches the node before it reaches anybody.
    pub(crate) fn start_as(&mut self, me: Member, early: Option<Input>) {
        let (number, others) = (me.node.get(), self.groups.values().map(Group::me).collect::<Vec<_>>());
        self.groups.insert(n(number), Group::new(self.config.clone(), me, self.now));
        if let Some(early) = early {
            self.input(number, early).unwrap();
        }
        for other in others {
            self.input(other.node.get(), Input::Reachable(me)).unwrap();
            self.input(number, Input::Reachable(other)).unwrap();
        }
        self.flush(n(number));
    }

    /// A node that has left joins again in the same life.
    pub(crate) fn rejoin(&mut self, number: u64) {
        let legacy = self.groups[&n(number)].legacy().expect("it has left");
        self.groups.insert(n(number), Group::rejoin(self.config.clone(), legacy, self.now));
        let others = self.groups.values().map(Group::me).filter(|it| it.node != n(number));
        for other in others.collect::<Vec<_>>() {
            self.input(number, Input::Reachable(other)).unwrap();
        }
        self.flush(n(number));
    }

    /// Kills a node; the others notice at once.
    pub(crate) fn crash(&mut self, number: u64) {
        self.groups.remove(&n(number));
        let others: Vec<NodeId> = self.groups.keys().copied().collect();
        for other in others {
            self.input(other.get(), Input::Unreachable(n(number))).unwrap();
        }
    }

    /// Two nodes hear each other again.
    pub(crate) fn reachable(&mut self, a: u64, b: u64) {
        self.input(a, Input::Reachable(member(b))).unwrap();
        self.input(b, Input::Reachable(member(a))).unwrap();
    }

    /// A node no longer hears another.
    pub(crate) fn unreachable(&mut self, by: u64, other: u64) {
        self.input(by, Input::Unreachable(n(other))).unwrap();
    }

    /// Says which messages are lost from now on, by sender, addressee and body.
    pub(crate) fn lose(&mut self, lost: impl Fn(NodeId, NodeId, &Body) -> bool + 'static) {
        self.lost = Box::new(lost);
    }

    pub(crate) fn input(&mut self, number: u64, input: Input) -> Result<(), Refusal> {
        let mut out = Effects::new();
        let group = self.groups.get_mut(&n(number)).expect("the node runs");
        let done = group.handle(self.now, input, &mut out);
        self.perform(n(number), out);
        self.flush(n(number));
        done
    }

    pub(crate) fn submit(&mut self, by: u64, ticket: u64, payload: &'static str) {
        let payload = Bytes::from_static(payload.as_bytes());
        self.input(by, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
    }

    pub(crate) fn send_to(&mut self, by: u64, to: u64, ticket: u64, payload: &'static str) {
        let payload = Bytes::from_static(payload.as_bytes());
        self.input(by, Input::SendTo { ticket: Ticket(ticket), to: member(to), payload }).unwrap();
    }

    pub(crate) fn ask(
        &mut self,
        by: u64,
        to: Audience,
        ticket: u64,
        payload: &'static str,
        collect: Collect,
    ) {
        let payload = Bytes::from_static(payload.as_bytes());
        self.input(by, Input::Ask { ticket: Ticket(ticket), to, payload, collect }).unwrap();
    }

    /// Answers the latest request delivered to a node.
    pub(crate) fn answer(&mut self, by: u64, payload: &'static str) {
        let request = self.seen[&n(by)].iter().rev().find_map(|effect| match effect {
            Effect::Deliver(Event::Request { request, .. }) => Some(*request),
            _ => None,
        });
        let payload = Bytes::from_static(payload.as_bytes());
        self.input(by, Input::Answer { request: request.expect("a request"), payload }).unwrap();
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, message) = entry.remove();
                if self.groups.contains_key(&to) {
                    let _ = self.input(to.get(), Input::Received { from, message });
                }
            }
            while let Some((at, node)) = self.wakes.first().copied().filter(|(at, _)| *at <= self.now) {
                self.wakes.remove(&(at, node));
                if self.groups.contains_key(&node) {
                    self.input(node.get(), Input::Wake).unwrap();
                }
            }
        }
    }

    fn flush(&mut self, node: NodeId) {
        let mut out = Effects::new();
        if let Some(group) = self.groups.get_mut(&node) {
            group.flush(self.now, &mut out);
        }
        self.perform(node, out);
    }

    fn perform(&mut self, node: NodeId, out: Effects) {
        let from = self.groups[&node].me();
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    let kept: Vec<NodeId> =
                        to.iter().copied().filter(|to| !(self.lost)(node, *to, &message.body)).collect();
                    for to in kept {
                        let at = self.arrival(node, to, &message);
                        self.sent += 1;
                        self.flying.insert((at, self.sent), (from, to, (*message).clone()));
                    }
                }
                Effect::WakeAt(at) => {
                    self.wakes.insert((at, node));
                }
                other => self.seen.entry(node).or_default().extend(other.each()),
            }
        }
    }

    /// When a message arrives: data after the data before it, what is urgent at once.
    fn arrival(&mut self, from: NodeId, to: NodeId, message: &Message) -> Time {
        let soon = self.now + self.takes;
        let rate = self.throttled.filter(|(node, _)| node.is_none_or(|it| it == to) && !message.is_urgent());
        let Some((_, rate)) = rate else { return soon };
        let takes = Duration::from_millis((message.body.weight() / rate) as u64);
        let free = self.busy.entry(from).or_default();
        *free = soon.max(*free) + takes;
        *free
    }

    /// From now on each message takes so long, as between nodes that are busy with other groups.
    pub(crate) const fn delay(&mut self, millis: u64) {
        self.takes = Duration::from_millis(millis);
    }

    /// Messages sent so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// From now on the links to a node carry so many bytes of data per millisecond.
    pub(crate) fn throttle(&mut self, number: u64, bytes_per_ms: usize) {
        self.throttled = Some((Some(n(number)), bytes_per_ms));
    }

    /// From now on each node sends so many bytes of data per millisecond, to all together.
    pub(crate) fn throttle_senders(&mut self, bytes_per_ms: usize) {
        self.throttled = Some((None, bytes_per_ms));
    }

    pub(crate) fn view(&self, number: u64) -> View {
        self.groups[&n(number)].view().expect("in a view").clone()
    }

    pub(crate) fn known_lives(&self, number: u64) -> usize {
        self.groups[&n(number)].known_lives()
    }

    pub(crate) fn snapshot_bytes(&self, number: u64) -> usize {
        self.groups[&n(number)].snapshot_bytes()
    }

    pub(crate) fn past_bytes(&self, number: u64) -> usize {
        self.groups[&n(number)].past_bytes()
    }

    /// Every other node tells this one that it does not keep the snapshot it asks for.
    pub(crate) fn refuse_state(&mut self, number: u64) {
        let view = self.view(number).id;
        let donors: Vec<Member> =
            self.groups.values().map(Group::me).filter(|m| m.node != n(number)).collect();
        for from in donors {
            let message = Message { view, body: Body::NoState { snapshot: view } };
            self.input(number, Input::Received { from, message }).unwrap();
        }
    }

    /// Per data member, the last frame that a node holds without a gap.
    pub(crate) fn holdings(&self, number: u64) -> Vec<Seq> {
        self.groups[&n(number)].holdings().expect("in a view")
    }

    /// How far its members are, as one of them knows: the node, frames received, and bytes that are lacking.
    pub(crate) fn frontiers(&self, number: u64) -> Vec<(u64, u64, Option<usize>)> {
        let group = &self.groups[&n(number)];
        let all = group.frontiers().into_iter();
        all.map(|it| (it.member.node.get(), it.received, it.behind_bytes)).collect()
    }

    pub(crate) fn waits(&self, number: u64) -> Vec<Wait> {
        self.groups[&n(number)].waits()
    }

    /// What a node was told since the last call.
    pub(crate) fn told(&mut self, number: u64) -> Vec<Effect> {
        self.seen.remove(&n(number)).unwrap_or_default()
    }

    pub(crate) fn fates(&self, number: u64, ticket: u64) -> Vec<Fate> {
        let fate = |effect: &Effect| match effect {
            Effect::Fate { ticket: of, fate } if *of == Ticket(ticket) => Some(*fate),
            _ => None,
        };
        self.seen.get(&n(number)).into_iter().flatten().filter_map(fate).collect()
    }

    /// Messages and letters delivered at a node.
    pub(crate) fn delivered(&self, number: u64) -> Vec<String> {
        let payload = |effect: &Effect| match effect {
            Effect::Deliver(
                Event::Message { payload, .. }
                | Event::Direct { payload, .. }
                | Event::Request { payload, .. },
            ) => Some(text(payload).to_owned()),
            _ => None,
        };
        self.seen.get(&n(number)).into_iter().flatten().filter_map(payload).collect()
    }
}
