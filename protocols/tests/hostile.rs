//! Whatever authenticated peers say, a group neither panics nor breaks its promises at home.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use quorate_membership::{
    Change, Cut, Decree, GroupId, Incarnation, Member, NodeId, Seq, Side, Time, View, ViewId,
    agreement::{Ballot, Promise},
};
use quorate_protocols::{
    Audience, Body, Collect, Effect, Effects, Event, Fate, Frame, Group, GroupConfig, Input, Message, Offer,
    Order, Purpose, Refusal, RequestId, Row, Ticket,
};

fn member(node: u64, life: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(life))
}

fn config(order: Order, partitionable: bool) -> GroupConfig {
    let mut config = GroupConfig::new(GroupId::new(1), (1..=3).map(NodeId::new).collect());
    config.order = order;
    config.partitionable = partitionable;
    config
}

/// Three members in one view; the first one is under attack from now on.
fn founded(order: Order, partitionable: bool) -> (Group, Time) {
    let config = config(order, partitionable);
    let mut now = Time::ZERO;
    let mut groups: Vec<Group> =
        (1..=3).map(|node| Group::new(config.clone(), member(node, 1), now)).collect();
    for group in &mut groups {
        let me = group.me().node.get();
        for node in (1..=3).filter(|node| *node != me) {
            group.handle(now, Input::Reachable(member(node, 1)), &mut Vec::new()).expect("no refusal");
        }
    }
    let mut flying = VecDeque::new();
    for _ in 0..60 {
        now = now + Duration::from_millis(50);
        for group in &mut groups {
            let mut out = Vec::new();
            group.handle(now, Input::Wake, &mut out).expect("no refusal");
            group.flush(now, &mut out);
            collect(group.me(), out, &mut flying);
        }
        while let Some((from, to, message)) = flying.pop_front() {
            let group = &mut groups[to as usize - 1];
            let mut out = Vec::new();
            group.handle(now, Input::Received { from, message }, &mut out).expect("no refusal");
            group.flush(now, &mut out);
            collect(group.me(), out, &mut flying);
        }
    }
    let first = groups.swap_remove(0);
    assert_eq!(first.view().map(|view| view.members.len()), Some(3));
    (first, now)
}

fn collect(from: Member, out: Effects, flying: &mut VecDeque<(Member, u64, Message)>) {
    for effect in out {
        if let Effect::Send { to, message } = effect {
            flying.extend(to.iter().map(|to| (from, to.get(), message.clone())));
        }
    }
}

/// Turns arbitrary bytes into numbers and messages: often plausible, often at a limit.
struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 128 {
            0 => u64::MAX,
            1 => u64::MAX - 1,
            2 => u64::MAX >> 1,
            3 => (u64::MAX >> 1) + 1,
            4 => 1 << 32,
            other => u64::from(other) % 6,
        }
    }

    fn seq(&mut self) -> Seq {
        Seq::new(self.number())
    }

    fn member(&mut self) -> Member {
        let life = if self.byte() < 200 { 1 } else { self.number() };
        member(1 + self.below(5) as u64, life)
    }

    fn peer(&mut self) -> Member {
        if self.byte() < 220 { member(2 + self.below(2) as u64, 1) } else { self.member() }
    }

    fn counters(&mut self) -> Vec<Seq> {
        let length = if self.byte() < 220 { 3 } else { self.below(6) };
        (0..length).map(|_| self.seq()).collect()
    }

    fn batch(&mut self) -> Vec<Bytes> {
        (0..self.below(4)).map(|_| Bytes::from_static(b"payload")).collect()
    }

    fn heads(&mut self) -> Vec<Bytes> {
        if self.byte() < 200 { Vec::new() } else { self.batch() }
    }

    fn requests(&mut self) -> Vec<(u32, u64)> {
        let count = if self.byte() < 200 { 0 } else { self.below(3) };
        (0..count).map(|_| (self.number() as u32, self.number())).collect()
    }

    fn row(&mut self) -> Row {
        let (received, delivered) = (self.counters(), self.counters());
        let delivered = if self.flip() { vec![Seq::NONE; received.len()] } else { delivered };
        Row { clock: self.number(), sent: self.seq(), received, delivered }
    }

    fn view_id(&mut self, mine: ViewId) -> ViewId {
        match self.below(8) {
            0 => config(Order::ALL[self.below(4)], self.flip()).genesis(),
            1 => ViewId { epoch: mine.epoch.saturating_add(1), ..mine },
            2 => ViewId { lineage: self.number(), epoch: self.number() },
            3 => ViewId { epoch: self.number(), ..mine },
            _ => mine,
        }
    }

    fn view(&mut self, id: ViewId, mine: ViewId) -> View {
        let mut members: Vec<Member> = (0..self.below(5)).map(|_| self.member()).collect();
        if self.flip() {
            members = (1..=3).map(|node| member(node, 1)).collect();
        }
        let mut few = || if self.byte() < 200 { Vec::new() } else { vec![self.member()] };
        let (witnesses, learners) = (few(), few());
        let sides = if self.flip() { Vec::new() } else { self.sides(&members, mine) };
        View { id, changes: vec![(self.member(), Change::Joined)], members, witnesses, learners, sides }
    }

    /// Sides of a view with these members, the first of which comes from the present view.
    fn sides(&mut self, members: &[Member], mine: ViewId) -> Vec<Side> {
        let first = self.below(members.len() + 1);
        let mut sides = vec![Side { closes: mine, cut: self.cut(), members: members[..first].to_vec() }];
        if self.flip() {
            let (closes, cut) = (self.view_id(mine), self.cut());
            sides.push(Side { closes, cut, members: members[first..].to_vec() });
        }
        sides
    }

    /// Often one that nothing stands in the way of.
    fn cut(&mut self) -> Cut {
        Cut(if self.flip() { vec![Seq::NONE; 3] } else { self.counters() })
    }

    fn offer(&mut self) -> Offer {
        let members = (0..self.below(4)).map(|_| self.member()).collect();
        let gone = if self.flip() { Vec::new() } else { vec![(self.member(), Change::Unreachable)] };
        Offer { ballot: self.ballot(), cut: self.cut(), members, gone }
    }

    fn nodes(&mut self) -> Vec<NodeId> {
        (0..self.below(6)).map(|_| self.member().node).collect()
    }

    fn decree(&mut self, mine: ViewId) -> Decree {
        let closes = self.view_id(mine);
        let next = ViewId { epoch: closes.epoch.saturating_add(1), ..closes };
        let opens = if self.byte() < 220 { next } else { self.view_id(mine) };
        Decree { closes, cut: self.cut(), view: self.view(opens, mine) }
    }

    fn ballot(&mut self) -> Ballot {
        Ballot { round: self.number(), by: self.member().node }
    }

    fn purposes(&mut self, count: usize) -> Vec<Purpose> {
        let count = if self.byte() < 220 { count } else { self.below(5) };
        (0..count)
            .map(|_| match self.below(3) {
                0 => Purpose::Message,
                1 => Purpose::Request(self.number()),
                _ => Purpose::Answer(self.number()),
            })
            .collect()
    }

    fn frames(&mut self) -> Vec<Frame> {
        (0..self.below(4))
            .map(|_| Frame {
                seq: self.seq(),
                clock: self.number(),
                after: self.counters(),
                requests: self.requests(),
                heads: self.heads(),
                batch: self.batch(),
            })
            .collect()
    }

    fn body(&mut self, mine: ViewId) -> Body {
        match self.below(32) {
            0..=2 => Body::Data {
                row: self.row(),
                requests: self.requests(),
                heads: self.heads(),
                batch: self.batch(),
            },
            3 => Body::Status { row: self.row(), probe: self.flip() },
            4 => Body::Fetch { rank: self.number() as usize, from: self.seq(), through: self.seq() },
            5 => Body::Refill { rank: self.number() as usize, frames: self.frames() },
            6 => {
                let batch = self.batch();
                Body::Direct { first: self.seq(), purposes: self.purposes(batch.len()), batch }
            }
            7 => Body::DirectDelivered { through: self.seq() },
            8 => Body::AskDelivered { closed: self.view_id(mine) },
            9 => {
                let through = if self.flip() { Some(self.seq()) } else { None };
                Body::ToldDelivered { closed: self.view_id(mine), through }
            }
            10 => {
                let lost = (0..self.below(4)).map(|_| self.member().node).collect();
                Body::Opinion { lost, sealed: self.flip() }
            }
            11 => Body::Confirm { round: self.number() },
            12 => Body::Confirmed { round: self.number() },
            13 => Body::Prepare { ballot: self.ballot() },
            14 => {
                let accepted = if self.flip() { Some((self.ballot(), self.decree(mine))) } else { None };
                let (ballot, activated, holdings) = (self.ballot(), self.flip(), self.counters());
                Body::Promise(Box::new(Promise { ballot, accepted, activated, holdings }))
            }
            15 => Body::Refused { promised: self.ballot() },
            16 => Body::Hold { ballot: self.ballot(), decree: self.decree(mine) },
            17 => Body::Holding { ballot: self.ballot() },
            18 => Body::Accept { ballot: self.ballot(), decree: self.decree(mine) },
            19 => Body::Accepted { ballot: self.ballot() },
            20 => Body::Decided(self.decree(mine)),
            21 => Body::Where,
            22 => {
                let id = self.view_id(mine);
                Body::Current(self.view(id, mine))
            }
            23 => {
                if self.flip() {
                    Body::Gone
                } else {
                    Body::Leave
                }
            }
            24 => Body::Freed { rank: self.number() as usize, first: self.seq() },
            25 => Body::Learning { received: self.counters(), ready: self.flip() },
            26 => Body::Join { hears: self.nodes() },
            27 | 28 => {
                let id = self.view_id(mine);
                let charter = config(Order::ALL[self.below(4)], true).genesis().lineage;
                Body::Side { view: self.view(id, mine), reach: self.nodes(), charter }
            }
            29 => Body::Hears { nodes: self.nodes() },
            30 => Body::AskOffer { ballot: self.ballot() },
            _ => Body::Offer { answers: self.ballot(), offer: self.offer() },
        }
    }

    fn input(&mut self, mine: ViewId, ticket: &mut u64) -> Input {
        *ticket += 1;
        let (payload, next) = (Bytes::from_static(b"mine"), Ticket(*ticket));
        match self.below(24) {
            0 => Input::Submit { ticket: next, head: Bytes::new(), payload },
            1 => Input::SendTo { ticket: next, to: self.member(), payload },
            2 => {
                let to = if self.flip() { Audience::Group } else { Audience::One(self.member()) };
                Input::Ask { ticket: next, to, payload, collect: Collect::Majority }
            }
            3 => {
                Input::Answer { request: RequestId { asker: self.member(), number: self.number() }, payload }
            }
            4 => Input::Reachable(self.peer()),
            5 => Input::Unreachable(self.peer().node),
            6 => {
                if self.byte() < 60 {
                    Input::Stalled
                } else {
                    Input::Wake
                }
            }
            7..=9 => Input::Wake,
            _ => {
                let (from, view) = (self.peer(), self.view_id(mine));
                Input::Received { from, message: Message { view, body: self.body(mine) } }
            }
        }
    }
}

/// What one member can be held to, whatever the others say.
#[derive(Default)]
struct Home {
    view: Option<ViewId>,
    entered: BTreeSet<ViewId>,
    /// Per sender in the present view, the last message delivered.
    last: BTreeMap<Member, (Seq, u32)>,
    fates: BTreeMap<Ticket, Vec<Fate>>,
}

impl Home {
    fn check(&mut self, out: &Effects) {
        for effect in out {
            match effect {
                Effect::Deliver(Event::View(view)) => {
                    assert!(self.entered.insert(view.id), "{} is entered twice", view.id);
                    let former = self.entered.iter().filter(|id| id.lineage == view.id.lineage);
                    assert!(former.max() == Some(&view.id), "{} after a later one", view.id);
                    (self.view, self.last) = (Some(view.id), BTreeMap::new());
                }
                Effect::Deliver(
                    Event::Message { view, sender, seq, index, .. }
                    | Event::Request {
                        view,
                        request: RequestId { asker: sender, .. },
                        place: Some((seq, index)),
                        ..
                    },
                ) => {
                    assert_eq!(Some(*view), self.view, "V1: delivered in another view");
                    let last = self.last.insert(*sender, (*seq, *index));
                    let (seq_before, index_before) = last.unwrap_or_default();
                    let next_in_batch = *seq == seq_before && *index == index_before + 1;
                    assert!(
                        next_in_batch || *seq > seq_before && *index == 0,
                        "V6: {last:?}, then {seq} {index}"
                    );
                }
                Effect::Deliver(Event::Direct { view, .. }) => assert_eq!(Some(*view), self.view),
                Effect::Fate { ticket, fate } => {
                    let fates = self.fates.entry(*ticket).or_default();
                    let ended =
                        fates.iter().any(|it| matches!(it, Fate::Lost | Fate::Unknown | Fate::Delivered));
                    assert!(!ended && !fates.contains(fate), "{ticket:?}: {fates:?}, then {fate:?}");
                    fates.push(*fate);
                }
                _ => {}
            }
        }
    }
}

/// Returns how many views were entered and messages delivered on the way.
fn attack(order: Order, partitionable: bool, bytes: &[u8]) -> (usize, usize) {
    let (mut group, mut now) = founded(order, partitionable);
    let mut dice = Dice(bytes.iter());
    let mut home = Home { view: group.view().map(|view| view.id), ..Home::default() };
    home.entered.extend(home.view);
    let (mut ticket, mut delivered) = (0, 0);
    while dice.0.len() > 0 {
        let mine = group.view().map_or_else(|| config(order, partitionable).genesis(), |view| view.id);
        let input = dice.input(mine, &mut ticket);
        now = now + Duration::from_millis(u64::from(dice.byte()));
        let mut out = Vec::new();
        let done = group.handle(now, input.clone(), &mut out);
        if matches!(done, Err(Refusal::Faulty { .. })) {
            assert!(!out.iter().any(|effect| matches!(effect, Effect::Deliver(_))), "{input:?}: {out:?}");
        }
        group.flush(now, &mut out);
        home.check(&out);
        delivered += out.iter().filter(|it| matches!(it, Effect::Deliver(Event::Message { .. }))).count();
    }
    (home.entered.len() - 1, delivered)
}

/// Views entered and messages delivered under three hundred attacks.
fn reached(partitionable: bool) -> (usize, usize) {
    let (mut views, mut messages, mut state) = (0, 0, 1_u64);
    for _ in 0..300 {
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..2_000).map(|_| byte()).collect();
        let (entered, delivered) = attack(Order::Fifo, partitionable, &bytes);
        (views, messages) = (views + entered, messages + delivered);
    }
    (views, messages)
}

#[test]
fn the_attacks_get_somewhere() {
    for partitionable in [false, true] {
        let (views, messages) = reached(partitionable);
        assert!(
            views > 30 && messages > 100,
            "{views} views, {messages} messages, partitionable: {partitionable}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_group_in_any_order_survives_whatever_its_peers_say(
        order in prop::sample::select(&Order::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        attack(order, false, &bytes);
    }
    #[test]
    fn a_side_of_a_partitionable_group_survives_whatever_its_peers_and_other_sides_say(
        order in prop::sample::select(&Order::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        attack(order, true, &bytes);
    }
}
