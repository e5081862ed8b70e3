//! Members that hold the others back, under the three policies.

use std::time::Duration;

use quorate_membership::Change;
use quorate_protocols::{Body, Effect, Event, SlowPolicy, Wait};

use crate::world::{World, member, n};

/// What a message of a byte weighs that a member lacks.
const LACKS: usize = 64;

/// Three members of whom the third gets no messages, with the limit at two seconds.
fn world(slow: SlowPolicy) -> World {
    let mut world = World::founded(3, |config| {
        config.slow = slow;
        config.lag_for = Duration::from_secs(2);
    });
    stop(&mut world);
    world.submit(1, 1, "a");
    world
}

fn stop(world: &mut World) {
    stop_node(world, 3);
}

fn stop_node(world: &mut World, node: u64) {
    world.lose(move |_, to, body| to == n(node) && matches!(body, Body::Data { .. } | Body::Refill { .. }));
}

fn lagging(told: &[Effect]) -> Vec<(u64, bool)> {
    let report = |effect: &Effect| match effect {
        Effect::Deliver(Event::Lagging { member, policy_acts_at, .. }) => {
            Some((member.node.get(), policy_acts_at.is_some()))
        }
        _ => None,
    };
    told.iter().filter_map(report).collect()
}

#[test]
fn a_blocking_group_waits_and_says_for_whom() {
    let mut world = world(SlowPolicy::Block);
    world.run(10_000);
    assert_eq!(world.view(1).members.len(), 3);
    assert_eq!(lagging(&world.told(1)), [(3, false)]);
    assert!(
        matches!(world.waits(1)[..], [Wait::Slow { member: slow, acts_at: None, .. }] if slow == member(3))
    );
    world.lose(|_, _, _| false);
    world.run(200);
    assert!(world.told(1).contains(&Effect::Deliver(Event::CaughtUp { member: member(3) })));
    assert_eq!(world.waits(1), []);
}

#[test]
fn all_know_how_far_each_of_them_is() {
    let mut world = world(SlowPolicy::Demote);
    world.run(1000);
    assert_eq!(world.frontiers(1), [(1, 1, None), (2, 1, Some(0)), (3, 0, Some(LACKS))]);
    assert_eq!(world.frontiers(3), [(1, 1, Some(0)), (2, 1, Some(0)), (3, 0, None)]);
    world.run(1500);
    world.submit(1, 2, "b");
    world.run(1000);
    // Learners come last, and know of themselves what they have.
    assert_eq!(world.frontiers(2), [(1, 1, Some(0)), (2, 1, None), (3, 0, Some(LACKS))]);
    world.lose(|_, _, _| false);
    world.run(600);
    assert_eq!(world.view(3).learners, [member(3)]);
    assert_eq!(world.frontiers(3), [(1, 1, Some(0)), (2, 1, Some(0)), (3, 1, None)]);
}

#[test]
fn an_evicting_group_removes_it_in_time_and_takes_it_back_after_the_back_off() {
    let mut world = world(SlowPolicy::Evict);
    world.run(1900);
    assert_eq!(world.view(1).members.len(), 3);
    assert_eq!(lagging(&world.told(1)), [(3, true)]);
    world.run(500);
    assert_eq!(world.view(1).changes, [(member(3), Change::TooSlow)]);
    world.lose(|_, _, _| false);
    world.run(1000);
    assert_eq!(world.view(1).members.len(), 2, "it must not come back at once");
    world.run(1500);
    assert_eq!(world.view(1).members.len(), 3);
}

#[test]
fn a_demoting_group_goes_on_without_waiting_and_promotes_it_when_it_keeps_up() {
    let mut world = world(SlowPolicy::Demote);
    world.run(2500);
    assert_eq!(world.view(1).learners, [member(3)]);
    assert_eq!(world.view(1).changes, [(member(3), Change::TooSlow)]);
    world.submit(1, 2, "b");
    world.run(3000);
    assert_eq!(world.delivered(2), ["a", "b"]);
    assert_eq!(world.view(1).learners, [member(3)], "it does not keep up");
    world.lose(|_, _, _| false);
    world.run(1000);
    assert_eq!(world.view(1).members.len(), 3);
    assert_eq!(world.delivered(3), ["a", "b"]);
}

#[test]
fn one_that_is_too_slow_again_stays_out_twice_as_long() {
    let mut world = world(SlowPolicy::Evict);
    world.run(2500);
    world.lose(|_, _, _| false);
    world.run(2500);
    assert_eq!(world.view(1).members.len(), 3);
    stop(&mut world);
    world.submit(1, 2, "b");
    world.run(2500);
    world.lose(|_, _, _| false);
    world.run(3000);
    assert_eq!(world.view(1).members.len(), 2);
    world.run(1500);
    assert_eq!(world.view(1).members.len(), 3);
}

#[test]
fn a_coordinator_that_is_too_slow_is_judged_by_the_next() {
    let mut world = World::founded(3, |config| {
        config.slow = SlowPolicy::Evict;
        config.lag_for = Duration::from_secs(2);
    });
    world.lose(|_, to, body| to == n(1) && matches!(body, Body::Data { .. } | Body::Refill { .. }));
    world.submit(2, 1, "a");
    world.run(3500);
    assert_eq!(world.view(2).changes, [(member(1), Change::TooSlow)]);
}

#[test]
fn the_only_receiver_is_not_slow_for_what_its_sender_has_on_the_way() {
    let mut world = World::founded(2, |config| {
        config.slow = SlowPolicy::Demote;
        (config.lag_for, config.lag_bytes_max, config.batch_bytes) = (Duration::from_secs(1), 1000, 500);
    });
    world.throttle(2, 32);
    for ticket in 0..3000 {
        world.submit(1, ticket, "a message");
        world.run(1);
    }
    assert!(world.frontiers(1)[1].2.is_some_and(|bytes| bytes > 1000), "{:?}", world.frontiers(1));
    assert_eq!(world.view(1).members.len(), 2);
    stop_node(&mut world, 2);
    world.submit(1, 3000, "a message");
    world.run(1500);
    assert_eq!(world.view(1).learners, [member(2)], "it gets nothing for longer than it may");
}
