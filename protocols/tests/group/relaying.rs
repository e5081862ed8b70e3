//! Long frames go from member to member in parts, and get to everybody when one of them does not hand them on.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::{Body, Fate, Input, SlowPolicy, Ticket, Way};

use crate::world::{World, member, n};

/// Bytes of a long message.
const LONG: usize = 100_000;
/// Bytes of its parts.
const PART: usize = 1_000;

/// What was sent of frames: who to whom, and how many parts each way; `None` for who asked for some.
type Sent = Rc<RefCell<BTreeMap<(NodeId, NodeId, Option<Way>), usize>>>;

/// Counts parts and questions from now on, and loses what is to be lost.
fn watch(world: &mut World, lost: impl Fn(NodeId, NodeId, &Body) -> bool + 'static) -> Sent {
    let sent = Sent::default();
    let count = Rc::clone(&sent);
    world.lose(move |from, to, body| {
        let way = match body {
            Body::Part(part) => Some(Some(part.way)),
            Body::Fetch(_) => Some(None),
            _ => None,
        };
        if let Some(way) = way {
            *count.borrow_mut().entry((from, to, way)).or_default() += 1;
        }
        lost(from, to, body)
    });
    sent
}

fn count(sent: &Sent, from: u64, to: u64, way: Option<Way>) -> usize {
    sent.borrow().get(&(n(from), n(to), way)).copied().unwrap_or_default()
}

fn questions(sent: &Sent) -> usize {
    sent.borrow().iter().filter(|((_, _, way), _)| way.is_none()).map(|(_, times)| times).sum()
}

/// Five members whose frames from `relay_bytes` on are handed on.
fn five(relay_bytes: Option<usize>) -> World {
    World::founded(5, |config| (config.part_bytes, config.relay_bytes) = (PART, relay_bytes))
}

fn send(world: &mut World, ticket: u64, bytes: usize) {
    let payload = Bytes::from(vec![ticket as u8; bytes]);
    world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
}

fn everywhere(world: &World, ticket: u64) -> bool {
    world.fates(1, ticket).contains(&Fate::Everywhere)
}

/// Milliseconds until everybody has the message.
fn took(world: &mut World, ticket: u64) -> u64 {
    let mut millis = 0;
    while !everywhere(world, ticket) {
        world.run(1);
        millis += 1;
        assert!(millis < 10_000, "it never came");
    }
    millis
}

#[test]
fn a_long_frame_leaves_its_sender_once_and_takes_little_longer_than_one_copy() {
    let mut world = five(Some(LONG));
    let sent = watch(&mut world, |_, _, _| false);
    world.throttle_senders(PART);
    send(&mut world, 1, LONG);
    let relayed = took(&mut world, 1);
    for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
        assert_eq!(count(&sent, from, to, Some(Way::Relay)), LONG / PART, "{from} to {to}");
    }
    assert_eq!(sent.borrow().len(), 4, "{sent:?}");
    assert!(relayed < 120, "one copy takes 100 ms of n1, this took {relayed}");

    let mut world = five(None);
    let sent = watch(&mut world, |_, _, _| false);
    world.throttle_senders(PART);
    send(&mut world, 1, LONG);
    assert!(took(&mut world, 1) >= 400, "four copies");
    assert_eq!(count(&sent, 1, 5, Some(Way::Direct)), LONG / PART);
    assert_eq!(questions(&sent), 0, "nothing is asked for of which parts keep coming");
}

#[test]
fn short_frames_go_the_way_of_the_long_ones_before_them_and_directly_after_a_pause() {
    let mut world = five(Some(LONG));
    let sent = watch(&mut world, |_, _, _| false);
    world.throttle_senders(PART);
    for ticket in 1..=30 {
        send(&mut world, ticket, if ticket % 10 == 1 { LONG } else { 500 });
        world.run(2);
    }
    took(&mut world, 30);
    assert_eq!(questions(&sent), 0, "{sent:?}");
    assert!(count(&sent, 1, 2, Some(Way::Relay)) > 3 * LONG / PART, "some were short");
    sent.borrow_mut().clear();
    send(&mut world, 31, 500);
    took(&mut world, 31);
    assert!(sent.borrow().is_empty(), "a frame of its own to each");
    assert!((2..=5).all(|number| world.holdings(number) == world.holdings(1)));
}

#[test]
fn what_is_not_handed_on_is_asked_for_and_the_next_frames_go_to_each() {
    let mut world = five(Some(LONG));
    let sent =
        watch(&mut world, |from, to, body| (from, to) == (n(3), n(4)) && matches!(body, Body::Part(_)));
    send(&mut world, 1, LONG);
    took(&mut world, 1);
    assert_eq!(count(&sent, 1, 4, Some(Way::Refill)), LONG / PART, "{sent:?}");
    sent.borrow_mut().clear();
    send(&mut world, 2, LONG);
    took(&mut world, 2);
    assert!((2..=5).all(|to| count(&sent, 1, to, Some(Way::Direct)) == LONG / PART), "{sent:?}");
    world.lose(|_, _, _| false);
    world.run(20_000);
    let sent = watch(&mut world, |_, _, _| false);
    send(&mut world, 3, LONG);
    took(&mut world, 3);
    assert_eq!(count(&sent, 4, 5, Some(Way::Relay)), LONG / PART, "it is tried again");
}

#[test]
fn a_member_that_dies_with_a_frame_in_its_hands_is_passed_over() {
    let mut world = five(Some(LONG));
    world.throttle_senders(PART);
    send(&mut world, 1, LONG);
    world.run(50);
    world.crash(3);
    for by in [1, 2, 4, 5] {
        world.unreachable(by, 3);
    }
    world.run(5_000);
    assert!(everywhere(&world, 1), "{:?}", world.fates(1, 1));
    assert!([1, 2, 4, 5].iter().all(|number| world.view(*number).members.len() == 4));
    let sent = watch(&mut world, |_, _, _| false);
    send(&mut world, 2, LONG);
    took(&mut world, 2);
    assert_eq!(count(&sent, 2, 4, Some(Way::Relay)), LONG / PART, "{sent:?}");
}

#[test]
fn a_learner_gets_a_copy_of_its_own() {
    let mut world = World::founded(4, |config| {
        (config.part_bytes, config.relay_bytes, config.state_transfer) = (PART, Some(LONG), true);
    });
    world.start(5);
    world.run(400);
    assert_eq!(world.view(5).learners, [member(5)]);
    let sent = watch(&mut world, |_, _, _| false);
    send(&mut world, 1, LONG);
    took(&mut world, 1);
    assert_eq!(count(&sent, 1, 5, Some(Way::Direct)), LONG / PART);
    assert_eq!(count(&sent, 3, 4, Some(Way::Relay)), LONG / PART);
    assert_eq!(world.holdings(5), world.holdings(1));
}

#[test]
fn a_slow_member_in_the_row_is_found_out_whichever_it_is_and_the_others_go_on() {
    for slow in 2..=5 {
        let mut world = World::founded(5, |config| {
            (config.part_bytes, config.relay_bytes) = (PART, Some(LONG));
            (config.slow, config.lag_for) = (SlowPolicy::Evict, Duration::from_secs(2));
        });
        world.throttle(slow, 5); // a part in 200 ms: it is never silent for long
        for ticket in 1..=8 {
            send(&mut world, ticket, LONG);
        }
        let members = |world: &World| world.view(1).members.iter().map(|m| m.node.get()).collect::<Vec<_>>();
        let mut millis = 0;
        while members(&world).contains(&slow) {
            world.run(100);
            millis += 100;
            assert!(millis < 10_000, "n{slow} is not found out");
        }
        assert_eq!(members(&world).len(), 4, "only n{slow} has to go");
        took(&mut world, 8);
    }
}

#[test]
fn who_comes_last_in_the_row_is_not_taken_for_slow() {
    let mut world = World::founded(5, |config| {
        (config.part_bytes, config.relay_bytes) = (PART, Some(20_000));
        (config.slow, config.lag_for, config.lag_bytes_max) =
            (SlowPolicy::Evict, Duration::from_secs(2), PART);
    });
    world.throttle_senders(PART);
    for ticket in 1..=300 {
        send(&mut world, ticket, 20_000);
        world.run(20); // as long as a node needs to send it once
    }
    took(&mut world, 300);
    assert_eq!(world.view(1).members.len(), 5, "{:?}", world.view(1));
}

#[test]
fn a_window_of_frames_that_is_lost_comes_again_as_fast_as_answers_do() {
    let mut world = World::founded(3, |_| {});
    let lost = |from, to, body: &Body| (from, to) == (n(1), n(3)) && matches!(body, Body::Data { .. });
    watch(&mut world, lost);
    for ticket in 1..=16 {
        send(&mut world, ticket, 60_000);
    }
    assert!(took(&mut world, 16) < 400, "the first question comes after a quarter of a second");
}

#[test]
fn a_long_frame_is_sent_again_once_however_long_its_parts_take() {
    let sent_again = |rate: usize, crash: bool| {
        let long = 16 << 20;
        let mut world = World::founded(3, |config| config.window_bytes = 64 << 20);
        let sent = watch(&mut world, |from, to, body| {
            (from, to) == (n(1), n(3)) && matches!(body, Body::Part(part) if part.way == Way::Direct)
        });
        send(&mut world, 1, long);
        world.run(20);
        world.throttle(3, rate);
        if crash {
            world.crash(1);
            world.unreachable(2, 1);
            world.unreachable(3, 1);
        }
        let mut millis = 0;
        while world.holdings(3)[0].get() == 0 && world.view(3).members.len() == 3 {
            world.run(10);
            millis += 10;
            assert!(millis < 60_000, "it never came");
        }
        count(&sent, if crash { 2 } else { 1 }, 3, Some(Way::Refill))
    };
    for rate in [40_000, 10_000] {
        let again = sent_again(rate, false);
        assert!((32..=40).contains(&again), "{again} parts of 32 at {rate} bytes per ms");
        let again = sent_again(rate, true);
        assert!(again <= 3 * 32, "{again} parts of 32 while the view is closed, at {rate} bytes per ms");
    }
}

#[test]
fn a_link_that_was_slow_long_ago_does_not_delay_what_is_lost_now() {
    for quiet in [6_000, 16_000] {
        let mut world = World::founded(3, |config| config.part_bytes = 10 * PART);
        let lost = Rc::new(RefCell::new(false));
        let loses = Rc::clone(&lost);
        world.lose(move |_, to, body| {
            *loses.borrow() && to == n(3) && matches!(body, Body::Data { .. } | Body::Part(_))
        });
        // What n3 asks for comes as well, behind what comes by itself.
        world.throttle(3, 20);
        for ticket in [1, 2] {
            send(&mut world, ticket, 20 * PART);
            took(&mut world, ticket);
        }
        world.throttle(3, usize::MAX);
        world.run(quiet); // copies that were asked for have come
        *lost.borrow_mut() = true;
        send(&mut world, 3, 10);
        world.run(1);
        *lost.borrow_mut() = false;
        let again = took(&mut world, 3);
        assert!(again <= 600, "it took {again} ms, {quiet} ms later");
    }
}
