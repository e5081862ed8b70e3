//! What is kept, and how much of it.

use futures_util::FutureExt;
use quorate_membership::{Incarnation, NodeId};

use super::*;
use crate::{
    bus::SubscribeOptions,
    queue::{Reader, Slot, queue},
};

const fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(1))
}

fn view(epoch: u64, changes: Vec<(Member, Change)>) -> View {
    View {
        id: ViewId { lineage: 7, epoch },
        members: vec![member(1), member(2)],
        witnesses: Vec::new(),
        learners: Vec::new(),
        changes,
        sides: Vec::new(),
    }
}

fn envelope(number: u64) -> Envelope {
    let publisher = PublisherId { member: member(2), session: 0 };
    let stamp = Stamp { publisher, number, previous: number - 1, settled: 0 };
    Envelope { stamp, subject: "a".parse().unwrap(), reply_to: None }
}

fn tail(bound: &mut Bound, after: Option<Position>) -> Reader<Delivery> {
    let (feed, reader) = queue(1 << 20, 1 << 30);
    let overflow = SubscribeOptions::default().backpressure().overflow;
    bound.add_tail(">".parse().unwrap(), overflow, Arc::new(feed), after);
    reader
}

#[test]
fn a_history_of_short_messages_keeps_to_its_bytes_with_all_that_they_cost() {
    let mut bound = Bound::new(GroupId::new(1), member(1), true, 64 << 10);
    bound.on_view(&view(1, vec![]));
    let from = bound.position();
    for number in 1..=10_000 {
        bound.on_published(member(2), envelope(number), Bytes::from_static(b"line"));
    }
    let mut reader = tail(&mut bound, from);
    assert_eq!(futures_util::StreamExt::next(&mut reader).now_or_never(), Some(Some(Slot::Missed(u64::MAX))));
    let mut kept = 0;
    while futures_util::StreamExt::next(&mut reader).now_or_never().is_some() {
        kept += 1;
    }
    assert_eq!(kept, (64 << 10) / (ENTRY_BYTES + 1 + 4));
}

#[test]
fn a_newcomer_that_nobody_tells_the_marks_keeps_a_bounded_number_of_bytes_and_gives_up_once() {
    let mut bound = Bound::new(GroupId::new(1), member(1), true, 64 << 10);
    bound.on_view(&view(2, vec![(member(1), Change::Joined)]));
    assert!(bound.is_undecided());
    let payload = Bytes::from(vec![0; 1 << 20]);
    for number in 1..64 {
        bound.on_published(member(2), envelope(number), payload.clone());
    }
    assert!(!bound.take_overwhelmed());
    assert_eq!(bound.undecided.len(), 64, "the view, too");
    for number in 64..100 {
        bound.on_published(member(2), envelope(number), payload.clone());
    }
    assert!(bound.take_overwhelmed());
    assert!(!bound.take_overwhelmed());
    assert!(bound.undecided.is_empty());
    assert!(!bound.learn(ViewId { lineage: 7, epoch: 2 }, Marks::default()), "it has dropped some");
}

#[test]
fn what_a_newcomer_is_told_late_comes_in_order_with_what_needed_no_telling() {
    let mut bound = Bound::new(GroupId::new(1), member(1), true, 64 << 10);
    bound.on_view(&view(2, vec![(member(1), Change::Joined)]));
    let pattern = "_events.1.>".parse().unwrap();
    let (feed, mut reader) = queue(1 << 10, 1 << 20);
    let overflow = SubscribeOptions::default().backpressure().overflow;
    let before = Position { view: ViewId { lineage: 7, epoch: 1 }, index: 9 };
    bound.add_tail(pattern, overflow, Arc::new(feed), Some(before));
    bound.on_published(member(2), envelope(1), Bytes::from_static(b"1"));
    bound.on_raw(member(2), Bytes::from_static(b"2"));
    bound.on_view(&view(3, vec![]));
    bound.on_published(member(2), envelope(2), Bytes::from_static(b"3"));
    assert!(bound.learn(ViewId { lineage: 7, epoch: 2 }, Marks::default()));
    let mut indices = Vec::new();
    while let Some(Some(slot)) = futures_util::StreamExt::next(&mut reader).now_or_never() {
        match slot {
            Slot::Item(delivery) => {
                indices.push(delivery.at.map(|(_, at)| (at.view.epoch, at.index)).unwrap());
            }
            Slot::Missed(count) => {
                assert_eq!((count, indices.len()), (u64::MAX, 0), "it was elsewhere before");
            }
        }
    }
    assert_eq!(indices, [(2, 0), (2, 1), (2, 2), (3, 0), (3, 1)]);
}
