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
fn who_has_left_and_joins_again_still_tells_how_the_view_ended_that_it_was_in() {
    let mut world = World::founded(3, |_| {});
    let before = world.view(1).id;
    world.input(3, Input::Leave).unwrap();
    world.run(2000);
    let told = Rc::new(RefCell::new(None));
    let tells = Rc::clone(&told);
    world.lose(move |from, to, body| {
        if let (true, Body::Current { view, .. }) = (from == n(3) && to == n(9), body) {
            tells.replace(Some(view.id));
        }
        true
    });
    world.rejoin(3);
    let message = Message { view: before, body: Body::Join { hears: vec![n(3)] } };
    world.input(3, Input::Received { from: member(9), message }).unwrap();
    assert_eq!(told.take(), Some(world.view(1).id));
}

/// What becomes of the node of a member that has left.
#[derive(Clone, Copy, Eq, PartialEq)]
enum After {
    Rejoins,
    StaysAway,
    Ends,
}

/// One leaves, and the view without it is decided when one of the other two has died, so that the lineage is lost in it.
/// The next life of that one has been told of the view before, and waits for whoever is left of it.
#[test]
fn nobody_waits_for_the_word_of_a_member_that_left_by_the_view_in_which_the_lineage_was_lost() {
    for (hears_of_it, after) in [(false, After::Rejoins), (false, After::StaysAway), (true, After::Ends)] {
        let mut world = World::founded(3, |_| {});
        let before = world.view(1).id;
        world.lose(|_, _, body| matches!(body, Body::Accepted { .. }));
        world.input(3, Input::Leave).unwrap();
        world.run(20);
        world.crash(2);
        world.start_as(Member::new(n(2), Incarnation::new(2)), None);
        world.run(200);
        assert_eq!(world.view(1).id, before, "nothing is decided yet");
        // The one that goes on alone gives up before it is asked.
        let tells = move |from, body: &Body| match body {
            Body::Decided(decree) => decree.closes == before && !hears_of_it,
            Body::Current { view, .. } => view.id.lineage == before.lineage && from == n(1),
            _ => false,
        };
        let early = move |from| from == n(3) && after == After::Rejoins;
        world.lose(move |from, to, body| to == n(2) && (early(from) || tells(from, body)));
        let left = |effect: &Effect| matches!(effect, Effect::Deliver(Event::Left));
        let mut gone = false;
        for _ in 0..200 {
            world.run(10);
            gone |= world.told(3).iter().any(left);
            if gone {
                break;
            }
        }
        assert!(gone, "the others let it go");
        world.lose(move |from, to, body| to == n(2) && tells(from, body));
        match after {
            After::Rejoins => world.rejoin(3),
            After::StaysAway => {}
            After::Ends => world.crash(3),
        }
        world.run(10_000);
        let lost = |effect: &Effect| matches!(effect, Effect::Deliver(Event::LineageLost));
        assert!(world.told(1).iter().any(lost), "the next view has nobody but n1");
        for number in [1, 2] {
            let view = world.view(number);
            assert_ne!(view.id.lineage, before.lineage, "n{number} is in {view}");
            assert!(!view.id.is_genesis(), "n{number} is in {view}");
            assert_eq!(
                view.members.len(),
                if after == After::Rejoins { 3 } else { 2 },
                "n{number} is in {view}"
            );
        }
    }
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
