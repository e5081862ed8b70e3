//! One transfer, step by step.

use std::collections::BTreeSet;

use quorate_membership::{Incarnation, NodeId};

use super::*;
use crate::transfer::{ChunkLabel, Donor};

const VIEW: ViewId = ViewId { lineage: 1, epoch: 4 };
const ROUND: Duration = Duration::from_millis(500);

fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(1))
}

fn donor(state: &'static [u8]) -> Donor {
    let mut donor = Donor::default();
    donor.expect(VIEW, BTreeSet::from([member(9)]));
    donor.supply(VIEW, Bytes::from_static(state));
    donor
}

/// What the application has: its bytes, whether they are all, and how often they began.
type App = (Vec<u8>, bool, u32);

/// Answers a question; returns those that follow.
fn answer(receiver: &mut Receiver, donor: &Donor, want: Want, app: &mut App) -> Vec<Want> {
    let chunks = donor.serve(member(9), VIEW, (want.offset, want.credit), 2).expect("it is kept");
    let mut next = Vec::new();
    for chunk in chunks {
        let (steps, want) = receiver.accept(Time::ZERO, want.donor, chunk);
        next.extend(want);
        for step in steps {
            match step {
                Step::Begin(_) => *app = (Vec::new(), false, app.2 + 1),
                Step::Bytes(bytes) => app.0.extend_from_slice(&bytes),
                Step::End => app.1 = true,
            }
        }
    }
    next
}

fn transfer(receiver: &mut Receiver, donor: &Donor, app: &mut App) {
    let mut wants: Vec<Want> = receiver.want().into_iter().collect();
    while !wants.is_empty() && !app.1 {
        let want = wants.remove(0);
        wants.extend(answer(receiver, donor, want, app));
    }
}

#[test]
fn a_snapshot_arrives_whole_whatever_its_length() {
    for length in [0, 1, 2, 7, 8, 9, 40] {
        let state: &'static [u8] = &[7; 40][..length];
        let (mut receiver, mut app) =
            (Receiver::new(Time::ZERO, VIEW, vec![member(1)], 2), Default::default());
        transfer(&mut receiver, &donor(state), &mut app);
        assert_eq!(app, (state.to_vec(), true, 1), "{length}");
    }
}

#[test]
fn another_donor_goes_on_where_the_first_one_ended() {
    let mut receiver = Receiver::new(Time::ZERO, VIEW, vec![member(1), member(2)], 2);
    let (state, mut app) = (donor(b"abcdefghijklmnop"), Default::default());
    let first = receiver.want().unwrap();
    answer(&mut receiver, &state, first, &mut app);
    assert_eq!((app.0.as_slice(), app.1), (&b"abcdefgh"[..], false));
    assert!(receiver.strike(member(1)));
    let second = receiver.want().unwrap();
    assert_eq!((second.donor, second.offset), (member(2), 8));
    transfer(&mut receiver, &state, &mut app);
    assert_eq!(app, (b"abcdefghijklmnop".to_vec(), true, 1));
}

#[test]
fn a_donor_with_another_snapshot_makes_it_start_over() {
    let mut receiver = Receiver::new(Time::ZERO, VIEW, vec![member(1), member(2)], 2);
    let mut app = Default::default();
    let first = receiver.want().unwrap();
    answer(&mut receiver, &donor(b"abcdefghijklmnop"), first, &mut app);
    assert_eq!(receiver.tick(Time::ZERO + ROUND, ROUND).unwrap().donor, member(2));
    transfer(&mut receiver, &donor(b"ABCDEFGHIJKLMNOP"), &mut app);
    assert_eq!(app, (b"ABCDEFGHIJKLMNOP".to_vec(), true, 2));
}

#[test]
fn a_donor_with_a_shorter_state_makes_it_start_over_as_well() {
    for shorter in [&b"ABCD"[..], b""] {
        let mut receiver = Receiver::new(Time::ZERO, VIEW, vec![member(1), member(2)], 2);
        let mut app = Default::default();
        let first = receiver.want().unwrap();
        answer(&mut receiver, &donor(b"abcdefghijklmnop"), first, &mut app);
        assert!(receiver.strike(member(1)));
        transfer(&mut receiver, &donor(shorter), &mut app);
        assert_eq!(app, (shorter.to_vec(), true, 2));
    }
}

#[test]
fn no_more_is_kept_ahead_of_a_hole_than_was_asked_for_twice() {
    let mut receiver = Receiver::new(Time::ZERO, VIEW, vec![member(1)], 100);
    let (bytes, whole) = (Bytes::from(vec![0; 400]), ChunkLabel { length: 1 << 20, ..label(0, b"") });
    receiver.accept(Time::ZERO, member(1), Chunk { label: whole, bytes: Bytes::new() });
    for offset in 1..=400 {
        let label = ChunkLabel { offset, check: Chunk::check(offset, &bytes), ..whole };
        assert_eq!(
            receiver.accept(Time::ZERO, member(1), Chunk { label, bytes: bytes.clone() }),
            (vec![], None)
        );
    }
    assert_eq!((receiver.ahead.len(), receiver.ahead_bytes), (2, 800));
    let longer = Chunk { label: label(0, &[0; 401]), bytes: Bytes::from(vec![0; 401]) };
    assert_eq!(receiver.accept(Time::ZERO, member(1), longer).0.len(), 1, "begins, and takes nothing");
    assert_eq!(receiver.progress(), (0, Some(401)));
}

/// Says what a whole is that consists of this one chunk.
fn label(offset: u64, bytes: &[u8]) -> ChunkLabel {
    let check = Chunk::check(offset, bytes);
    ChunkLabel { snapshot: VIEW, length: bytes.len() as u64, digest: 7, offset, check }
}

#[test]
fn damaged_chunks_and_strangers_are_ignored() {
    let mut receiver = Receiver::new(Time::ZERO, VIEW, vec![member(1)], 2);
    let chunks = donor(b"abcd").serve(member(9), VIEW, (0, 8), 2).unwrap();
    let damaged = Chunk { bytes: Bytes::from_static(b"xx"), ..chunks[0].clone() };
    assert_eq!(receiver.accept(Time::ZERO, member(1), damaged), (vec![], None));
    assert_eq!(receiver.accept(Time::ZERO, member(2), chunks[0].clone()), (vec![], None));
    assert_eq!(receiver.progress(), (0, None));
}

#[test]
fn a_donor_whose_application_refuses_says_that_it_has_nothing() {
    let mut silent = Donor::default();
    silent.expect(VIEW, BTreeSet::from([member(9)]));
    assert_eq!(silent.serve(member(9), VIEW, (0, 8), 2), Some(vec![]), "it may still come");
    silent.refuse(VIEW);
    assert_eq!(silent.serve(member(9), VIEW, (0, 8), 2), None);
    let mut given = donor(b"abcd");
    given.refuse(VIEW);
    assert!(given.serve(member(9), VIEW, (0, 8), 2).is_some(), "what was given stays");
}

#[test]
fn nobody_but_the_learner_is_served() {
    assert_eq!(donor(b"abcd").serve(member(8), VIEW, (0, 8), 2), None);
}
