//! Letters come out as they went in, however they travel, or stay with their sender.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_membership::Seq;

use super::{Incoming, Letter, Letters, Outgoing, Purpose};
use crate::{
    Ticket,
    stream::COUNT_MAX,
    weight::{MESSAGE_BYTES_MIN, weight},
};

/// Of what overtakes; a few letters.
const AHEAD_BYTES_MAX: usize = 5 * MESSAGE_BYTES_MIN;
/// Payloads are shorter than what each counts for at least.
const LETTER_BYTES_MAX: usize = MESSAGE_BYTES_MIN;

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Send(usize),
    SendAgain(usize),
    Arrives(usize),
    ArrivesAndComesAgain(usize),
    Lost(usize),
    Acknowledge,
    /// An acknowledgement of letters, some of which were perhaps never sent.
    Claim(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || any::<usize>();
    let bytes = || 1..200_usize;
    let step = prop_oneof![
        5 => (0..LETTER_BYTES_MAX).prop_map(Step::Push),
        4 => bytes().prop_map(Step::Send),
        2 => bytes().prop_map(Step::SendAgain),
        5 => which().prop_map(Step::Arrives),
        2 => which().prop_map(Step::ArrivesAndComesAgain),
        2 => which().prop_map(Step::Lost),
        2 => Just(Step::Acknowledge),
        1 => prop_oneof![0..30_u64, Just(u64::MAX)].prop_map(Step::Claim),
    ];
    prop::collection::vec(step, 0..100)
}

#[derive(Default)]
struct World {
    outgoing: Outgoing,
    incoming: Incoming,
    pushed: Vec<Letter>,
    delivered: Vec<(Purpose, Bytes)>,
    /// How many the sender knows to be delivered, and has ever sent.
    settled: usize,
    sent: u64,
    flying: Vec<Letters>,
}

impl World {
    fn push(&mut self, bytes: usize) {
        let number = self.pushed.len() as u64;
        let purpose = [Purpose::Message, Purpose::Request(number), Purpose::Answer(number)][bytes % 3];
        let payload = Bytes::from(vec![number as u8; bytes]);
        let letter = Letter { purpose, payload, ticket: Some(Ticket(number)) };
        self.pushed.push(letter.clone());
        self.outgoing.push(letter);
    }

    fn send(&mut self, letters: Option<Letters>) {
        let Some(letters) = letters else { return };
        assert_eq!(letters.purposes.len(), letters.batch.len());
        self.sent = self.sent.max(letters.first.get() + letters.batch.len() as u64 - 1);
        self.flying.push(letters);
    }

    fn arrive(&mut self, letters: Letters) {
        let brought = letters.batch.len();
        let due = self.incoming.accept(letters, AHEAD_BYTES_MAX);
        let kept: usize = due.iter().skip(brought).map(|(_, payload)| weight(payload)).sum();
        assert!(kept < AHEAD_BYTES_MAX + LETTER_BYTES_MAX, "{kept} bytes were kept");
        self.delivered.extend(due);
    }

    fn acknowledge(&mut self, through: u64) {
        let Some(settled) = self.outgoing.acknowledge(Seq::new(through)) else {
            return assert!(through > self.sent, "{through} was sent");
        };
        assert!(through <= self.sent, "{through} was never sent");
        let next = &self.pushed[self.settled..self.settled + settled.len()];
        assert_eq!(settled, next, "each is settled once, in order");
        self.settled += settled.len();
    }

    fn check(&self) {
        let all = self.pushed.iter().map(|letter| (letter.purpose, letter.payload.clone()));
        assert!(all.clone().take(self.delivered.len()).eq(self.delivered.iter().cloned()), "in order, once");
        assert_eq!(self.incoming.delivered(), Seq::new(self.delivered.len() as u64));
        let unsettled = &self.pushed[self.settled..];
        assert_eq!(self.outgoing.bytes(), unsettled.iter().map(Letter::size).sum::<usize>());
        assert_eq!(self.outgoing.is_empty(), unsettled.is_empty());
        let (sent, unsent) = self.outgoing.clone().close();
        let positions: Vec<u64> = sent.iter().map(|(seq, _)| seq.get()).collect();
        assert!(positions.iter().copied().eq(self.settled as u64 + 1..=self.sent));
        let closed = sent.into_iter().map(|(_, letter)| letter).chain(unsent);
        assert!(closed.eq(unsettled.iter().cloned()), "no letter gets lost when the channel ends");
    }

    fn step(&mut self, step: Step) {
        let at = |which: usize| which % self.flying.len().max(1);
        match step {
            Step::Push(bytes) => self.push(bytes),
            Step::Send(bytes) => {
                let letters = self.outgoing.next(bytes);
                self.send(letters);
            }
            Step::SendAgain(bytes) => {
                let sent = self.sent;
                let letters = self.outgoing.again(bytes);
                self.send(letters);
                assert_eq!(self.sent, sent, "nothing new is sent again");
            }
            Step::Arrives(which) if !self.flying.is_empty() => {
                let letters = self.flying.swap_remove(at(which));
                self.arrive(letters);
            }
            Step::ArrivesAndComesAgain(which) if !self.flying.is_empty() => {
                self.arrive(self.flying[at(which)].clone());
            }
            Step::Lost(which) if !self.flying.is_empty() => drop(self.flying.swap_remove(at(which))),
            Step::Acknowledge => self.acknowledge(self.incoming.delivered().get()),
            // What a liar acknowledges is lost to itself alone, so here nobody claims what did not arrive.
            Step::Claim(through) if through > self.sent || through <= self.incoming.delivered().get() => {
                self.acknowledge(through);
            }
            _ => {}
        }
        self.check();
    }
}

proptest! {
    #[test]
    fn letters_are_delivered_once_and_in_order_and_all_of_them_once_nothing_is_lost(steps in steps()) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        for _ in 0..2 * world.pushed.len() + 2 {
            for step in [Step::Send(100), Step::SendAgain(100), Step::Arrives(0), Step::Acknowledge] {
                world.step(step);
            }
        }
        prop_assert_eq!(world.delivered.len(), world.pushed.len());
        prop_assert_eq!(world.settled, world.pushed.len());
    }

    #[test]
    fn whatever_positions_a_peer_names_positions_are_taken_once_and_in_order(
        batches in prop::collection::vec(
            (prop_oneof![0..12_u64, Just(COUNT_MAX - 9)], 0..6_usize, 0..6_usize), 0..60,
        ),
    ) {
        let (mut incoming, mut delivered) = (Incoming::default(), 0);
        for (first, purposes, payloads) in batches {
            let purposes = vec![Purpose::Message; purposes];
            // The payload says at which position it was said to be.
            let payload = |place: usize| Bytes::copy_from_slice(&(first + place as u64).to_be_bytes());
            let batch = (0..payloads).map(payload).collect();
            for (_, payload) in incoming.accept(Letters { first: Seq::new(first), purposes, batch }, 300) {
                delivered += 1;
                prop_assert_eq!(&payload[..], &u64::to_be_bytes(delivered)[..]);
            }
            prop_assert_eq!(incoming.delivered(), Seq::new(delivered));
        }
    }
}
