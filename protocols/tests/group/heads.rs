//! Messages with something before them, which travels beside the payload.

use bytes::Bytes;
use quorate_membership::{Incarnation, Member, Seq};
use quorate_protocols::{
    Audience, Batch, Body, Collect, Effect, Event, Fate, Frame, Input, Message, Order, Refusal, Row, Ticket,
};

use crate::world::{World, n};

fn submit(
    world: &mut World,
    by: u64,
    ticket: u64,
    head: &'static str,
    payload: Bytes,
) -> Result<(), Refusal> {
    world.input(by, Input::Submit { ticket: Ticket(ticket), head: head.into(), payload })
}

/// Heads and payloads of the messages delivered at a node, with where the payloads lie.
fn delivered(world: &mut World, number: u64) -> Vec<(Bytes, Bytes, *const u8)> {
    let message = |effect| match effect {
        Effect::Deliver(Event::Message { head, payload, .. }) => {
            let place = payload.as_ptr();
            Some((head, payload, place))
        }
        _ => None,
    };
    world.told(number).into_iter().filter_map(message).collect()
}

#[test]
fn every_member_gets_each_message_with_its_own_head_and_in_place_however_it_came() {
    let payloads = [Bytes::from("a"), Bytes::from("bb"), Bytes::from("ccc"), Bytes::new()];
    let heads = ["first", "", "third", "fourth"];
    let expected: Vec<_> = heads
        .iter()
        .zip(&payloads)
        .map(|(head, payload)| (Bytes::from(*head), payload.clone(), payload.as_ptr()))
        .collect();
    for order in Order::ALL {
        let mut world = World::founded(3, |config| config.order = order);
        // Of 3 it is fetched anew, and of whoever has it after 1 is gone.
        world.lose(|from, to, body| {
            (from, to) == (n(1), n(3)) && matches!(body, Body::Data { .. } | Body::Refill { .. })
        });
        for (ticket, (head, payload)) in (1..).zip(heads.iter().zip(&payloads)) {
            submit(&mut world, 1, ticket, head, payload.clone()).unwrap();
        }
        world.run(5);
        world.crash(1);
        world.run(3000);
        assert_eq!(world.view(2).members.len(), 2);
        for number in [2, 3] {
            assert_eq!(delivered(&mut world, number), expected, "{order} at {number}");
        }
    }
}

#[test]
fn a_head_counts_as_a_part_of_its_message() {
    let mut world = World::founded(3, |config| (config.window_bytes, config.message_bytes_max) = (1000, 500));
    let long = "h".repeat(400).leak();
    let refused = submit(&mut world, 1, 1, long, Bytes::from_static(&[0; 101]));
    assert_eq!(refused, Err(Refusal::TooLarge { size: 501, max: 500 }));
    world.lose(|_, _, _| true);
    for ticket in [2, 3] {
        submit(&mut world, 1, ticket, long, Bytes::from_static(&[0; 100])).unwrap();
    }
    let refused = submit(&mut world, 1, 4, "", Bytes::new());
    assert_eq!(refused, Err(Refusal::WouldBlock { waiting: 1000, window: 1000 }));
    world.lose(|_, _, _| false);
    world.run(1000);
    assert_eq!(world.fates(1, 3), [Fate::Uniform, Fate::Everywhere]);
    submit(&mut world, 1, 5, long, Bytes::from_static(&[0; 100])).unwrap();
}

#[test]
fn whoever_sends_other_heads_than_messages_is_faulty() {
    let mut world = World::founded(2, |_| {});
    let (view, from) = (world.view(1).id, Member::new(n(2), Incarnation::new(1)));
    let heads = Batch::from(vec![Bytes::from("head"); 2]);
    let batch = Batch::from(Bytes::from("payload"));
    let none = vec![Seq::NONE; 2];
    let row = Row { clock: 1, sent: Seq::new(1), received: none.clone(), delivered: none.clone() };
    let (seq, after) = (Seq::new(1), none);
    let frame =
        Frame { seq, clock: 1, after, requests: Vec::new(), heads: heads.clone(), batch: batch.clone() };
    for body in [
        Body::Data { row, requests: Vec::new(), heads, batch, row_wanted: true },
        Body::Refill { rank: 1, frames: vec![frame] },
    ] {
        let refused = world.input(1, Input::Received { from, message: Message { view, body } });
        assert!(matches!(refused, Err(Refusal::Faulty { .. })), "{refused:?}");
    }
    world.run(100);
    assert_eq!(delivered(&mut world, 1), []);
}

#[test]
fn messages_that_are_submitted_together_keep_their_places_beside_others_in_a_frame() {
    let mut world = World::founded(3, |config| config.frames_in_flight = 1);
    world.submit(1, 1, "a"); // while it is on its way the others gather
    let payloads = [Bytes::from("b"), Bytes::from("c")].into_iter().collect();
    world.input(1, Input::SubmitAll { ticket: Ticket(2), payloads }).unwrap();
    world.ask(1, Audience::Group, 3, "which?", Collect::First);
    submit(&mut world, 1, 4, "head", "d".into()).unwrap();
    world.run(100);
    let told = world.told(2);
    let places = told.iter().filter_map(|effect| match effect {
        Effect::Deliver(Event::Message { seq, index, head, payload, .. }) => {
            Some((seq.get(), *index, head.clone(), payload.clone()))
        }
        Effect::Deliver(Event::Request { request, place, payload, .. }) => {
            assert_eq!(request.number, 3);
            place.map(|(seq, index)| (seq.get(), index, Bytes::new(), payload.clone()))
        }
        _ => None,
    });
    let expected =
        [(1, 0, "", "a"), (2, 0, "", "b"), (2, 1, "", "c"), (2, 2, "", "which?"), (2, 3, "head", "d")];
    let expected = expected.map(|(seq, index, head, payload)| (seq, index, head.into(), payload.into()));
    assert_eq!(places.collect::<Vec<_>>(), expected);
    assert_eq!(world.fates(1, 2), [Fate::Uniform, Fate::Everywhere], "one fate for both");
}

#[test]
fn what_does_not_fit_into_a_frame_together_is_refused_and_so_is_nothing() {
    let mut world = World::founded(3, |_| {});
    let mut all = |payloads: Vec<Bytes>| {
        world.input(1, Input::SubmitAll { ticket: Ticket(1), payloads: payloads.into() })
    };
    assert_eq!(all(Vec::new()), Err(Refusal::Empty));
    let long = Bytes::from(vec![0; 40 << 10]);
    assert_eq!(all(vec![long.clone(); 2]), Err(Refusal::TooLarge { size: 80 << 10, max: 64 << 10 }));
    assert_eq!(all(vec![Bytes::new(); 1025]), Err(Refusal::TooLarge { size: 1025 * 64, max: 64 << 10 }));
    assert_eq!(all(vec![long]), Ok(()));
}
