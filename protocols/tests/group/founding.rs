//! Founding a group again after its majority was lost.

use quorate_membership::{Cut, Decree, Incarnation, Member, ViewId, agreement::Ballot};
use quorate_protocols::{Body, Input, Message};

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

    // n1 is back, too: the first lineage is lost. Before n1 hears anybody, an old vote reaches it.
    let decree = Decree { closes: ViewId::GENESIS, cut: Cut::default(), view: first.clone() };
    let ballot = Ballot { round: 50, by: n(2) };
    let message = Message { view: ViewId::GENESIS, body: Body::Accept { ballot, decree } };
    world.start_as(second_life(1), Some(Input::Received { from: member(2), message }));
    world.run(5000);

    let again = world.view(2);
    assert_eq!(again.members, [second_life(1), member(2)]);
    assert_ne!(again.id.lineage, first.id.lineage);
    assert_eq!(world.view(1), again);
}
