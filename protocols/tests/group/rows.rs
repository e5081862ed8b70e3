//! What a member holds is said as soon as somebody may wait for it, and for several frames in one where nobody does.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use quorate_protocols::{Body, Effect, Event, Fate, Input, Order, Ticket};

use crate::world::{World, n};

/// So long that each is a frame of its own.
const LONG: usize = 60 << 10;

fn submit(world: &mut World, ticket: u64, bytes: usize) {
    let payload = vec![0; bytes].into();
    world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
}

/// How many messages each of the first members has delivered.
fn delivered(world: &mut World, members: u64) -> Vec<usize> {
    let mut count = |number| {
        let told = world.told(number);
        told.iter().filter(|it| matches!(it, Effect::Deliver(Event::Message { .. }))).count()
    };
    (1..=members).map(&mut count).collect()
}

/// Counts rows that are sent by themselves.
fn counting(world: &mut World) -> Rc<Cell<usize>> {
    let rows = Rc::new(Cell::new(0));
    let count = Rc::clone(&rows);
    world.lose(move |_, _, body| {
        count.set(count.get() + usize::from(matches!(body, Body::Status { .. })));
        false
    });
    rows
}

#[test]
fn a_row_speaks_for_several_frames_while_their_sender_has_more() {
    let mut world = World::founded(3, |_| {});
    let rows = counting(&mut world);
    (1..=100).for_each(|ticket| submit(&mut world, ticket, LONG));
    world.run(18);
    assert_eq!(delivered(&mut world, 3), [100; 3]);
    // Each of two receivers tells both others of the first sixteen, after which nothing waits, and of one in four.
    let most = 2 * 2 * (16 + 100 / 4 + 1);
    assert!((4..=most).contains(&rows.get()), "{} rows", rows.get());
}

#[test]
fn the_last_frame_is_answered_at_once() {
    let mut world = World::founded(3, |_| {});
    submit(&mut world, 1, 10);
    world.run(2);
    assert_eq!(delivered(&mut world, 3), [1; 3]);
}

#[test]
fn what_is_not_said_while_the_sender_waits_for_somebody_else_is_said_at_the_next_tick() {
    let mut world = World::founded(3, |config| {
        config.order = Order::Fifo;
        config.frames_in_flight = 17; // of which one in four is to be answered
    });
    // n3 falls silent after the first, so that the window is full before nothing follows any more.
    let silent = Rc::new(Cell::new(false));
    let is_silent = Rc::clone(&silent);
    world.lose(move |from, _, _| is_silent.get() && from == n(3));
    (1..=17).for_each(|ticket| submit(&mut world, ticket, LONG));
    world.run(1);
    silent.set(true);
    (18..=60).for_each(|ticket| submit(&mut world, ticket, LONG));
    world.run(1000);
    let held = world.holdings(2)[0].get();
    assert!((18..60).contains(&held), "{held} frames");
    assert_eq!(world.fates(1, held), [Fate::Uniform], "n2 has it, and n3 may not");
}

#[test]
fn a_frame_after_which_the_next_has_to_wait_for_an_answer_is_answered_at_once() {
    let mut world = World::founded(5, |config| {
        config.frames_in_flight = 8;
        config.relay_bytes = Some(100_000);
    });
    // The last goes from member to member, once all before it are everywhere.
    (1..=9).for_each(|ticket| submit(&mut world, ticket, LONG));
    submit(&mut world, 10, 200_000);
    world.run(12);
    assert_eq!(delivered(&mut world, 5), [10; 5]);
}
