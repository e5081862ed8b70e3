//! Members that were removed without noticing.

use std::{cell::Cell, rc::Rc};

use quorate_protocols::{Body, Effect, Event, Input};

use crate::world::{World, n};

/// Removes the third of three members, which notices nothing and is not told.
fn removed_unawares() -> World {
    let mut world = World::founded(3, |_| {});
    world.lose(|from, to, _| from == n(3) || to == n(3));
    world.unreachable(1, 3);
    world.unreachable(2, 3);
    world.run(1000);
    assert_eq!(world.view(1).members.len(), 2);
    assert_eq!(world.view(3).members.len(), 3);
    world
}

fn comes_back(world: &mut World) {
    for by in [1, 2] {
        world.input(by, Input::Reachable(crate::world::member(3))).unwrap();
    }
}

#[test]
fn a_member_that_did_not_notice_its_removal_is_told_once_it_is_heard_again() {
    let mut world = removed_unawares();
    let lost = Cell::new(0);
    world.lose(move |_, to, body| {
        let loses = to == n(3) && matches!(body, Body::Decided(_)) && lost.get() < 3;
        lost.set(lost.get() + u32::from(loses));
        loses
    });
    comes_back(&mut world);
    world.run(2000);
    let told = world.told(3);
    assert!(told.iter().any(|effect| matches!(effect, Effect::Deliver(Event::Removed { .. }))), "{told:?}");
    assert!((1..=3).all(|number| world.view(number) == world.view(1) && world.view(1).members.len() == 3));
}

/// Counts the decisions sent to the third member from now on, which gets none of them if `lost`.
fn decisions(world: &mut World, lost: bool) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    world.lose(move |_, to, body| {
        let decided = to == n(3) && matches!(body, Body::Decided(_));
        counted.set(counted.get() + u32::from(decided));
        lost && to == n(3)
    });
    count
}

#[test]
fn a_removed_member_is_told_by_one_member_at_each_tick_and_not_forever() {
    let mut world = removed_unawares();
    let count = decisions(&mut world, true);
    comes_back(&mut world);
    world.run(1000);
    assert!((10..=21).contains(&count.get()), "{} in a second of twenty ticks", count.get());
    world.run(2000);
    let told = count.get();
    world.run(2000);
    assert_eq!(count.get(), told);
}

#[test]
fn a_removed_member_that_wanted_to_leave_is_told_no_more() {
    let mut world = removed_unawares();
    world.input(3, Input::Leave).unwrap();
    let count = decisions(&mut world, false);
    comes_back(&mut world);
    world.run(2000);
    assert!((1..=4).contains(&count.get()), "{}", count.get());
    let told = world.told(3);
    assert!(told.iter().any(|effect| matches!(effect, Effect::Deliver(Event::Left))), "{told:?}");
}
