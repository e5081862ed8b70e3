//! When missing frames are asked for, and whom.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use quorate_membership::{NodeId, Seq};
use quorate_protocols::{Body, Input, Message, Part, Ticket, Way};

use crate::world::{World, member, n};

/// What the last member asks for, and that it is told of a cut, in the order sent.
type Talk = Rc<RefCell<Vec<String>>>;

/// Loses what is to be lost from now on, and notes what is said.
fn listen(world: &mut World, last: u64, lost: impl Fn(NodeId, &Body) -> bool + 'static) -> Talk {
    let talk = Talk::default();
    let heard = Rc::clone(&talk);
    world.lose(move |from, to, body| {
        match body {
            Body::Fetch(gap) if from == n(last) => {
                let bound = (gap.through < Seq::new(1000)).then(|| format!(" to {}", gap.through));
                heard.borrow_mut().push(format!("{to}: {}{}", gap.from, bound.unwrap_or_default()));
            }
            Body::Hold { .. } if to == n(last) => heard.borrow_mut().push("a cut".to_owned()),
            _ => {}
        }
        to == n(last) && lost(from, body)
    });
    talk
}

/// Lets time pass until the last member has asked so often that it waits long for the next answer.
fn ask_in_vain(world: &mut World, talk: &Talk) {
    while talk.borrow().len() < 5 {
        world.run(1);
    }
    talk.borrow_mut().clear();
}

fn is_frame(body: &Body, number: u64) -> bool {
    matches!(body, Body::Data { row, .. } if row.sent == Seq::new(number))
}

#[test]
fn an_answer_in_parts_to_what_came_by_itself_meanwhile_is_an_answer() {
    let mut world = World::founded(3, |config| config.part_bytes = 1000);
    let parts: Rc<RefCell<Vec<Part>>> = Rc::default();
    let kept = Rc::clone(&parts);
    let talk = listen(&mut world, 3, move |_, body| {
        if let Body::Part(part) = body {
            kept.borrow_mut().push(part.clone());
        }
        matches!(body, Body::Part(_)) || is_frame(body, 2)
    });
    let payload = Bytes::from(vec![7; 3000]);
    world.input(1, Input::Submit { ticket: Ticket(1), head: Bytes::new(), payload }).unwrap();
    ask_in_vain(&mut world, &talk);
    let (view, parts) = (world.view(3).id, parts.take());
    for way in [Way::Direct, Way::Refill] {
        for part in parts.iter().filter(|part| part.way == way).take(3).cloned() {
            let message = Message { view, body: Body::Part(part) };
            world.input(3, Input::Received { from: member(1), message }).unwrap();
        }
        assert_eq!(world.holdings(3)[0], Seq::new(1));
    }
    world.submit(1, 2, "lost");
    world.submit(1, 3, "shows it");
    world.run(60);
    assert_eq!(*talk.borrow(), ["n1: s2 to s2"]);
    assert_eq!(world.holdings(3)[0], Seq::new(3));
}

#[test]
fn questions_in_a_view_that_is_open_delay_none_while_it_is_closed() {
    let mut world = World::founded(3, |_| {});
    let frames = |body: &Body| matches!(body, Body::Data { .. } | Body::Refill { .. });
    let talk = listen(&mut world, 3, move |_, body| frames(body));
    world.submit(1, 1, "a");
    ask_in_vain(&mut world, &talk);
    world.crash(2);
    world.run(10);
    assert_eq!(*talk.borrow(), ["a cut", "n1: s1 to s1"]);
}

#[test]
fn what_a_decided_view_waits_for_is_asked_of_another_one_if_no_answer_comes() {
    let mut world = World::founded(5, |_| {});
    let frames = |body: &Body| matches!(body, Body::Data { .. } | Body::Refill { .. });
    listen(&mut world, 5, move |_, body| frames(body) || matches!(body, Body::Decided(_)));
    world.submit(1, 1, "a");
    world.run(100);
    world.crash(4);
    world.run(2000);
    assert_eq!(world.view(1).members.len(), 4, "they go on without what n5 has missed");
    let talk = listen(&mut world, 5, move |from, body| frames(body) && from != n(3));
    world.run(3000);
    assert_eq!(world.view(5), world.view(1), "{talk:?}");
    assert_eq!(world.delivered(5), ["a"]);
}

/// Submits messages of so many bytes, and keeps what n3 would get of their frames from `by`, by their numbers.
fn kept(world: &mut World, by: u64, lengths: &[usize]) -> (Talk, BTreeMap<u64, Vec<Body>>) {
    let frames: Rc<RefCell<BTreeMap<u64, Vec<Body>>>> = Rc::default();
    let keeps = Rc::clone(&frames);
    let talk = listen(world, 3, move |from, body| {
        let seq = match body {
            Body::Data { row, .. } => row.sent,
            Body::Part(part) if part.way != Way::Refill => part.seq,
            _ => return false,
        };
        if from == n(by) {
            keeps.borrow_mut().entry(seq.get()).or_default().push(body.clone());
        }
        true
    });
    for (ticket, length) in (1..).zip(lengths) {
        let payload = Bytes::from(vec![7; *length]);
        world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
    }
    world.run(u64::from(by != 1) * 2); // they are handed on
    (talk, frames.take())
}

/// A frame reaches n3.
fn comes(world: &mut World, from: u64, frame: &[Body]) {
    let view = world.view(3).id;
    for body in frame.iter().cloned() {
        let message = Message { view, body };
        world.input(3, Input::Received { from: member(from), message }).unwrap();
    }
}

#[test]
fn what_was_lost_before_a_frame_is_asked_for_in_the_step_that_shows_it_and_nothing_else_is_sent_again() {
    for in_parts in [false, true] {
        let mut world = World::founded(3, |config| {
            config.part_bytes = if in_parts { 1000 } else { config.part_bytes };
        });
        let (talk, frames) = kept(&mut world, 1, &[2500; 5]);
        assert_eq!(frames[&1].len(), if in_parts { 3 } else { 1 });
        comes(&mut world, 1, &frames[&1]);
        assert!(talk.borrow().is_empty(), "{talk:?}");
        comes(&mut world, 1, &frames[&3]);
        assert_eq!(*talk.borrow(), ["n1: s2 to s2"]);
        comes(&mut world, 1, &frames[&4]);
        assert_eq!(talk.borrow().len(), 1, "once");
        world.run(2);
        assert_eq!(world.holdings(3)[0], Seq::new(4));
    }
}

#[test]
fn what_may_be_overtaken_from_member_to_member_is_not_asked_for_before_the_next_tick() {
    let mut world =
        World::founded(5, |config| (config.part_bytes, config.relay_bytes) = (1000, Some(100_000)));
    let (talk, frames) = kept(&mut world, 2, &[100_000, 500]);
    assert!(
        matches!(&frames[&2][..], [Body::Part(part)] if part.way == Way::Relay),
        "as the long one before"
    );
    comes(&mut world, 2, &frames[&2]);
    assert!(talk.borrow().is_empty(), "{talk:?}");
    world.run(50);
    assert_eq!(*talk.borrow(), ["n1: s1"]);
}

#[test]
fn what_is_on_its_way_behind_a_hole_is_not_sent_again() {
    let mut world = World::founded(3, |_| {});
    let again = Rc::new(RefCell::new(Vec::new()));
    let sent_again = Rc::clone(&again);
    world.throttle(3, 100);
    world.lose(move |_, to, body| {
        if let (true, Body::Refill { frames, .. }) = (to == n(3), body) {
            sent_again.borrow_mut().extend(frames.iter().map(|frame| frame.seq.get()));
        }
        to == n(3) && is_frame(body, 3)
    });
    for ticket in 1..=12 {
        let payload = Bytes::from(vec![7; 10_000]);
        world.input(1, Input::Submit { ticket: Ticket(ticket), head: Bytes::new(), payload }).unwrap();
        world.run(20);
    }
    assert!(world.holdings(3) < world.holdings(1), "some are on their way");
    world.run(3000);
    assert_eq!(world.holdings(3)[0], Seq::new(12));
    assert!(again.borrow().contains(&3) && again.borrow().iter().all(|seq| *seq <= 3), "{again:?}");
}
