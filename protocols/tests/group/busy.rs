//! What a group says while its nodes are so busy with other groups that each answer comes late. What is asked again for
//! want of an answer that is on its way keeps them busier still, so it is messages that are counted.

use quorate_membership::Member;
use quorate_protocols::{Body, Input};

use crate::world::{World, member, n};

fn founders() -> Vec<Member> {
    (1..=3).map(member).collect()
}

/// Starts three founders; what was sent until all is quiet. Each message takes so long.
fn founding(millis: u64) -> u64 {
    let mut world = World::empty(3);
    world.delay(millis);
    (1..=3).for_each(|number| world.start(number));
    world.run(10_000);
    let first = world.view(1);
    assert_eq!((first.id.epoch, &first.members), (1, &founders()));
    assert_eq!([2, 3].map(|number| world.view(number)), [(); 2].map(|()| first.clone()));
    world.sent()
}

#[test]
fn a_founding_says_nothing_twice() {
    // Questions, promises, decrees, words that they are held, questions for votes, votes and decisions, two each; rows
    // of all to all; and what a founder says to one before it that comes into reach, or is told by it.
    let sent = founding(1);
    assert!(sent <= 2 * 7 + 6 + 8, "{sent} messages");
}

#[test]
fn founders_that_answer_late_are_all_in_the_first_view_and_asked_but_a_few_times() {
    let prompt = founding(1);
    for millis in [50, 100, 200, 250] {
        let sent = founding(millis);
        assert!(sent <= prompt * 2, "{sent} messages of {millis} ms, and {prompt} of 1 ms");
    }
}

#[test]
fn a_founder_whose_node_is_in_reach_is_waited_for_until_a_majority_may_go_on() {
    let mut world = World::empty(3);
    world.start(1);
    world.start(2);
    // Its node is there, but the group does not begin.
    for number in [1, 2] {
        world.input(number, Input::Reachable(member(3))).unwrap();
    }
    let founding = world.config().timing.founding().as_millis() as u64;
    world.run(founding - 100);
    assert!(world.view(1).id.is_genesis(), "{}", world.view(1));
    world.run(200);
    assert_eq!(world.view(1).members, [member(1), member(2)]);
}

/// What is sent when the last of three members dies, until all is quiet. Each message takes so long.
fn death(millis: u64) -> u64 {
    let mut world = World::founded(3, |_| {});
    world.delay(millis);
    let before = world.sent();
    world.crash(3);
    world.run(10_000);
    for number in [1, 2] {
        assert_eq!(world.view(number).members, [member(1), member(2)]);
        assert_eq!(world.view(number).id.epoch, 2);
    }
    world.sent() - before
}

#[test]
fn members_that_answer_late_lose_a_dead_one_at_once_and_are_asked_but_a_few_times() {
    let prompt = death(1);
    for millis in [50, 100, 200] {
        let sent = death(millis);
        assert!(sent <= prompt * 4, "{sent} messages of {millis} ms, and {prompt} of 1 ms");
    }
}

#[test]
fn members_that_enter_a_view_late_are_asked_alone_and_at_the_pace_of_a_founding() {
    let mut world = World::empty(3);
    // Nothing of the first view gets to the third founder for a while.
    world.lose(|_, to, body| to == n(3) && matches!(body, Body::Decided(_) | Body::Status { .. }));
    (1..=3).for_each(|number| world.start(number));
    world.run(100);
    assert!(world.view(3).id.is_genesis() && world.view(2).members == founders());
    let before = world.sent();
    world.run(2_900);
    let asked = world.sent() - before;
    assert!((1..=20).contains(&asked), "{asked} messages");
    world.lose(|_, _, _| false);
    world.run(2_000);
    assert_eq!(world.view(3), world.view(1));
}
