//! What is kept, for how long, and whose word counts.

use quorate_membership::{Incarnation, NodeId};

use super::*;

pub(super) const fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(1))
}

/// A node as it publishes in its first stay.
pub(super) const fn own(node: u64) -> PublisherId {
    PublisherId { member: member(node), session: 1 }
}

pub(super) const fn id(epoch: u64) -> ViewId {
    ViewId { lineage: 7, epoch }
}

pub(super) fn view(epoch: u64, members: &[u64], joined: &[u64]) -> View {
    View {
        id: id(epoch),
        members: members.iter().copied().map(member).collect(),
        witnesses: Vec::new(),
        learners: Vec::new(),
        changes: joined.iter().map(|node| (member(*node), Change::Joined)).collect(),
        sides: Vec::new(),
    }
}

fn stamp(number: u64) -> Stamp {
    let publisher = PublisherId { member: member(2), session: 0 };
    Stamp { publisher, number, previous: number - 1, settled: 0 }
}

/// A member that has just joined two others.
fn newcomer() -> BoundGroup<u64> {
    let mut bound = BoundGroup::new(own(1), true, 64 << 10);
    assert_eq!(bound.on_view(&view(2, &[2, 3, 1], &[1]), 0, 0), Arrival::Waits);
    bound
}

fn admission(arrival: Arrival) -> Option<Admission> {
    if let Arrival::Decided(decision) = arrival { Some(decision.admission) } else { None }
}

fn drain(bound: &BoundGroup<u64>, cursor: &mut Cursor) -> Vec<Result<u64, (u64, bool)>> {
    let mut all = Vec::new();
    loop {
        match bound.read(cursor) {
            Read::Nothing => return all,
            Read::Missed { entries, others } => all.push(Err((entries, others))),
            Read::Entry(position, entry) => {
                all.push(Ok(*entry));
                cursor.pass(position);
            }
        }
    }
}

#[test]
fn a_history_of_short_messages_keeps_to_its_bytes_with_all_that_they_cost() {
    let mut bound = BoundGroup::new(own(1), true, 64 << 10);
    bound.on_view(&view(1, &[1, 2], &[]), 0, 0);
    let mut cursor = bound.begin(bound.position());
    for number in 1..=10_000 {
        bound.on_message(member(2), Some(stamp(number)), number, 5);
    }
    let kept = (64 << 10) / (BoundGroup::<u64>::ENTRY_BYTES as u64 + 5);
    let all = drain(&bound, &mut cursor);
    assert_eq!(all[0], Err((10_000 - kept, false)));
    assert_eq!(all[1..], (10_001 - kept..=10_000).map(Ok).collect::<Vec<_>>());
}

#[test]
fn a_newcomer_that_nobody_tells_the_marks_keeps_a_bounded_number_of_bytes_and_gives_up_once() {
    let mut bound = newcomer();
    let (view, asked) = bound.ask().unwrap();
    let reader = bound.begin(bound.position());
    for number in 1..64 {
        assert_eq!(bound.on_message(member(2), Some(stamp(number)), number, 1 << 20), Arrival::Waits);
    }
    assert!(!bound.take_given_up());
    let position = bound.position().unwrap();
    assert!(bound.covers(position));
    for number in 64..100 {
        assert_eq!(bound.on_message(member(2), Some(stamp(number)), number, 1 << 20), Arrival::Waits);
    }
    assert!(bound.take_given_up());
    assert!(!bound.take_given_up());
    assert_eq!(bound.ask(), None, "there is nothing to be learnt any more");
    let refused = bound.learn(asked, view, Marks::default(), |_, _| {});
    assert_eq!(refused, Err(MarksRefused::GivenUp), "it has dropped some");
    assert!(!bound.covers(position), "what it dropped it does not have");
    assert_eq!(drain(&bound, &mut { reader }), [Err((0, true))]);
}

#[test]
fn a_newcomer_gives_up_once_nobody_is_left_who_knows_the_marks() {
    let mut bound = newcomer();
    let publisher = PublisherId { member: member(9), session: 0 };
    let of_client = Stamp { publisher, number: 1, previous: 0, settled: 0 };
    bound.on_message(member(1), Some(of_client), 1, 1);
    let (first, _) = bound.ask().unwrap();
    bound.on_view(&view(3, &[3, 1, 4], &[4]), 3, 0);
    assert!(!bound.take_given_up());
    assert_eq!(bound.ask(), Some((first, member(3))), "the one that is left, and nobody who came later");
    bound.on_view(&view(4, &[1, 4], &[]), 4, 0);
    assert!(bound.take_given_up());
    assert_eq!(bound.ask(), None);
    assert_eq!(bound.learn(member(3), first, Marks::default(), |_, _| {}), Err(MarksRefused::GivenUp));
    bound.on_outside();
    assert_eq!(
        bound.on_fate(of_client, true),
        Settlement::Again(of_client),
        "nobody knows whether it passed"
    );
}

#[test]
fn marks_are_kept_for_newcomers_as_long_as_they_are_there() {
    let mut bound = BoundGroup::new(own(1), true, 64 << 10);
    bound.on_view(&view(1, &[1, 2], &[]), 0, 0);
    let all = |last: u64| (1..=last).collect::<Vec<_>>();
    for epoch in 2..40 {
        bound.on_view(&view(epoch, &all(epoch + 1), &[epoch + 1]), 0, 0);
    }
    assert!((2..40).all(|epoch| bound.snapshot(id(epoch)).is_some()));
    bound.on_view(&view(40, &all(20), &[]), 0, 0);
    let kept: Vec<u64> = (1..50).filter(|epoch| bound.snapshot(id(*epoch)).is_some()).collect();
    assert_eq!(kept, (2..20).collect::<Vec<_>>());
}

#[test]
fn what_a_newcomer_is_told_late_comes_in_order_with_what_needed_no_telling() {
    let mut bound = newcomer();
    let mut elsewhere = bound.begin(Some(Position { view: id(1), index: 9 }));
    bound.on_message(member(2), Some(stamp(1)), 1, 1);
    bound.on_message(member(2), None, 2, 1);
    let mut now = bound.begin(None);
    bound.on_view(&view(3, &[2, 3, 1], &[]), 3, 0);
    bound.on_message(member(2), Some(stamp(2)), 4, 1);
    bound.on_message(member(2), Some(stamp(2)), 5, 1);
    let (of, asked) = bound.ask().unwrap();
    let mut decided = Vec::new();
    bound
        .learn(asked, of, Marks::default(), |decision, entry| {
            decided.push((decision.position, entry.copied()));
        })
        .unwrap();
    let at = |epoch, index| Position { view: id(epoch), index };
    let expected =
        [(2, 0, Some(0)), (2, 1, Some(1)), (2, 2, Some(2)), (3, 0, Some(3)), (3, 1, Some(4)), (3, 2, None)];
    assert_eq!(decided, expected.map(|(epoch, index, entry)| (at(epoch, index), entry)));
    assert_eq!(drain(&bound, &mut elsewhere), [Err((0, true)), Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(elsewhere.seen(), Some(at(3, 1)));
    assert_eq!(drain(&bound, &mut now), [Ok(3), Ok(4)], "it began behind what was delivered by then");
}

#[test]
fn a_newcomer_takes_the_marks_from_nobody_but_those_it_asked_in_their_present_life() {
    let mut bound = newcomer();
    bound.on_message(member(2), Some(stamp(1)), 1, 1);
    let (view, asked) = bound.ask().unwrap();
    let other = if asked == member(2) { member(3) } else { member(2) };
    let later = Member::new(asked.node, Incarnation::new(2));
    let mut told = Marks::default();
    // A liar wants the publication dropped here that all others pass.
    told.admit(&stamp(1));
    for (liar, of, why) in [
        (other, view, MarksRefused::NotAsked(other)),
        (later, view, MarksRefused::NotAsked(later)),
        (member(9), view, MarksRefused::NotAsked(member(9))),
        (asked, id(3), MarksRefused::OtherView { told: id(3), asked: view }),
    ] {
        assert_eq!(bound.learn(liar, of, told.clone(), |_, _| {}), Err(why));
        assert!(bound.is_undecided());
    }
    // The next one is asked before the first one has answered; both may.
    assert_eq!(bound.ask(), Some((view, other)));
    let mut passed = Vec::new();
    bound.learn(asked, view, Marks::default(), |it, _| passed.push(it.admission)).unwrap();
    assert_eq!(passed, [Admission::New, Admission::New], "the view and the publication");
    assert_eq!(bound.learn(other, view, told, |_, _| {}), Err(MarksRefused::NotWaiting));
}

#[test]
fn a_publication_that_was_dropped_or_forgotten_before_it_was_decided_is_submitted_again() {
    let mut bound = newcomer();
    let publisher = PublisherId { member: member(9), session: 0 };
    let of = |number| Stamp { publisher, number, previous: number - 1, settled: 0 };
    bound.on_message(member(1), Some(of(7)), 1, 1);
    assert_eq!(bound.on_fate(of(7), true), Settlement::NotYet);
    bound.on_outside();
    assert_eq!(bound.on_fate(of(7), true), Settlement::Again(of(7)), "nobody here knows whether it passed");
    bound.on_view(&view(4, &[2, 3, 1], &[1]), 0, 0);
    bound.on_message(member(1), Some(of(7)), 2, 1);
    let (view, asked) = bound.ask().unwrap();
    bound.learn(asked, view, Marks::default(), |_, _| {}).unwrap();
    assert_eq!(bound.on_fate(of(7), true), Settlement::Again(of(7)), "one before it is missing");
    assert_eq!(admission(bound.on_message(member(2), Some(of(7)), 2, 1)), Some(Admission::Gap));
    assert_eq!(bound.on_fate(of(7), true), Settlement::Passed, "another member saw to that one");
}

#[test]
fn a_publication_that_was_submitted_twice_and_dropped_twice_has_not_passed() {
    let mut bound = BoundGroup::<u64>::new(own(1), true, 64 << 10);
    bound.on_view(&view(1, &[1, 2], &[]), 0, 0);
    let publisher = PublisherId { member: member(9), session: 0 };
    let of = |number| Stamp { publisher, number, previous: number - 1, settled: 0 };
    for _ in 0..2 {
        assert_eq!(admission(bound.on_message(member(1), Some(of(2)), 2, 1)), Some(Admission::Gap));
    }
    for _ in 0..2 {
        assert_eq!(bound.on_fate(of(2), true), Settlement::Again(of(2)), "one before it is missing");
    }
    for number in [1, 2] {
        assert_eq!(admission(bound.on_message(member(1), Some(of(number)), 2, 1)), Some(Admission::New));
        assert_eq!(bound.on_fate(of(number), true), Settlement::Passed);
    }
}

#[test]
fn own_publications_are_numbered_and_say_what_is_settled() {
    let mut bound = BoundGroup::<u64>::new(own(1), true, 1);
    let stamps = [bound.stamp(), bound.stamp(), bound.stamp()];
    assert_eq!(stamps.map(|it| (it.number, it.previous, it.settled)), [(1, 0, 0), (2, 1, 0), (3, 2, 0)]);
    assert_eq!(bound.on_fate(stamps[1], true), Settlement::Passed);
    assert_eq!(bound.stamp().settled, 0);
    assert_eq!(bound.on_fate(stamps[0], false), Settlement::Again(stamps[0]));
    bound.give_up(own(1), 1);
    assert_eq!(bound.stamp().settled, 2);
}

/// What was acknowledged before the group was lost is not published again, so those behind it must not wait for it.
#[test]
fn a_publication_goes_on_in_a_group_founded_anew_behind_what_was_acknowledged_in_the_lost_one() {
    let mut bound = BoundGroup::<u64>::new(own(1), true, 64 << 10);
    bound.on_view(&view(1, &[1, 2], &[]), 0, 0);
    let publisher = PublisherId { member: member(9), session: 0 };
    let of_client = [1, 2, 3].map(|number| Stamp { publisher, number, previous: number - 1, settled: 0 });
    let of_node = [bound.stamp(), bound.stamp(), bound.stamp()];
    for stamp in [of_client[0], of_node[0]] {
        assert_eq!(admission(bound.on_message(member(1), Some(stamp), 1, 1)), Some(Admission::New));
        assert_eq!(bound.on_fate(stamp, true), Settlement::Passed);
    }
    bound.on_outside();
    let anew = ViewId { lineage: 8, epoch: 1 };
    bound.on_view(&View { id: anew, ..view(1, &[1, 2], &[]) }, 0, 0);
    for [_, second, third] in [of_client, of_node] {
        let Settlement::Again(third) = bound.on_fate(third, false) else { panic!("it was lost") };
        assert_eq!(
            admission(bound.on_message(member(1), Some(third), 3, 1)),
            Some(Admission::Gap),
            "the second one is lost, too, and comes again"
        );
        for lost in [second, third] {
            let Settlement::Again(again) = bound.on_fate(lost, lost == third) else {
                panic!("it did not pass")
            };
            assert_eq!(again, Stamp { settled: lost.previous, ..lost });
            assert_eq!(admission(bound.on_message(member(1), Some(again), 1, 1)), Some(Admission::New));
            assert_eq!(bound.on_fate(again, true), Settlement::Passed);
        }
    }
}

#[test]
fn what_a_node_publishes_when_it_has_joined_its_group_anew_is_no_repetition() {
    let mut other = BoundGroup::new(own(2), true, 1 << 20);
    other.on_view(&view(1, &[1, 2], &[]), 0, 0);
    for stay in 1..=2 {
        let mut bound =
            BoundGroup::<u64>::new(PublisherId { member: member(1), session: stay }, true, 1 << 20);
        for _ in 0..3 {
            let arrival = other.on_message(member(1), Some(bound.stamp()), 0, 1);
            assert_eq!(admission(arrival), Some(Admission::New), "in stay {stay}");
        }
    }
}

#[test]
fn a_reader_is_told_when_its_member_was_outside_and_goes_on_there() {
    let mut bound = BoundGroup::new(own(1), false, 1 << 20);
    bound.on_view(&view(1, &[1, 2], &[]), 0, 0);
    let mut cursor = bound.begin(None);
    bound.on_message(member(2), None, 1, 1);
    let position = bound.position().unwrap();
    assert_eq!(bound.begins(), Some(Position::beginning(id(1))));
    assert!(bound.covers(position));
    bound.on_outside();
    assert_eq!(bound.begins(), None);
    assert!(!bound.covers(position), "what comes next is missed here");
    bound.on_view(&view(5, &[2, 1], &[1]), 5, 0);
    assert!(!bound.is_undecided(), "nobody publishes to it");
    assert_eq!(drain(&bound, &mut cursor), [Err((1, true)), Ok(5)]);
}
