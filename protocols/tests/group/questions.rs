//! When missing frames are asked for, and whom.

use std::{cell::RefCell, rc::Rc};

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
            Body::Fetch(gap) if from == n(last) => heard.borrow_mut().push(format!("{to}: {}", gap.from)),
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
    assert_eq!(*talk.borrow(), ["n1: s2"]);
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
    assert_eq!(*talk.borrow(), ["a cut", "n1: s1"]);
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
