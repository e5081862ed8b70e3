//! What a group remembers of nodes that are gone.

use std::{cell::Cell, rc::Rc};

use quorate_membership::{Incarnation, Member};
use quorate_protocols::{Body, Input, Message};

use crate::world::{World, member, n};

/// Longer than what was sent by a node that is gone may be under way.
const LONG: u64 = 10_100;

/// A node was met and is gone.
fn passes_by(world: &mut World, whom: Member) {
    world.input(1, Input::Reachable(whom)).unwrap();
    world.input(1, Input::Unreachable(whom.node)).unwrap();
    world.input(1, Input::Departed(whom.node)).unwrap();
}

#[test]
fn nodes_that_came_and_went_are_forgotten_and_members_are_not() {
    let mut world = World::founded(3, |_| {});
    for number in 10..60 {
        passes_by(&mut world, member(number));
    }
    world.input(1, Input::Departed(n(3))).unwrap();
    assert_eq!(world.known_lives(1), 53);
    world.run(LONG);
    world.input(1, Input::Wake).unwrap();
    assert_eq!(world.known_lives(1), 3);
}

#[test]
fn what_an_earlier_life_had_sent_is_refused_while_it_may_still_be_queued() {
    let mut world = World::founded(3, |_| {});
    let answered = Rc::new(Cell::new(false));
    let answers = Rc::clone(&answered);
    world.lose(move |_, to, body| {
        answers.set(answers.get() || to == n(9) && matches!(body, Body::Current { .. }));
        to == n(9)
    });
    passes_by(&mut world, Member::new(n(9), Incarnation::new(2)));
    let view = world.view(1).id;
    let late = || Message { view, body: Body::Join { hears: vec![n(1), n(2), n(3)] } };
    world.run(LONG - 1000);
    let _refused = world.input(1, Input::Received { from: member(9), message: late() });
    assert!(!answered.get(), "a life that has ended is told how to join");
    world.run(1500);
    assert_eq!(world.view(1).id, view);
}

#[test]
fn a_node_that_is_back_is_remembered() {
    let mut world = World::founded(3, |_| {});
    passes_by(&mut world, member(9));
    world.input(1, Input::Reachable(member(9))).unwrap();
    world.run(LONG);
    world.input(1, Input::Wake).unwrap();
    assert_eq!(world.known_lives(1), 4);
    world.input(1, Input::Unreachable(n(9))).unwrap();
    world.input(1, Input::Departed(n(9))).unwrap();
    world.run(LONG);
    world.input(1, Input::Wake).unwrap();
    assert_eq!(world.known_lives(1), 3);
}

#[test]
fn a_newcomer_asks_those_that_were_named_until_they_are_gone() {
    let mut world = World::empty(3);
    let asked = Rc::new(Cell::new(0));
    let counts = Rc::clone(&asked);
    world.lose(move |_, to, body| {
        counts.set(counts.get() + u32::from(to == n(9) && matches!(body, Body::Join { .. })));
        true
    });
    world.start_as(member(7), Some(Input::Contacts(vec![n(9)])));
    world.run(1000);
    assert!(asked.take() > 0);
    world.input(7, Input::Departed(n(9))).unwrap();
    world.run(1000);
    assert_eq!(asked.take(), 0);
}
