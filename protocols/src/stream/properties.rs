//! The four orders over links that lose, repeat and reorder, and beside a member that lies.

use bytes::Bytes;
use proptest::{prelude::*, sample::select};

use super::*;

const MEMBERS: usize = 3;
/// Bytes of frames in one answer to a question for missing ones.
const REFILL_BYTES: usize = 400;

#[derive(Clone, Debug)]
enum Packet {
    Data(usize, Row, Frame),
    Status(usize, Row),
    Refill(usize, Vec<Frame>),
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, Vec<usize>),
    Tell(usize),
    /// Fetches what is missing here from another member that has it.
    Fetch(usize, usize),
    Arrives(usize),
    ArrivesAndComesAgain(usize),
    Lost(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (member, which) = (|| 0..MEMBERS, || any::<usize>());
    let batch = prop::collection::vec(0..100_usize, 0..3);
    let step = prop_oneof![
        3 => (member(), batch).prop_map(|(by, batch)| Step::Send(by, batch)),
        2 => member().prop_map(Step::Tell),
        2 => (member(), member()).prop_map(|(by, from)| Step::Fetch(by, from)),
        9 => which().prop_map(Step::Arrives),
        2 => which().prop_map(Step::ArrivesAndComesAgain),
        2 => which().prop_map(Step::Lost),
    ];
    prop::collection::vec(step, 0..120)
}

/// Three members, and a learner that only listens.
struct World {
    order: Order,
    streams: Vec<Stream>,
    flying: Vec<(usize, Packet)>,
    /// All frames ever sent, per sender.
    sent: Vec<Vec<Frame>>,
    /// What each has delivered, as sender and position, in order.
    delivered: Vec<Vec<(usize, Seq)>>,
}

impl World {
    fn new(order: Order) -> Self {
        let stream = |me| Stream::new(order, MEMBERS, me, None).for_learners(1, 1 << 20);
        Self {
            order,
            streams: (0..MEMBERS).map(Some).chain([None]).map(stream).collect(),
            flying: Vec::new(),
            sent: vec![Vec::new(); MEMBERS],
            delivered: vec![Vec::new(); MEMBERS + 1],
        }
    }

    fn post(&mut self, by: usize, packet: &Packet) {
        let others = (0..=MEMBERS).filter(|to| *to != by);
        self.flying.extend(others.map(|to| (to, packet.clone())));
    }

    fn tell(&mut self, by: usize) {
        let row = self.streams[by].row();
        self.post(by, &Packet::Status(by, row));
    }

    fn fetch(&mut self, by: usize, from: usize) {
        for (rank, first) in self.streams[by].gaps() {
            let frames = self.streams[from].frames(rank, first, Seq::new(u64::MAX), REFILL_BYTES);
            self.flying.push((by, Packet::Refill(rank, frames)));
        }
    }

    fn arrive(&mut self, (to, packet): (usize, Packet)) {
        let stream = &mut self.streams[to];
        let before = stream.row();
        let done = match packet {
            Packet::Data(rank, row, frame) => stream.on_frame(rank, &row, frame).map(drop),
            Packet::Status(rank, row) => stream.on_row(rank, &row).map(drop),
            Packet::Refill(rank, frames) => {
                frames.into_iter().try_for_each(|frame| stream.receive(rank, frame).map(drop))
            }
        };
        assert_eq!(done, Ok(()), "a correct member is believed");
        check_growth(&before, &stream.row());
        self.deliver(to);
    }

    fn deliver(&mut self, at: usize) {
        while let Some(passed) = self.streams[at].deliver_next() {
            let frame = &self.sent[passed.sender][passed.seq.get() as usize - 1];
            assert_eq!((&passed.batch, &passed.requests), (&frame.batch, &frame.requests));
            let last = self.delivered[at].iter().rev().find(|(sender, _)| *sender == passed.sender);
            assert_eq!(passed.seq, last.map_or(Seq::NONE, |(_, seq)| *seq).next(), "FIFO");
            let count = |sender: usize| self.delivered[at].iter().filter(|(of, _)| *of == sender).count();
            if self.order > Order::Fifo {
                let caused = (0..MEMBERS).all(|sender| frame.after[sender].get() as usize <= count(sender));
                assert!(caused, "causal: {frame:?} at {at}");
            }
            let holds = |stream: &&Stream| stream.holdings()[passed.sender] >= passed.seq;
            let holders = self.streams[..MEMBERS].iter().filter(holds).count();
            if passed.uniform || self.order == Order::Uniform || at == MEMBERS {
                assert!(holders >= majority(MEMBERS), "uniform: held by {holders}");
            }
            self.delivered[at].push((passed.sender, passed.seq));
        }
    }

    fn step(&mut self, step: Step) {
        let at = |which: usize| which % self.flying.len().max(1);
        match step {
            Step::Send(by, batch) => {
                let batch: Vec<Bytes> = batch.into_iter().map(|bytes| vec![by as u8; bytes].into()).collect();
                let heads: Vec<Bytes> =
                    batch.iter().map(|payload| payload.slice(..payload.len() / 2)).collect();
                let heads = if batch.len().is_multiple_of(2) { heads } else { Vec::new() };
                let requests = batch.first().map(|_| (0, 7)).into_iter().collect();
                let frame = self.streams[by].send(requests, heads.into(), batch.into());
                self.sent[by].push(frame.clone());
                let row = self.streams[by].row();
                self.post(by, &Packet::Data(by, row, frame));
                self.deliver(by);
            }
            Step::Tell(by) => self.tell(by),
            Step::Fetch(by, from) => self.fetch(by, from),
            Step::Arrives(which) if !self.flying.is_empty() => {
                let packet = self.flying.swap_remove(at(which));
                self.arrive(packet);
            }
            Step::ArrivesAndComesAgain(which) if !self.flying.is_empty() => {
                self.arrive(self.flying[at(which)].clone());
            }
            Step::Lost(which) if !self.flying.is_empty() => drop(self.flying.swap_remove(at(which))),
            _ => {}
        }
        if self.order >= Order::Total {
            for [a, b] in [[0, 1], [1, 2], [0, 2], [0, MEMBERS]] {
                assert!(self.delivered[a].iter().zip(&self.delivered[b]).all(|(a, b)| a == b), "total");
            }
        }
    }

    /// Nothing is lost any more, and everybody asks until nothing is missing.
    fn calm_down(&mut self) {
        let all: usize = self.sent.iter().map(Vec::len).sum();
        for _ in 0..2 * all + 6 {
            (0..MEMBERS).for_each(|by| self.tell(by));
            (0..=MEMBERS).for_each(|by| self.fetch(by, all % MEMBERS));
            for rank in 0..MEMBERS {
                (0..=MEMBERS).filter(|by| *by != rank).for_each(|by| self.fetch(by, rank));
            }
            for packet in std::mem::take(&mut self.flying) {
                self.arrive(packet);
            }
            let learned = self.streams[MEMBERS].holdings();
            for stream in &mut self.streams[..MEMBERS] {
                stream.on_learner(0, &learned).expect("one entry per member");
            }
        }
    }
}

/// T1 and T3: nobody takes back what it has said of itself.
fn check_growth(before: &Row, after: &Row) {
    assert!(before.clock <= after.clock && before.sent == after.sent);
    assert!(before.received.iter().zip(&after.received).all(|(a, b)| a <= b), "T3");
    assert!(before.delivered.iter().zip(&after.delivered).all(|(a, b)| a <= b), "T3");
    assert!(after.delivered.iter().zip(&after.received).all(|(d, r)| d <= r), "T1");
}

/// Whether the member with this rank may say so of itself when the first one has sent so many frames.
fn is_possible(row: &Row, rank: usize, sent: u64) -> bool {
    let Row { clock, sent: own, received, delivered } = row;
    let whole = [received.len(), delivered.len()] == [MEMBERS; 2];
    let in_order = delivered.iter().zip(received).all(|(delivered, received)| delivered <= received);
    whole
        && in_order
        && *clock <= count(received.iter().copied())
        && received[0] <= Seq::new(sent)
        && received[rank] <= *own
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..6_u64, 1 => select(&[COUNT_MAX, COUNT_MAX + 1, u64::MAX, 1 << 32][..])]
}

fn counters() -> impl Strategy<Value = Vec<Seq>> {
    let some = |length| prop::collection::vec(numbers().prop_map(Seq::new), length);
    prop_oneof![6 => some(3..4), 1 => some(0..5)]
}

fn rows() -> impl Strategy<Value = Row> {
    (numbers(), numbers(), counters(), prop::option::of(counters())).prop_map(
        |(clock, sent, received, delivered)| {
            let delivered = delivered.unwrap_or_else(|| vec![Seq::NONE; received.len()]);
            Row { clock, sent: Seq::new(sent), received, delivered }
        },
    )
}

fn frames() -> impl Strategy<Value = Frame> {
    let requests = prop::collection::vec((0..3_u32, numbers()), 0..2);
    (numbers(), numbers(), counters(), requests, 0..3_usize).prop_map(
        |(seq, clock, after, requests, messages)| {
            let batch = vec![Bytes::from_static(b"lie"); messages];
            Frame { seq: Seq::new(seq), clock, after, requests, heads: Batch::default(), batch: batch.into() }
        },
    )
}

#[derive(Clone, Debug)]
enum Lie {
    Row(Row),
    Data(Row, Frame),
    /// Frames of any member, the victim included.
    Refill(usize, Frame),
    Learner(Vec<Seq>),
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        3 => rows().prop_map(Lie::Row),
        3 => (rows(), frames()).prop_map(|(row, frame)| Lie::Data(row, frame)),
        2 => (0..MEMBERS, frames()).prop_map(|(rank, frame)| Lie::Refill(rank, frame)),
        1 => counters().prop_map(Lie::Learner),
    ]
}

proptest! {
    #[test]
    fn every_order_keeps_its_promise_and_everything_is_delivered_and_freed_once_nothing_is_lost(
        order in select(&Order::ALL[..]), steps in steps(),
    ) {
        let mut world = World::new(order);
        for step in steps {
            world.step(step);
        }
        world.calm_down();
        for (at, stream) in world.streams.iter().enumerate() {
            for (sender, sent) in world.sent.iter().enumerate() {
                let delivered = world.delivered[at].iter().filter(|(of, _)| *of == sender).count();
                prop_assert_eq!(delivered, sent.len(), "frames of {} at {}", sender, at);
            }
            prop_assert!(stream.gaps().is_empty());
            prop_assert_eq!(stream.kept_bytes() * usize::from(at < MEMBERS), 0, "T2: all have all");
            prop_assert_eq!((stream.unfreed_bytes(), stream.in_flight()), (0, 0));
        }
    }

    #[test]
    fn a_lying_member_moves_nobodys_own_counters_and_is_refused_without_a_trace(
        order in select(&Order::ALL[..]), own in 0..4_usize, lies in prop::collection::vec(lies(), 0..60),
    ) {
        let mut stream = Stream::new(order, MEMBERS, Some(0), None).for_learners(1, 1 << 20);
        for _ in 0..own {
            stream.send(Vec::new(), Batch::default(), Bytes::from_static(b"mine").into());
        }
        for lie in lies {
            let before = stream.clone();
            let liar = 2;
            let refused = match lie {
                Lie::Row(row) => {
                    let fits = is_possible(&row, liar, own as u64);
                    prop_assert_eq!(stream.on_row(liar, &row).is_ok(), fits, "{:?}", row);
                    !fits
                }
                Lie::Data(row, frame) => stream.on_frame(liar, &row, frame).is_err(),
                Lie::Refill(rank, frame) => stream.receive(rank, frame).is_err(),
                Lie::Learner(received) => stream.on_learner(0, &received).is_err(),
            };
            if refused {
                prop_assert_eq!(format!("{before:?}"), format!("{stream:?}"), "a refusal leaves no trace");
            }
            check_growth(&before.row(), &stream.row());
            prop_assert_eq!(stream.row().sent, Seq::new(own as u64), "nobody else sends in its name");
            let row = stream.row();
            prop_assert!(row.clock <= count(row.received.iter().copied()), "others believe it");
            prop_assert!(stream.stable() <= stream.row().sent && stream.uniform() <= stream.row().sent);
            let mut last = stream.row().delivered;
            while let Some(passed) = stream.deliver_next() {
                prop_assert_eq!(passed.seq, last[passed.sender].next());
                last[passed.sender] = passed.seq;
                check_growth(&before.row(), &stream.row());
            }
            let kept = stream.logs.iter().flat_map(|log| log.held(Seq::NONE, Seq::new(u64::MAX)));
            prop_assert_eq!(stream.kept_bytes(), kept.map(Frame::weight).sum::<usize>());
            for (rank, first) in stream.gaps() {
                prop_assert!(rank != 0 && first == stream.holdings()[rank].next());
            }
        }
    }

    #[test]
    fn whatever_a_member_says_of_itself_the_others_go_on_believing_each_other(
        order in select(&Order::ALL[..]), talk in prop::collection::vec((0..2_usize, lies()), 0..60),
    ) {
        let mut streams = [0, 1].map(|me| Stream::new(order, MEMBERS, Some(me), None));
        for (by, lie) in talk {
            let liar = 2;
            // What it is told may well be refused.
            let _ = match lie {
                Lie::Row(row) => streams[by].on_row(liar, &row).map(drop),
                Lie::Data(row, frame) => streams[by].on_frame(liar, &row, frame).map(drop),
                Lie::Refill(_, frame) => streams[by].receive(liar, frame).map(drop),
                Lie::Learner(_) => Ok(()),
            };
            let frame = streams[by].send(Vec::new(), Batch::default(), Bytes::from_static(b"true").into());
            let row = streams[by].row();
            prop_assert_eq!(streams[1 - by].on_frame(by, &row, frame).map(drop), Ok(()));
        }
    }
}
