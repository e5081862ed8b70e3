//! What a sender is told of its message, in every order.

use quorate_protocols::{Body, Effect, Event, Fate, Order, Wait};

use crate::world::{World, n};

#[test]
fn in_every_order_a_message_is_uniform_and_then_everywhere() {
    for order in Order::ALL {
        let mut world = World::founded(3, |config| config.order = order);
        world.submit(1, 1, "a");
        world.run(20);
        assert_eq!(world.fates(1, 1), [Fate::Uniform, Fate::Everywhere], "{order}");
    }
}

#[test]
fn a_message_is_not_uniform_while_what_caused_it_may_still_be_lost() {
    let mut world = World::founded(5, |config| config.order = Order::Causal);
    // Only 1 gets what 5 says; 1 answers to it and everybody has the answer.
    world.lose(|from, to, _| from == n(5) && to != n(1));
    world.submit(5, 1, "cause");
    world.run(10);
    world.submit(1, 2, "effect");
    world.run(20);
    assert_eq!(world.delivered(1), ["cause", "effect"]);
    assert_eq!(world.fates(1, 2), [], "a majority holds the effect, but not its cause");
    world.crash(5);
    world.crash(1);
    world.run(3000);
    assert_eq!(world.view(2).members.len(), 3);
    assert_eq!([2, 3, 4].map(|number| world.delivered(number)), [[""; 0]; 3]);
}

#[test]
fn a_delivery_is_not_called_uniform_while_what_caused_the_message_may_still_be_lost() {
    let mut world = World::founded(5, |config| config.order = Order::Causal);
    // Only 1 gets what 5 says; everybody has 1's answer to it before 5 has.
    world.lose(|from, to, body| from == n(5) && to != n(1) && matches!(body, Body::Data { .. }));
    world.submit(5, 1, "cause");
    world.run(10);
    world.lose(|from, to, _| from == n(5) && to != n(1) || from == n(1) && to == n(5));
    world.submit(1, 2, "effect");
    world.run(20);
    world.lose(|from, to, _| from == n(5) && to != n(1));
    world.run(100);
    let told = world.told(5);
    let marks = told.iter().filter_map(|effect| match effect {
        Effect::Deliver(Event::Message { uniform, .. }) => Some(*uniform),
        _ => None,
    });
    assert_eq!(marks.collect::<Vec<_>>(), [false, false]);
}

#[test]
fn a_message_that_only_others_can_still_supply_is_fetched_from_them() {
    let mut world = World::founded(3, |config| config.order = Order::Fifo);
    world.lose(|from, to, _| from == n(1) && to == n(3));
    world.submit(1, 1, "a");
    world.run(20);
    assert_eq!(world.delivered(3), [""; 0]);
    world.unreachable(3, 1);
    world.run(200);
    assert_eq!(world.delivered(3), ["a"]);
}

#[test]
fn a_message_that_nobody_else_received_is_lost_with_its_sender() {
    let mut world = World::founded(3, |_| {});
    world.lose(|from, _, body| from == n(1) && matches!(body, Body::Data { .. } | Body::Refill { .. }));
    world.submit(1, 1, "a");
    world.run(10);
    world.lose(|from, to, _| from == n(1) || to == n(1));
    for (a, b) in [(1, 2), (1, 3), (2, 1), (3, 1)] {
        world.unreachable(a, b);
    }
    world.run(2000);
    assert_eq!(world.view(2).members.len(), 2);
    world.lose(|_, _, _| false);
    world.reachable(1, 2);
    world.run(1000);
    assert_eq!(world.fates(1, 1), [Fate::Lost]);
}

/// The others decide without it, on a cut with its message and one that it lacks. Those who held
/// that cut may be gone when it hears of the decision.
#[test]
fn a_removed_sender_is_not_told_that_a_message_it_could_not_deliver_is_uniform() {
    for order in [Order::Causal, Order::Total, Order::Uniform] {
        let mut world = World::founded(3, |config| config.order = order);
        world.lose(|_, to, _| to == n(1));
        world.submit(2, 1, "b");
        world.run(10);
        world.submit(1, 1, "a");
        world.run(10);
        world.lose(|from, to, _| from == n(1) || to == n(1));
        for (a, b) in [(1, 2), (1, 3), (2, 1), (3, 1)] {
            world.unreachable(a, b);
        }
        world.run(2000);
        assert_eq!(world.view(2).members.len(), 2);
        assert!(world.delivered(2).contains(&"a".to_owned()), "{order}: the cut has it");
        world.lose(|_, _, body| matches!(body, Body::Refill { .. }));
        world.reachable(1, 2);
        world.run(1000);
        // Where the order is total it waited for the others to say how far they are.
        let (delivered, fate) =
            if order.is_total() { (vec![], Fate::Unknown) } else { (vec!["a"], Fate::Uniform) };
        assert_eq!(world.delivered(1), delivered, "{order}");
        assert_eq!(world.fates(1, 1).first(), Some(&fate), "{order}");
    }
}

#[test]
fn a_member_that_stands_still_calls_nothing_uniform_whatever_it_hears_late() {
    for order in Order::ALL {
        let mut world = World::founded(3, |config| config.order = order);
        world.lose(|_, to, body| to == n(1) && matches!(body, Body::Status { .. }));
        world.submit(1, 1, "a");
        world.run(5);
        world.unreachable(1, 2);
        world.unreachable(1, 3);
        assert!(matches!(world.waits(1)[..], [Wait::Majority { .. }, ..]), "{:?}", world.waits(1));
        // Now it hears that both have the message; whether they are still in its view it does not know.
        world.lose(|_, _, _| false);
        world.run(200);
        assert_eq!(world.fates(1, 1), [], "{order}");
        world.reachable(1, 2);
        world.reachable(1, 3);
        world.run(50);
        assert_eq!(world.fates(1, 1), [Fate::Uniform, Fate::Everywhere], "{order}");
    }
}
