//! One lying member among honest ones: in a group with state and a newcomer, with a witness, with
//! learners, and in a partitionable one.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use proptest::{prelude::*, sample::select};
use quorate_membership::{Member, NodeId, Seq, Time, ViewId};
use quorate_protocols::{
    Body, Effect, Effects, Event, Group, GroupConfig, Input, Message, Order, Refusal, Ticket,
};

use crate::{config, dice::Dice, home::Home, member};

const STATE: &[u8] = b"the state";
/// Members 1 to 3 found it, 4 votes only or comes later; 3 lies.
const LIAR: u64 = 3;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Plain,
    /// The fourth has been admitted as a learner, and gets its state.
    State,
    Witness,
    Sides,
}

/// A delivered message: its sender and place, and what it says.
type Delivered = (Member, Seq, u32, Bytes);

struct Crew {
    order: Order,
    groups: BTreeMap<u64, Group>,
    homes: BTreeMap<u64, Home>,
    now: Time,
    flying: VecDeque<(Member, u64, Message)>,
    /// Per member and view, what was delivered of honest senders, in order.
    delivered: BTreeMap<(u64, ViewId), Vec<Delivered>>,
    ticket: u64,
    /// The bytes of all that the liar has said, and of all submissions.
    said_bytes: usize,
}

impl Crew {
    fn new(kind: Kind, order: Order) -> Self {
        let mut config = config(order, kind == Kind::Sides);
        config.state_transfer = kind == Kind::State;
        if kind == Kind::Witness {
            config.witnesses = vec![NodeId::new(4)];
        }
        let mut crew = Self {
            order,
            groups: BTreeMap::new(),
            homes: BTreeMap::new(),
            now: Time::ZERO,
            flying: VecDeque::new(),
            delivered: BTreeMap::new(),
            ticket: 0,
            said_bytes: 0,
        };
        let founders = if kind == Kind::Witness { 4 } else { 3 };
        (1..=founders).for_each(|number| crew.start(number, &config));
        crew.settle(70);
        if kind == Kind::State {
            crew.start(4, &config);
            // It is a learner while its state is on its way.
            crew.settle(4);
        }
        let views = crew.groups.values().filter_map(Group::view);
        assert!(views.filter(|view| view.members.len() >= 3).count() >= 3, "{kind:?} has begun");
        crew
    }

    fn start(&mut self, number: u64, config: &GroupConfig) {
        let others: Vec<u64> = self.groups.keys().copied().collect();
        self.groups.insert(number, Group::new(config.clone(), member(number, 1), self.now));
        self.homes.insert(number, Home::default());
        for other in others {
            self.feed(number, &Input::Reachable(member(other, 1)));
            self.feed(other, &Input::Reachable(member(number, 1)));
        }
    }

    fn view_of(&self, number: u64) -> ViewId {
        let group = &self.groups[&number];
        group.view().map_or(ViewId { lineage: 0, epoch: 0 }, |view| view.id)
    }

    fn feed(&mut self, number: u64, input: &Input) {
        let group = self.groups.get_mut(&number).expect("it runs");
        let mut out = Effects::new();
        let done = group.handle(self.now, input.clone(), &mut out);
        if matches!(done, Err(Refusal::Faulty { .. })) {
            let delivers = out.iter().any(|effect| matches!(effect, Effect::Deliver(_)));
            assert!(!delivers, "{input:?}: {out:?}");
        }
        group.flush(self.now, &mut out);
        let out: Effects = out.into_iter().flat_map(Effect::each).collect();
        self.homes.get_mut(&number).expect("it runs").check(&out);
        self.perform(number, out);
    }

    fn perform(&mut self, number: u64, out: Effects) {
        let from = self.groups[&number].me();
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    self.flying.extend(to.iter().map(|to| (from, to.get(), (*message).clone())));
                }
                Effect::Deliver(Event::TakeSnapshot { view, .. }) => {
                    let state = Bytes::from_static(STATE);
                    self.feed(number, &Input::Snapshot { view, state });
                }
                Effect::Deliver(Event::Message { view, sender, seq, index, payload, .. })
                    if sender.node != NodeId::new(LIAR) =>
                {
                    let all = self.delivered.entry((number, view)).or_default();
                    all.push((sender, seq, index, payload));
                }
                _ => {}
            }
        }
    }

    /// So many ticks pass, in which everything arrives.
    fn settle(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.now = self.now + Duration::from_millis(50);
            let all: Vec<u64> = self.groups.keys().copied().collect();
            for number in all {
                self.feed(number, &Input::Wake);
            }
            // Whoever answers each answer would go on for ever.
            for _ in 0..2_000 {
                let Some((from, to, message)) = self.flying.pop_front() else { break };
                if self.groups.contains_key(&to) {
                    self.feed(to, &Input::Received { from, message });
                }
            }
            assert!(self.flying.len() < 2_000, "{} messages are on their way", self.flying.len());
        }
    }

    fn submit(&mut self, number: u64) {
        self.ticket += 1;
        let payload = Bytes::from(format!("message {}", self.ticket));
        self.said_bytes += payload.len();
        self.feed(number, &Input::Submit { ticket: Ticket(self.ticket), head: Bytes::new(), payload });
    }

    fn lie(&mut self, to: u64, body: Body) {
        let view = self.view_of(to);
        let message = Message { view, body };
        self.said_bytes += format!("{message:?}").len();
        self.feed(to, &Input::Received { from: member(LIAR, 1), message });
    }

    /// What honest members have delivered of each other in one view is the same, as far as each came.
    fn check_alike(&self) {
        let honest = |number: u64| number != LIAR;
        for ((one, view), mine) in self.delivered.iter().filter(|((number, _), _)| honest(*number)) {
            for other in self.groups.keys().copied().filter(|number| honest(*number) && number != one) {
                let Some(theirs) = self.delivered.get(&(other, *view)) else { continue };
                if self.order.is_total() {
                    assert!(
                        mine.iter().zip(theirs).all(|(a, b)| a == b),
                        "n{one} {mine:?}, n{other} {theirs:?}"
                    );
                }
                for sender in (1..=4).map(|number| member(number, 1)) {
                    let of = |all: &Vec<Delivered>| {
                        all.iter().filter(|it| it.0 == sender).cloned().collect::<Vec<_>>()
                    };
                    assert!(of(mine).iter().zip(&of(theirs)).all(|(a, b)| a == b), "of {sender} in {view}");
                }
            }
        }
    }

    /// Nobody keeps more than a small multiple of what was said, and no more state than it was given.
    fn check_bounds(&self) {
        for (number, group) in self.groups.iter().filter(|(number, _)| **number != LIAR) {
            let kept = format!("{group:?}").len();
            assert!(kept < 400_000 + 60 * self.said_bytes, "n{number} keeps {kept} for {}", self.said_bytes);
            assert!(group.snapshot_bytes() <= 32 * STATE.len());
            assert!(group.past_bytes() <= 60 * self.said_bytes + 100_000);
        }
    }
}

/// Lies to honest members between their own messages. Returns how much honest members delivered.
fn attack(kind: Kind, order: Order, bytes: &[u8], mild: bool) -> usize {
    let mut crew = Crew::new(kind, order);
    let mut dice = Dice::new(bytes);
    while !dice.is_empty() {
        let victims: Vec<u64> = crew.groups.keys().copied().filter(|number| *number != LIAR).collect();
        let to = victims[dice.below(victims.len())];
        match dice.below(8) {
            0 => crew.settle(1),
            1 => crew.submit(to),
            _ => {
                let mine = crew.view_of(to);
                let body = if mild { dice.own_saying(mine, 2) } else { dice.saying(mine) };
                crew.lie(to, body);
            }
        }
    }
    crew.settle(2);
    crew.check_bounds();
    if mild {
        crew.check_alike();
    }
    crew.delivered.iter().filter(|((number, _), _)| *number != LIAR).map(|(_, all)| all.len()).sum()
}

const KINDS: [Kind; 4] = [Kind::Plain, Kind::State, Kind::Witness, Kind::Sides];

#[test]
fn honest_members_deliver_beside_a_liar() {
    for kind in KINDS {
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let attacks = (0..40).map(|_| (0..600).map(|_| byte()).collect::<Vec<u8>>());
        let delivered: usize = attacks.map(|bytes| attack(kind, Order::Fifo, &bytes, true)).sum();
        assert!(delivered > 200, "{kind:?}: {delivered} messages");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_liar_makes_nobody_deliver_others_messages_differently(
        kind in select(&KINDS[..]), order in select(&Order::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..800),
    ) {
        attack(kind, order, &bytes, true);
    }

    #[test]
    fn whatever_a_liar_says_nobody_panics_breaks_a_promise_at_home_or_keeps_more_than_was_said(
        kind in select(&KINDS[..]), order in select(&Order::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..800),
    ) {
        attack(kind, order, &bytes, false);
    }
}
