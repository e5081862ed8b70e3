//! A newcomer that gets no state: it asks less and less often, and says whom it has asked.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use quorate_membership::ViewId;
use quorate_protocols::{Body, Effect, Event, Input, Wait};

use crate::world::{World, member, n};

/// Three members, and a fourth that has just been admitted as a learner. Counts its questions.
fn learning() -> (World, Rc<RefCell<Vec<u64>>>) {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    let asked = Rc::<RefCell<Vec<u64>>>::default();
    let note = Rc::clone(&asked);
    world.lose(move |from, to, body| {
        if from == n(4) && matches!(body, Body::WantState { .. }) {
            note.borrow_mut().push(to.get());
        }
        false
    });
    world.start(4);
    world.run(400);
    assert_eq!(world.view(4).learners, [member(4)]);
    (world, asked)
}

/// The views for which the application of a node was asked for its state since the last call.
fn asked(world: &mut World, number: u64) -> Vec<ViewId> {
    let view = |effect| match effect {
        Effect::Deliver(Event::TakeSnapshot { view, .. }) => Some(view),
        _ => None,
    };
    world.told(number).into_iter().filter_map(view).collect()
}

/// Lets time pass in which the applications of all three refuse whenever they are asked. Returns how
/// often they were.
fn refuse_for(world: &mut World, millis: u64) -> usize {
    let mut times = 0;
    for _ in 0..millis / 10 {
        world.run(10);
        for number in 1..=3 {
            for view in asked(world, number) {
                times += usize::from(number == 1);
                world.input(number, Input::NoSnapshot { view }).unwrap();
            }
        }
    }
    times
}

/// What the fourth says of its state.
fn wait(world: &World) -> Wait {
    let is_state = |wait: &Wait| matches!(wait, Wait::State { .. });
    world.waits(4).into_iter().find(is_state).expect("it waits for its state")
}

#[test]
fn members_that_all_refuse_are_asked_for_a_later_state_less_and_less_often() {
    let (mut world, _) = learning();
    let epoch = world.view(1).id.epoch;
    let first = refuse_for(&mut world, 10_000);
    assert!((3..=6).contains(&first), "{first} times within ten seconds");
    let later = refuse_for(&mut world, 100_000);
    assert!((2..=6).contains(&later), "{later} times within a hundred seconds more");
    let views = world.view(1).id.epoch - epoch;
    assert!(views <= 30, "{views} views");
    let Wait::State { refused, donor: None, asks_at: Some(_), .. } = wait(&world) else {
        panic!("{:?}", wait(&world))
    };
    assert_eq!(refused, [n(1), n(2), n(3)]);
    let text = wait(&world).to_string();
    assert!(text.contains("n1, n2, n3 have none; it asks for a later one at"), "{text}");
}

#[test]
fn a_change_of_members_ends_the_wait_for_a_later_state() {
    let (mut world, _) = learning();
    refuse_for(&mut world, 60_000);
    assert!(matches!(wait(&world), Wait::State { donor: None, .. }));
    world.crash(3);
    refuse_for(&mut world, 100);
    assert!(matches!(wait(&world), Wait::State { donor: None, .. }), "the others have refused as well");
    world.start_as(quorate_membership::Member::new(n(3), quorate_membership::Incarnation::new(2)), None);
    // The new life of n3 learns first; it is not asked, for it has no state itself.
    for _ in 0..600 {
        world.run(10);
        for number in [1, 2] {
            for view in asked(&mut world, number) {
                world.input(number, Input::Snapshot { view, state: Bytes::from_static(b"state") }).unwrap();
            }
        }
    }
    assert_eq!(world.view(1).members.len(), 4, "{:?}", world.waits(4));
}

#[test]
fn members_that_are_silent_are_asked_in_turn_and_less_and_less_often() {
    let (mut world, questions) = learning();
    world.run(6000);
    let first = questions.borrow_mut().split_off(0);
    assert!((12..=18).contains(&first.len()), "{} within six seconds", first.len());
    assert!([1, 2, 3].iter().all(|donor| first.iter().filter(|to| *to == donor).count() >= 4), "{first:?}");
    world.run(60_000);
    let later = questions.borrow().len();
    assert!((10..=18).contains(&later), "{later} within a minute more");
    let Wait::State { silent, refused, since, asks_at: Some(_), .. } = wait(&world) else {
        panic!("{:?}", wait(&world))
    };
    assert_eq!((silent, refused), (vec![n(1), n(2), n(3)], vec![]));
    let text = wait(&world).to_string();
    assert!(text.contains(&format!("since {since}")), "{text}");
    assert!(text.contains("nothing comes from n1, n2, n3; it asks again at"), "{text}");
}

#[test]
fn a_state_that_is_there_after_all_is_offered_and_not_waited_for() {
    let (mut world, questions) = learning();
    world.run(60_000);
    let view = asked(&mut world, 1)[0];
    questions.borrow_mut().clear();
    world.input(1, Input::Snapshot { view, state: Bytes::from_static(b"state") }).unwrap();
    world.run(10);
    assert_eq!(*questions.borrow(), [1], "it turns to the one that has something");
    assert!(!world.waits(4).iter().any(|wait| matches!(wait, Wait::State { .. })));
    world.run(1000);
    assert_eq!(world.view(1).members.len(), 4);
}

#[test]
fn since_when_a_learner_learns_outlasts_views() {
    let (mut world, _) = learning();
    world.run(100);
    let learns = |world: &World| {
        world.waits(1).into_iter().find_map(|wait| match wait {
            Wait::Learner { member: learner, since, .. } if learner == member(4) => {
                Some((since, wait.to_string()))
            }
            _ => None,
        })
    };
    let (since, text) = learns(&world).expect("it learns");
    assert!(text.contains(&format!("learns since {since}")), "{text}");
    world.crash(3);
    world.run(2000);
    assert_eq!(world.view(1).members.len(), 2);
    assert_eq!(learns(&world).map(|(since, _)| since), Some(since));
}
