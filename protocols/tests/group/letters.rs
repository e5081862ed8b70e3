//! Messages to one member, and requests that collect answers.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocols::{
    Audience, Body, Collect, Collected, Effect, Fate, Input, Refusal, RequestId, SlowPolicy, Ticket,
};

use crate::world::{World, member, n, text};

fn answers(told: &[Effect]) -> (Vec<String>, Vec<u64>, Option<Collected>) {
    let (mut answers, mut absent, mut end) = (Vec::new(), Vec::new(), None);
    for effect in told {
        match effect {
            Effect::Answer { payload, .. } => answers.push(text(payload).to_owned()),
            Effect::Absent { member, .. } => absent.push(member.node.get()),
            Effect::Collected { outcome, .. } => assert_eq!(end.replace(*outcome), None),
            _ => {}
        }
    }
    (answers, absent, end)
}

#[test]
fn letters_reach_their_addressee_alone_in_the_order_in_which_they_were_sent() {
    let mut world = World::founded(3, |_| {});
    world.send_to(1, 2, 1, "a");
    world.send_to(1, 2, 2, "b");
    world.send_to(1, 1, 3, "to myself");
    world.run(10);
    assert_eq!(world.delivered(2), ["a", "b"]);
    assert_eq!(world.delivered(1), ["to myself"]);
    assert_eq!(world.delivered(3), [""; 0]);
    assert_eq!([1, 2, 3].map(|ticket| world.fates(1, ticket)), [[Fate::Delivered]; 3]);
}

#[test]
fn lost_letters_are_sent_again_and_delivered_once() {
    let mut world = World::founded(2, |_| {});
    world.lose(|_, _, body| matches!(body, Body::Direct { .. } | Body::DirectDelivered { .. }));
    world.send_to(1, 2, 1, "a");
    world.run(200);
    assert_eq!(world.delivered(2), [""; 0]);
    world.lose(|_, _, body| matches!(body, Body::DirectDelivered { .. }));
    world.run(200);
    assert_eq!(world.fates(1, 1), []);
    world.lose(|_, _, _| false);
    world.run(200);
    assert_eq!(world.delivered(2), ["a"]);
    assert_eq!(world.fates(1, 1), [Fate::Delivered]);
}

#[test]
fn the_fate_of_a_letter_is_known_though_its_view_ended_before_the_acknowledgement() {
    let mut world = World::founded(3, |_| {});
    world.lose(|_, to, body| {
        matches!(body, Body::DirectDelivered { .. }) || to == n(2) && matches!(body, Body::Direct { .. })
    });
    world.send_to(1, 2, 1, "never arrives");
    world.send_to(2, 1, 2, "arrives unacknowledged");
    world.run(10);
    world.crash(3);
    world.run(2000);
    assert_eq!(world.view(1).members.len(), 2);
    assert_eq!(world.fates(1, 1), [Fate::Lost]);
    assert_eq!(world.fates(2, 2), [Fate::Delivered]);
    assert_eq!((world.delivered(1), world.delivered(2)), (vec!["arrives unacknowledged".into()], vec![]));
}

#[test]
fn a_letter_to_a_member_that_dies_is_of_unknown_fate_and_later_ones_are_refused() {
    let mut world = World::founded(3, |_| {});
    world.lose(|_, to, _| to == n(3));
    world.send_to(1, 3, 1, "a");
    world.crash(3);
    world.run(2000);
    assert_eq!(world.fates(1, 1), [Fate::Unknown]);
    let late = Input::SendTo { ticket: Ticket(2), to: member(3), payload: Bytes::new() };
    assert_eq!(world.input(1, late), Err(Refusal::NotHere { member: member(3) }));
}

#[test]
fn letters_to_one_member_are_bounded() {
    let mut world = World::founded(2, |config| config.direct_window_bytes = 100);
    world.lose(|_, _, body| matches!(body, Body::Direct { .. }));
    world.send_to(1, 2, 1, "a");
    let more = Input::SendTo { ticket: Ticket(2), to: member(2), payload: Bytes::from_static(b"b") };
    assert!(matches!(world.input(1, more), Err(Refusal::WouldBlock { window: 100, .. })));
}

#[test]
fn a_request_to_the_group_collects_an_answer_of_every_member() {
    let mut world = World::founded(3, |_| {});
    world.ask(1, Audience::Group, 1, "how many?", Collect::All);
    world.run(20);
    for (by, answer) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(world.delivered(by), ["how many?"]);
        world.answer(by, answer);
        world.run(10);
    }
    let told = world.told(1);
    assert_eq!(
        answers(&told),
        (vec!["one".into(), "two".into(), "three".into()], vec![], Some(Collected::Enough))
    );
}

#[test]
fn a_collection_ends_with_as_many_answers_as_are_wanted() {
    for (collect, count) in [(Collect::First, 1), (Collect::Majority, 2)] {
        let mut world = World::founded(3, |_| {});
        world.ask(1, Audience::Group, 1, "?", collect);
        world.run(20);
        for by in 1..=3 {
            world.answer(by, "!");
            world.run(10);
        }
        let (came, _, end) = answers(&world.told(1));
        assert_eq!((came.len(), end), (count, Some(Collected::Enough)));
    }
}

#[test]
fn a_member_that_a_view_removed_is_awaited_no_longer() {
    let mut world = World::founded(3, |_| {});
    world.ask(1, Audience::Group, 1, "?", Collect::All);
    world.run(20);
    world.answer(1, "!");
    world.answer(2, "!");
    world.run(20);
    world.crash(3);
    world.run(2000);
    assert_eq!(answers(&world.told(1)), (vec!["!".into(); 2], vec![3], Some(Collected::Short)));
}

#[test]
fn a_member_that_becomes_a_learner_collects_no_more_answers() {
    let mut world = World::founded(3, |config| {
        (config.slow, config.lag_for) = (SlowPolicy::Demote, Duration::from_secs(2));
    });
    world.ask(3, Audience::Group, 1, "?", Collect::All);
    world.run(20);
    world.answer(2, "!");
    world.lose(|_, to, body| to == n(3) && matches!(body, Body::Data { .. } | Body::Refill { .. }));
    world.submit(1, 2, "a");
    world.run(2500);
    assert_eq!(world.view(1).learners, [member(3)]);
    let request = RequestId { asker: member(3), number: 1 };
    let late = Input::Answer { request, payload: Bytes::from_static(b"!") };
    assert_eq!(world.input(1, late), Err(Refusal::NotHere { member: member(3) }));
    world.lose(|_, _, _| false);
    world.run(2000);
    assert_eq!(world.view(3).members.len(), 3, "it has caught up");
    assert_eq!(answers(&world.told(3)), (vec!["!".into()], vec![], Some(Collected::Lost)));
}

#[test]
fn an_answer_given_while_views_change_arrives_in_the_next() {
    let mut world = World::founded(3, |_| {});
    world.ask(1, Audience::One(member(2)), 1, "?", Collect::First);
    world.run(10);
    world.lose(|_, _, body| matches!(body, Body::Direct { .. }));
    world.answer(2, "!");
    world.crash(3);
    world.run(2000);
    world.lose(|_, _, _| false);
    world.run(200);
    assert_eq!(answers(&world.told(1)), (vec!["!".into()], vec![], Some(Collected::Enough)));
}

#[test]
fn requests_are_bounded_and_forgotten_when_given_up() {
    let mut world = World::founded(1, |config| config.requests_max = 1);
    let ask = |number| Input::Ask {
        ticket: Ticket(number),
        to: Audience::Group,
        payload: Bytes::new(),
        collect: Collect::All,
    };
    world.input(1, ask(1)).unwrap();
    assert_eq!(world.input(1, ask(1)), Err(Refusal::TicketInUse(Ticket(1))));
    assert_eq!(world.input(1, ask(2)), Err(Refusal::TooManyRequests { max: 1 }));
    world.input(1, Input::GiveUp { ticket: Ticket(1) }).unwrap();
    world.input(1, ask(2)).unwrap();
}

#[test]
fn a_message_longer_than_the_bound_is_refused_and_one_longer_than_a_batch_is_not() {
    let mut world = World::founded(2, |config| (config.batch_bytes, config.message_bytes_max) = (2, 3));
    world.submit(1, 1, "abc");
    world.run(10);
    assert_eq!(world.delivered(2), ["abc"]);
    let long = Input::Submit { ticket: Ticket(2), head: Bytes::new(), payload: Bytes::from_static(b"abcd") };
    assert_eq!(world.input(1, long), Err(Refusal::TooLarge { size: 4, max: 3 }));
}

#[test]
fn a_letter_that_was_lost_with_its_link_is_sent_again_on_the_next_one() {
    let mut world = World::founded(3, |config| config.batch_bytes = 2);
    world.lose(|_, _, body| matches!(body, Body::Direct { .. }));
    world.send_to(1, 2, 1, "longer than a batch");
    world.run(7000); // by now it is sent again every few seconds
    world.lose(|_, _, _| false);
    world.reachable(1, 2);
    world.run(200);
    assert_eq!(world.delivered(2), ["longer than a batch"]);
}
