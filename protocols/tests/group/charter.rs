//! Nodes that take a group for different groups.

use quorate_membership::{Incarnation, Member};
use quorate_protocols::{Effect, Event, GroupConfig, Order, Wait};

use crate::world::{World, member, n};

fn strangers(told: &[Effect]) -> Vec<(u64, String)> {
    let stranger = |effect: &Effect| match effect {
        Effect::Deliver(Event::Stranger { member, differs }) => Some((member.node.get(), differs.clone())),
        _ => None,
    };
    told.iter().filter_map(stranger).collect()
}

type Difference = (fn(&mut GroupConfig), &'static str);

/// Differences that matter, and the words for them at the one who differs.
fn differences() -> [Difference; 5] {
    [
        (|config| config.order = Order::Fifo, "order is fifo here and uniform there"),
        (|config| config.state_transfer = true, "state is on here and off there"),
        (|config| config.witnesses = vec![n(9)], "witnesses is n9 here and none there"),
        (|config| config.application = 7, "what the application binds to the group differs"),
        (|config| config.founders.push(n(9)), "founders is n1, n2, n3, n9 here and n1, n2, n3 there"),
    ]
}

#[test]
fn a_newcomer_that_takes_the_group_for_another_stays_out_and_both_sides_learn_why() {
    for (change, words) in differences() {
        let mut world = World::founded(3, |_| {});
        world.start_otherwise(member(4), change);
        world.run(3000);
        assert_eq!(world.view(1).members.len(), 3, "{words}");
        assert!(strangers(&world.told(4)).contains(&(1, words.to_owned())), "{words}");
        let [(4, there)] = &strangers(&world.told(1))[..] else { panic!("told once: {words}") };
        assert!(!there.is_empty());
        assert!(
            world.waits(1).iter().any(|wait| matches!(wait, Wait::Stranger { node, .. } if *node == n(4)))
        );
        world.submit(1, 1, "a");
        world.run(100);
        assert_eq!(world.delivered(3), ["a"], "nobody else is disturbed");
    }
}

#[test]
fn once_it_is_set_up_anew_it_is_taken_in() {
    let mut world = World::founded(3, |_| {});
    world.start_otherwise(member(4), |config| config.order = Order::Causal);
    world.run(1000);
    world.crash(4);
    assert_eq!(world.waits(1), [], "who is gone is not waited for");
    let second = Member::new(n(4), Incarnation::new(2));
    world.start_as(second, None);
    world.run(2000);
    assert_eq!(world.view(1).members.last(), Some(&second));
    assert_eq!(world.waits(1), []);
}

#[test]
fn founders_found_the_group_without_the_one_that_differs_even_if_it_is_the_first() {
    let mut world = World::empty(3);
    world.start_otherwise(member(1), |config| config.order = Order::Total);
    world.start(2);
    world.start(3);
    world.run(10_000);
    assert_eq!(world.view(2).members, [member(2), member(3)]);
    assert_eq!(world.view(3), world.view(2));
    assert!(world.view(1).id.is_genesis());
    assert!(strangers(&world.told(1)).contains(&(2, "order is total here and uniform there".to_owned())));
}

#[test]
fn sides_of_a_partitionable_group_that_differ_do_not_merge() {
    let mut world = World::founded(2, |config| config.partitionable = true);
    world.start_otherwise(member(3), |config| config.order = Order::Fifo);
    world.run(3000);
    assert_eq!(world.view(1).members, [member(1), member(2)]);
    assert_eq!(world.view(3).members, [member(3)]);
    assert!(!strangers(&world.told(3)).is_empty());
}
