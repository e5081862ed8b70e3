//! One member whose peers all lie.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;
use quorate_membership::{Member, Time};
use quorate_protocols::{Effect, Effects, Event, Group, Input, Message, Order, Refusal};

use crate::{config, dice::Dice, home::Home, member};

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
            flying.extend(to.iter().map(|to| (from, to.get(), (*message).clone())));
        }
    }
}

/// Returns how many views were entered and messages delivered on the way.
fn attack(order: Order, partitionable: bool, bytes: &[u8]) -> (usize, usize) {
    let (mut group, mut now) = founded(order, partitionable);
    let mut dice = Dice::new(bytes);
    let mut home = Home::inside(group.view().map(|view| view.id));
    let (mut ticket, mut delivered) = (0, 0);
    while !dice.is_empty() {
        let mine = group.view().map_or_else(|| config(order, partitionable).genesis(), |view| view.id);
        let input = dice.input(mine, &mut ticket);
        // Now and then the clock jumps, for hours or to its end.
        now = now
            + match dice.byte() {
                0 => Duration::from_secs(dice.number()),
                millis => Duration::from_millis(millis.into()),
            };
        let mut out = Vec::new();
        let done = group.handle(now, input.clone(), &mut out);
        if matches!(done, Err(Refusal::Faulty { .. })) {
            assert!(!out.iter().any(|effect| matches!(effect, Effect::Deliver(_))), "{input:?}: {out:?}");
        }
        group.flush(now, &mut out);
        let out: Effects = out.into_iter().flat_map(Effect::each).collect();
        home.check(&out);
        delivered += out.iter().filter(|it| matches!(it, Effect::Deliver(Event::Message { .. }))).count();
    }
    (home.views(), delivered)
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
