//! Missing frames are asked for as often as is needed, and not sent twice while they are on their way.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use quorate_membership::Seq;
use quorate_protocols::{Body, Input, Ticket};

use crate::world::{World, member, n};

/// How often each frame of n1 was sent again to n4.
type Again = Rc<RefCell<BTreeMap<Seq, u32>>>;

/// Loses everything that is sent to n4 while `losing`, and counts the frames that are sent again.
fn counting(world: &mut World, losing: bool) -> Again {
    let again = Again::default();
    let count = Rc::clone(&again);
    world.lose(move |_, to, body| {
        if let (true, Body::Refill { frames, .. }) = (to == n(4), body) {
            for frame in frames {
                *count.borrow_mut().entry(frame.seq).or_default() += 1;
            }
        }
        losing && to == n(4)
    });
    again
}

/// A learner that misses `frames` frames of 20 kB, of which a later one tells it when the network is as it is to be.
fn behind(frames: u64, change: impl FnOnce(&mut World)) -> (World, Again) {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    world.start(4);
    world.run(400);
    assert_eq!(world.view(4).learners, [member(4)]);
    counting(&mut world, true);
    let send = |world: &mut World, ticket| {
        let payload = Bytes::from(vec![7; 20_000]);
        world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
        world.run(20);
    };
    (1..=frames).for_each(|ticket| send(&mut world, ticket));
    let again = counting(&mut world, false);
    change(&mut world);
    send(&mut world, frames + 1);
    (world, again)
}

fn frames_held(world: &World) -> u64 {
    world.holdings(4)[0].get()
}

#[test]
fn a_learner_on_a_slow_link_is_not_sent_again_what_is_on_its_way() {
    let (mut world, again) = behind(60, |world| world.throttle(4, 100));
    let mut took = 0;
    while frames_held(&world) < 61 {
        world.run(100);
        took += 100;
        assert!(took < 60_000, "{} frames are here", frames_held(&world));
    }
    assert!(again.borrow().values().all(|times| *times == 1), "{again:?}");
    assert!(took <= 14_000, "1.2 MB at 100 kB/s took {took} ms");
}

#[test]
fn a_learner_on_a_fast_link_catches_up_as_fast_as_answers_come() {
    let (mut world, again) = behind(100, |_| {});
    world.run(100);
    assert_eq!(frames_held(&world), 101, "2 MB in eight answers, and not one at each tick");
    assert!(again.borrow().values().all(|times| *times == 1), "{again:?}");
}

#[test]
fn a_tail_that_is_only_slow_is_waited_for() {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    world.start(4);
    world.run(400);
    world.throttle(4, 2000);
    let again = counting(&mut world, false);
    // Counters overtake data: n4 hears at once of frames that come one after the other.
    for ticket in 0..60 {
        let payload = Bytes::from(vec![7; 30_000]);
        world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
        world.run(10);
    }
    assert!(world.holdings(4) < world.holdings(1), "some are on their way");
    world.run(2000);
    assert_eq!(world.holdings(4), world.holdings(1));
    assert!(again.borrow().is_empty(), "{again:?}");
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let (mut world, _) = behind(10, |world| {
        world.lose(|_, to, body| to == n(4) && matches!(body, Body::Refill { .. }));
    });
    world.run(300);
    assert_eq!(frames_held(&world), 0);
    world.lose(|_, _, _| false);
    world.run(3000);
    assert_eq!(frames_held(&world), 11);
}

#[test]
fn of_a_tail_one_frame_is_asked_for_and_the_rest_when_it_comes_as_an_answer() {
    let mut world = World::founded(3, |_| {});
    let asked = Rc::new(RefCell::new(Vec::new()));
    let questions = Rc::clone(&asked);
    world.lose(move |from, to, body| {
        if let (true, Body::Fetch(gap)) = (from == n(3), body) {
            questions.borrow_mut().push((gap.from.get(), gap.through == gap.from));
        }
        to == n(3) && matches!(body, Body::Data { .. })
    });
    for (ticket, payload) in [(1, "a"), (2, "b"), (3, "c")] {
        world.submit(1, ticket, payload);
        world.run(2);
    }
    world.run(200);
    assert_eq!(world.delivered(3), ["a", "b", "c"]);
    assert_eq!(*asked.borrow(), [(1, true), (2, false)]);
}
