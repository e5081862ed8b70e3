//! What this shell adds to the core: feeds, and what queue groups get.

use futures_util::{FutureExt, StreamExt};
use quorate_membership::{Change, Incarnation, NodeId};
use quorate_protocols::bus::PublisherId;

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

const OWN: PublisherId = PublisherId { member: member(1), session: 0 };

fn envelope(number: u64) -> Envelope {
    let publisher = PublisherId { member: member(2), session: 0 };
    let stamp = Stamp { publisher, number, previous: number - 1, settled: 0 };
    Envelope { stamp, subject: "a".parse().unwrap(), reply_to: None }
}

fn tail(bound: &mut Bound, pattern: &str) -> Reader<Delivery> {
    let (feed, reader) = queue(1 << 20, 1 << 30);
    let overflow = SubscribeOptions::default().backpressure().overflow;
    let after = bound.core.position();
    bound.add_tail(pattern.parse().unwrap(), overflow, Arc::new(feed), after);
    reader
}

/// All that waits for a reader: the place of a message, or how many are missing.
fn all(reader: &mut Reader<Delivery>) -> Vec<Result<(u64, u64), u64>> {
    let mut all = Vec::new();
    while let Some(Some(slot)) = reader.next().now_or_never() {
        all.push(match slot {
            Slot::Item(delivery) => Ok(delivery.at.map(|(_, at)| (at.view.epoch, at.index)).unwrap()),
            Slot::Missed(count) => Err(count),
        });
    }
    all
}

#[test]
fn readers_get_what_they_select_and_are_told_what_they_missed() {
    let mut bound = Bound::new(GroupId::new(1), OWN, true, 4 << 10);
    bound.on_view(&view(1, vec![]));
    let mut subscriber = tail(&mut bound, ">");
    for number in 1..=2 {
        bound.on_published(member(2), envelope(number), Bytes::from_static(b"line"));
        bound.on_raw(member(2), Bytes::from_static(b"raw"));
    }
    bound.pump_all();
    assert_eq!(all(&mut subscriber), [Ok((1, 1)), Ok((1, 3))]);
    let mut follower = tail(&mut bound, "_events.1.>");
    for number in 3..=100 {
        bound.on_published(member(2), envelope(number), Bytes::from_static(b"line"));
    }
    bound.pump_all();
    let kept = (4 << 10) / (BoundGroup::<Entry>::ENTRY_BYTES as u64 + 1 + 4);
    let expected: Vec<_> = (103 - kept..103).map(|index| Ok((1, index))).collect();
    for reader in [&mut subscriber, &mut follower] {
        let got = all(reader);
        assert_eq!((&got[0], &got[1..]), (&Err(98 - kept), &expected[..]));
    }
}

#[test]
fn queue_groups_get_what_their_node_published_before_it_knew_what_others_had() {
    let mut bound = Bound::new(GroupId::new(1), OWN, true, 64 << 10);
    bound.on_view(&view(2, vec![(member(1), Change::Joined)]));
    let mut reader = tail(&mut bound, "a");
    let (of, asked) = bound.core.ask().unwrap();
    for (sender, number) in [(1, 1), (2, 1), (2, 2), (1, 4)] {
        let passage = bound.on_published(member(sender), envelope(number), Bytes::from_static(b"line"));
        assert!(matches!(passage, Passage::InDoubt), "it is not known yet: {passage:?}");
    }
    let liar = Member::new(asked.node, Incarnation::new(2));
    assert_eq!(bound.learn(liar, of, Marks::default()).unwrap_err(), MarksRefused::NotAsked(liar));
    let learnt = bound.learn(asked, of, Marks::default()).unwrap();
    let (new, twice, gap) = (Admission::New, Admission::Duplicate, Admission::Gap);
    assert_eq!(learnt.decided, [new, twice, new, gap]);
    let places = learnt.hand_outs.iter().map(|HandOut(delivery, _)| delivery.at.unwrap().1.index);
    assert_eq!(
        places.collect::<Vec<_>>(),
        [1],
        "of the others one came twice, one from elsewhere, one early"
    );
    assert_eq!(all(&mut reader), [Ok((2, 1)), Ok((2, 3))]);
}

#[test]
fn readers_of_a_member_that_was_outside_are_ended_where_they_were_before_it_is_back() {
    let mut bound = Bound::new(GroupId::new(1), OWN, true, 64 << 10);
    bound.on_view(&view(1, vec![]));
    let mut readers = [tail(&mut bound, "a"), tail(&mut bound, "a")];
    let (heir, mut seen) = oneshot::channel();
    bound.promise(0, heir);
    bound.on_published(member(2), envelope(1), Bytes::from_static(b"line"));
    bound.on_view(&view(2, vec![]));
    bound.pump_all();
    assert!(seen.try_recv().is_err(), "it was not outside");
    bound.core.on_outside();
    bound.on_view(&view(5, vec![]));
    bound.pump_all();
    let position = Position::beginning(ViewId { lineage: 7, epoch: 2 });
    assert_eq!(seen.try_recv(), Ok(position));
    for reader in &mut readers {
        assert_eq!(all(reader), [Ok((1, 1))], "what it missed here is not told");
    }
    // Who takes the other one over comes later.
    let (heir, mut seen) = oneshot::channel();
    bound.promise(1, heir);
    assert_eq!(seen.try_recv(), Ok(position));
    assert_eq!(bound.remove_tail(1), None, "it is handed over once");
}
