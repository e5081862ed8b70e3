//! What is received equals what was given, however its parts travel, or the transfer does not end.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quorate_membership::{Incarnation, NodeId};
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::transfer::{ChunkLabel, Donor};

const VIEW: ViewId = ViewId { lineage: 1, epoch: 4 };
const PATIENCE: Duration = Duration::from_millis(500);

fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(1))
}

const LEARNER: u64 = 9;

#[derive(Clone, Debug)]
enum Packet {
    Want(Want),
    Chunk(Member, Chunk),
}

/// What happens to one of the packets on their way, or beside them.
#[derive(Clone, Debug)]
enum Fault {
    Arrives(usize),
    ArrivesAndComesAgain(usize),
    Lost(usize),
    Damaged(usize, u8),
    TimePasses(u64),
    /// The donor no longer has the snapshot.
    Refuses(u64),
    /// The view goes on without this donor.
    Dies(u64),
    Lie(u64, ChunkLabel, Vec<u8>),
}

fn lies() -> impl Strategy<Value = Fault> {
    let number = || prop_oneof![6 => 0..24_u64, 1 => Just(1 << 30)];
    let whole = (number(), prop_oneof![3 => Just(7), 1 => any::<u64>()]);
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    (1..4_u64, whole, number(), bytes).prop_map(|(from, (length, digest), offset, bytes)| {
        let check = Chunk::check(offset, &bytes);
        Fault::Lie(from, ChunkLabel { snapshot: VIEW, length, digest, offset, check }, bytes)
    })
}

fn faults() -> impl Strategy<Value = Fault> {
    let which = || any::<usize>();
    prop_oneof![
        10 => which().prop_map(Fault::Arrives),
        3 => which().prop_map(Fault::ArrivesAndComesAgain),
        2 => which().prop_map(Fault::Lost),
        1 => (which(), 1..=255_u8).prop_map(|(which, by)| Fault::Damaged(which, by)),
        3 => (0..400_u64).prop_map(Fault::TimePasses),
        1 => (1..3_u64).prop_map(Fault::Refuses),
        1 => (1..3_u64).prop_map(Fault::Dies),
    ]
}

struct World {
    now: Time,
    receiver: Receiver,
    donors: Vec<Donor>,
    chunk_bytes: usize,
    flying: Vec<Packet>,
    /// What the application has been given since the last beginning, of how much, and whether that is all.
    app: Vec<u8>,
    length: Option<u64>,
    complete: bool,
}

impl World {
    /// Donors 1 to 3; the third one is never struck, and may have another state than the rest.
    fn new(states: [Vec<u8>; 3], chunk_bytes: [usize; 2]) -> Self {
        let donor = |state: Vec<u8>| {
            let mut donor = Donor::default();
            donor.expect(VIEW, BTreeSet::from([member(LEARNER)]));
            donor.supply(VIEW, state.into());
            donor
        };
        let members = (1..=3).map(member).collect();
        Self {
            now: Time::ZERO,
            receiver: Receiver::new(Time::ZERO, VIEW, members, chunk_bytes[0]),
            donors: states.map(donor).into(),
            chunk_bytes: chunk_bytes[1],
            flying: Vec::new(),
            app: Vec::new(),
            length: None,
            complete: false,
        }
    }

    fn tick(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        let want = self.receiver.tick(self.now, PATIENCE);
        self.flying.extend(want.map(Packet::Want));
    }

    fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::Want(want) => {
                assert!(want.credit <= self.receiver.credit(), "it asks for no more than it can take");
                let donor = &self.donors[want.donor.node.get() as usize - 1];
                let part = (want.offset, want.credit);
                match donor.serve(member(LEARNER), VIEW, part, self.chunk_bytes) {
                    Some(chunks) => {
                        let chunks = chunks.into_iter().map(|chunk| Packet::Chunk(want.donor, chunk));
                        self.flying.extend(chunks);
                    }
                    None => drop(self.receiver.strike(want.donor)),
                }
            }
            Packet::Chunk(from, chunk) => self.take(from, chunk),
        }
    }

    fn take(&mut self, from: Member, chunk: Chunk) {
        let (steps, want) = self.receiver.accept(self.now, from, chunk);
        self.flying.extend(want.map(Packet::Want));
        for step in steps {
            assert!(!self.complete, "nothing follows the end");
            match step {
                Step::Begin(length) => (self.app, self.length) = (Vec::new(), Some(length)),
                Step::Bytes(bytes) => self.app.extend_from_slice(&bytes),
                Step::End => self.complete = true,
            }
            assert!(self.app.len() as u64 <= self.length.expect("a beginning"), "R1");
        }
    }

    fn suffer(&mut self, fault: Fault) {
        let at = |which: usize| which % self.flying.len().max(1);
        match fault {
            Fault::Arrives(which) if !self.flying.is_empty() => {
                let packet = self.flying.swap_remove(at(which));
                self.arrive(packet);
            }
            Fault::ArrivesAndComesAgain(which) if !self.flying.is_empty() => {
                self.arrive(self.flying[at(which)].clone());
            }
            Fault::Lost(which) if !self.flying.is_empty() => drop(self.flying.swap_remove(at(which))),
            Fault::Damaged(which, by) if !self.flying.is_empty() => {
                let place = at(which);
                if let Packet::Chunk(_, chunk) = &mut self.flying[place] {
                    chunk.bytes = chunk.bytes.iter().map(|byte| byte ^ by).collect();
                }
            }
            Fault::TimePasses(millis) => self.tick(millis),
            Fault::Refuses(donor) => drop(self.receiver.strike(member(donor))),
            Fault::Dies(donor) => drop(self.receiver.keep(|it| *it != member(donor))),
            Fault::Lie(from, label, bytes) => self.take(member(from), Chunk { label, bytes: bytes.into() }),
            _ => {}
        }
    }

    fn check_bounds(&self) {
        let Receiver { ahead, ahead_bytes, received, .. } = &self.receiver;
        let credit = self.receiver.credit();
        assert!(ahead.len() <= AHEAD_CHUNKS_MAX && *ahead_bytes <= credit * 2, "R2: {ahead_bytes}");
        assert_eq!(ahead.values().map(|bytes| bytes.len() as u64).sum::<u64>(), *ahead_bytes, "R2");
        assert!(ahead.keys().all(|offset| (*received..=received + credit).contains(offset)), "R2");
        let is_small = |packet: &&Packet| matches!(packet, Packet::Chunk(..));
        assert!(self.flying.iter().filter(is_small).count() < 100_000);
    }

    /// Nothing is lost any more.
    fn calm_down(&mut self) {
        for _ in 0..200 {
            self.tick(130);
            for packet in std::mem::take(&mut self.flying) {
                if !self.complete {
                    self.arrive(packet);
                }
            }
        }
    }
}

fn states() -> impl Strategy<Value = [Vec<u8>; 3]> {
    let state = || prop::collection::vec(any::<u8>(), 0..60);
    (state(), prop::option::weighted(0.3, state()))
        .prop_map(|(one, other)| [one.clone(), other.unwrap_or_else(|| one.clone()), one])
}

proptest! {
    #[test]
    fn a_state_arrives_as_it_was_whatever_happens_to_its_parts_and_to_its_donors(
        states in states(), chunk_bytes in [1..6_usize, 1..6_usize],
        faults in prop::collection::vec(faults(), 0..80),
    ) {
        let mut world = World::new(states.clone(), chunk_bytes);
        for fault in faults {
            if world.complete {
                break;
            }
            world.suffer(fault);
            world.check_bounds();
        }
        world.calm_down();
        prop_assert!(world.complete, "one donor is there still: {:?}", world.receiver);
        prop_assert!(states.contains(&world.app), "{:?} is nobody's state", world.app);
    }

    #[test]
    fn a_lying_donor_passes_off_nothing_but_what_its_own_digest_names_and_takes_up_no_room(
        state in prop::collection::vec(any::<u8>(), 0..24),
        lies in prop::collection::vec(prop_oneof![2 => lies(), 1 => faults()], 0..200),
    ) {
        let mut world = World::new([state.clone(), state.clone(), state], [2, 2]);
        for lie in lies {
            if world.complete {
                break;
            }
            world.suffer(lie);
            world.check_bounds();
        }
        if world.complete {
            let named = world.receiver.expected.expect("what was received");
            prop_assert_eq!(named, (world.app.len() as u64, xxh3_64(&world.app)));
        }
    }
}
