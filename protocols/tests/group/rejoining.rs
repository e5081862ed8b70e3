//! Members that leave, and whose nodes live on.

use std::{cell::RefCell, rc::Rc};

use quorate_membership::{Incarnation, Member};
use quorate_protocols::{Body, Effect, Event, Input, Message};

use crate::world::{World, member, n};

#[test]
fn who_has_left_and_joins_again_is_not_led_back_into_a_view_that_it_was_in() {
    let mut world = World::founded(3, |_| {});
    let decided = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&decided);
    world.lose(move |_, to, body| {
        if let Body::Decided(decree) = body
            && to == n(4)
        {
            seen.replace(Some(decree.clone()));
        }
        false
    });
    world.start(4);
    world.run(2000);
    let decree = decided.take().expect("it was told of the view that admits it");
    assert_eq!(world.view(4).id, decree.view.id);
    world.input(4, Input::Leave).unwrap();
    world.run(2000);
    assert_eq!(world.view(1).members.len(), 3);
    world.lose(|from, to, _| from == n(4) || to == n(4));
    world.rejoin(4);
    world.told(4);
    // A member that has not heard of the next view tells it once more.
    let message = Message { view: decree.closes, body: Body::Decided(decree) };
    world.input(4, Input::Received { from: member(1), message }).unwrap();
    let enters = |effect: &Effect| matches!(effect, Effect::Deliver(Event::View(_)));
    assert!(!world.told(4).iter().any(enters), "it has forgotten what it promised and holds there");
    world.lose(|_, _, _| false);
    world.run(3000);
    assert_eq!(world.view(4).members.len(), 4, "it comes back as a newcomer");
}

#[test]
fn nobody_waits_for_the_word_of_a_member_that_left_when_the_lineage_was_lost() {
    for comes_back in [false, true] {
        let mut world = World::founded(4, |_| {});
        let before = world.view(1).id;
        world.input(4, Input::Leave).unwrap();
        for number in [2, 3] {
            world.crash(number);
        }
        for number in [2, 3] {
            world.start_as(Member::new(n(number), Incarnation::new(2)), None);
        }
        let left = |effect: &Effect| matches!(effect, Effect::Deliver(Event::Left));
        let mut gone = false;
        for _ in 0..200 {
            world.run(10);
            gone |= world.told(4).iter().any(left);
            if gone {
                break;
            }
        }
        assert!(gone, "there is nothing to leave in order");
        if comes_back {
            world.rejoin(4);
        }
        world.run(10_000);
        for number in [1, 2, 3] {
            let view = world.view(number);
            assert_ne!(view.id.lineage, before.lineage, "n{number} is in {view}");
            assert_eq!(view.members.len(), if comes_back { 4 } else { 3 }, "n{number} is in {view}");
        }
    }
}
