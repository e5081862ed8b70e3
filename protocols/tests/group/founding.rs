//! Founding a group again after its majority was lost.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use quorate_membership::{
    Cut, Decree, Incarnation, Member,
    agreement::{Ballot, Breach},
};
use quorate_protocols::{Body, Effect, Event, Input, Message};

use crate::world::{World, member, n};

fn second_life(number: u64) -> Member {
    Member::new(n(number), Incarnation::new(2))
}

#[test]
fn a_late_vote_on_a_founding_that_was_given_up_does_not_hinder_the_next() {
    let mut world = World::founded(3, |_| {});
    let first = world.view(1);
    world.crash(1);
    world.crash(3);
    world.start_as(second_life(3), None);
    world.run(1000);
    world.crash(3);

    let genesis = world.config().genesis();
    // n1 is back, too: the first lineage is lost. Before n1 hears anybody, an old vote reaches it.
    let decree = Decree { closes: genesis, cut: Cut::default(), view: first.clone() };
    let ballot = Ballot { round: 50, by: n(2) };
    let message = Message { view: genesis, body: Body::Accept { ballot, decree } };
    world.start_as(second_life(1), Some(Input::Received { from: member(2), message }));
    world.run(5000);

    let again = world.view(2);
    assert_eq!(again.members, [second_life(1), member(2)]);
    assert_ne!(again.id.lineage, first.id.lineage);
    assert_eq!(world.view(1), again);
}

#[test]
fn what_a_newcomer_gave_up_before_it_was_admitted_does_not_count_against_it() {
    let mut world = World::founded(3, |_| {});
    world.crash(3);
    world.run(2000);
    let former = world.view(1).id;
    world.start_as(second_life(3), None);
    // It says so again and again until the view that admits it begins.
    while world.view(1).id == former {
        for number in [1, 2] {
            let message = Message { view: former, body: Body::Gone };
            world.input(number, Input::Received { from: second_life(3), message }).unwrap();
        }
        world.run(1);
    }
    let admitted = world.view(1);
    assert_eq!(admitted.members.last(), Some(&second_life(3)));
    world.run(3000);
    assert_eq!([1, 2, 3].map(|number| world.view(number)), [(); 3].map(|()| admitted.clone()));
}

#[test]
fn a_member_that_went_outside_and_cannot_come_back_to_its_view_gives_its_place_up() {
    let mut world = World::founded(3, |_| {});
    let view = world.view(1).id;
    world.lose(|from, to, _| from == n(3) || to == n(3));
    for number in [1, 2] {
        let message = Message { view, body: Body::Join { hears: vec![n(1), n(2)] } };
        world.input(number, Input::Received { from: member(3), message }).unwrap();
    }
    world.run(1500);
    assert_eq!(world.view(1).members, [member(1), member(2)]);
}

#[test]
fn a_lineage_is_not_given_up_while_a_member_that_may_have_gone_on_is_out_of_reach() {
    let mut world = World::founded(3, |_| {});
    let lineage = world.view(1).id.lineage;
    world.lose(|from, to, _| [from, to] == [n(2), n(3)] || [from, to] == [n(3), n(2)]);
    world.unreachable(2, 3);
    world.unreachable(3, 2);
    world.run(2000);
    assert_eq!(world.view(1).members, [member(1), member(2)]);

    // n1 leaves n2 alone in the group and comes back to where n3 is, which knows but the view of two.
    world.input(1, Input::Leave).unwrap();
    world.run(500);
    assert_eq!(world.view(2).members, [member(2)]);
    world.lose(|from, to, _| from == n(2) || to == n(2));
    world.crash(1);
    world.start_as(second_life(1), None);
    world.unreachable(1, 2);
    world.unreachable(2, 1);
    world.run(10_000);
    assert_eq!(world.view(2).members, [member(2)]);
    assert!(world.view(1).id.is_genesis(), "n3 does not found another group with n1");

    world.lose(|_, _, _| false);
    world.reachable(2, 3);
    world.input(1, Input::Reachable(member(2))).unwrap();
    world.input(2, Input::Reachable(second_life(1))).unwrap();
    world.run(3000);
    for number in 1..=3 {
        assert_eq!((world.view(number).members.len(), world.view(number).id.lineage), (3, lineage));
    }
}

#[test]
fn a_member_that_gave_up_several_lineages_says_so_of_each() {
    let mut world = World::founded(3, |_| {});
    let first = world.view(1).id;
    for life in [2, 3] {
        world.crash(2);
        world.crash(3);
        for number in [2, 3] {
            world.start_as(Member::new(n(number), Incarnation::new(life)), None);
        }
        world.run(5000);
        assert_eq!((world.view(1).members.len(), world.view(1).id.epoch), (3, 1), "founded anew");
    }
    let said = Rc::new(Cell::new(false));
    let heard = Rc::clone(&said);
    world.lose(move |from, _, body| {
        heard.set(heard.get() || from == n(1) && *body == Body::Gone);
        false
    });
    let message = Message { view: first, body: Body::Join { hears: Vec::new() } };
    world.input(1, Input::Received { from: Member::new(n(2), Incarnation::new(3)), message }).unwrap();
    assert!(said.get());
}

#[test]
fn a_learner_left_in_a_lineage_that_was_given_up_is_told_so_and_joins_the_next() {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    // Nobody hears from n4 that it has caught up, so it stays a learner.
    world.lose(|from, _, body| from == n(4) && matches!(body, Body::Learning { .. }));
    world.start(4);
    for number in 1..=4 {
        world.input(number, Input::Contacts((1..=4).map(n).collect())).unwrap();
    }
    world.run(500);
    for number in 1..=3 {
        let view = world.view(number).id;
        world.input(number, Input::Snapshot { view, state: Bytes::from_static(b"state") }).unwrap();
    }
    world.run(500);
    let former = world.view(4);
    assert_eq!(former.learners, [member(4)]);
    world.told(4);

    // Two of the three members lose their memory. n4 doubts its view, and n3 confirms it before it
    // gives the lineage up, so n4 asks it no more.
    world.lose(|from, _, _| from == n(2));
    world.crash(1);
    world.crash(2);
    world.input(4, Input::Stalled).unwrap();
    world.run(200);
    world.lose(|_, _, _| false);
    for number in [1, 2] {
        world.start_as(second_life(number), None);
    }
    world.run(5000);
    let next = world.view(3);
    assert_ne!(next.id.lineage, former.id.lineage);
    assert!(next.has(member(4)), "{next}");
    assert_eq!(world.view(4), next);
    let told = world.told(4);
    let lost = told.iter().filter(|effect| matches!(effect, Effect::Deliver(Event::LineageLost)));
    assert_eq!(lost.count(), 1, "{told:?}");
}

/// Five founders that all hear the first one, and none of the rest each other yet.
fn founded_by_strangers_to_each_other(breach: Option<Breach>) -> World {
    let mut world = World::empty(5);
    world.change(|config| config.breach = breach);
    (1..=5).for_each(|number| world.start_deaf(number));
    (2..=5).for_each(|number| world.reachable(1, number));
    world.run(20);
    assert_eq!(world.view(1).members.len(), 5);
    world
}

#[test]
fn founders_that_have_not_heard_each_other_yet_are_not_taken_for_lost() {
    for breach in [None, Some(Breach::UnheardIsLost)] {
        let mut world = founded_by_strangers_to_each_other(breach);
        let founded = world.view(1);
        world.run(100); // whom they take for lost they say at their first tick
        for (a, b) in [(2, 3), (2, 4), (2, 5), (3, 4), (3, 5), (4, 5)] {
            world.reachable(a, b);
        }
        world.run(3000);
        assert_eq!(world.view(5) == founded, breach.is_none(), "{breach:?}: {}", world.view(5));
    }
}

#[test]
fn founders_that_never_come_to_hear_each_other_do_not_stay_together() {
    let mut world = founded_by_strangers_to_each_other(None);
    world.run(3000);
    assert!(world.view(1).members.len() < 5, "{}", world.view(1));
}

#[test]
fn a_founder_that_begins_after_it_was_asked_need_not_wait_until_it_is_asked_again() {
    let mut world = World::empty(3);
    world.start(1);
    world.start(2);
    // Its node is there, but not yet its group: what it is asked is lost.
    for number in [1, 2] {
        world.input(number, Input::Reachable(member(3))).unwrap();
    }
    world.run(300);
    assert!(world.view(1).id.is_genesis());
    world.start(3);
    world.run(20);
    for number in 1..=3 {
        assert_eq!(world.view(number).members.len(), 3);
    }
}
