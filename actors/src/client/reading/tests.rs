//! When somebody takes a subscription over.

use quorate_membership::ViewId;

use super::*;
use crate::queue::queue;

const fn at(lineage: u64, epoch: u64, index: u64) -> Position {
    Position { view: ViewId { lineage, epoch }, index }
}

fn reading(after: Position) -> Reading {
    let (feed, _reader) = queue(1 << 20, 1 << 30);
    let want = Want { pattern: "a".parse().unwrap(), queue: None };
    let after = vec![(GroupId::new(1), after)];
    Reading::new(want, SubscribeOptions::default(), Arc::new(feed), after, None)
}

fn gets(reading: &mut Reading, position: Position) {
    let at = Some((GroupId::new(1), position));
    let subject = "a".parse().unwrap();
    reading.on_delivery(Delivery { subject, payload: "".into(), reply_to: None, at, missed: None }, 0);
}

#[test]
fn it_is_taken_over_once_it_has_come_to_what_its_heir_keeps_or_nobody_can_bring_it_there() {
    let mut reading = reading(at(7, 1, 1));
    assert!(!reading.is_due(true), "nobody waits for it");
    let (heir, mut handed) = oneshot::channel();
    reading.promise(at(7, 2, 0), heir);
    assert!(!reading.is_due(false));
    assert!(reading.is_due(true));
    gets(&mut reading, at(7, 1, 2));
    assert!(!reading.is_due(false));
    gets(&mut reading, at(7, 2, 1));
    assert!(reading.is_due(false));
    reading.hand_over();
    assert_eq!(handed.try_recv().unwrap().seen, Some(at(7, 2, 1)));
}

#[test]
fn one_of_a_group_that_was_founded_anew_is_not_sent_round_before_it_has_got_something() {
    let mut reading = reading(at(7, 3, 1));
    reading.promise(at(8, 1, 0), oneshot::channel().0);
    assert!(!reading.is_due(false));
    gets(&mut reading, at(8, 1, 1));
    assert!(reading.is_due(false));
}
