//! Arbitrary messages and inputs, made of arbitrary bytes.

use bytes::Bytes;
use quorate_membership::{
    Change, Cut, Decree, Member, NodeId, Seq, Side, View, ViewId,
    agreement::{Ballot, Promise},
};
use quorate_protocols::{
    Audience, Body, ChunkLabel, Collect, Frame, Gap, Input, Message, Offer, Order, Part, Purpose, RequestId,
    Row, Ticket, Way, Whole,
};

use crate::{config, member};

/// Turns arbitrary bytes into numbers and messages: often plausible, often at a limit.
pub(crate) struct Dice<'a>(std::slice::Iter<'a, u8>);

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() % 128 {
            0 => u64::MAX,
            1 => u64::MAX - 1,
            2 => u64::MAX >> 1,
            3 => (u64::MAX >> 1) + 1,
            4 => 1 << 32,
            other => u64::from(other) % 6,
        }
    }

    pub(crate) fn seq(&mut self) -> Seq {
        Seq::new(self.number())
    }

    pub(crate) fn member(&mut self) -> Member {
        let life = if self.byte() < 200 { 1 } else { self.number() };
        member(1 + self.below(5) as u64, life)
    }

    pub(crate) fn peer(&mut self) -> Member {
        if self.byte() < 220 { member(2 + self.below(2) as u64, 1) } else { self.member() }
    }

    pub(crate) fn counters(&mut self) -> Vec<Seq> {
        let length = if self.byte() < 220 { 3 } else { self.below(6) };
        (0..length).map(|_| self.seq()).collect()
    }

    pub(crate) fn batch(&mut self) -> Vec<Bytes> {
        (0..self.below(4)).map(|_| Bytes::from_static(b"payload")).collect()
    }

    pub(crate) fn heads(&mut self) -> Vec<Bytes> {
        if self.byte() < 200 { Vec::new() } else { self.batch() }
    }

    pub(crate) fn requests(&mut self) -> Vec<(u32, u64)> {
        let count = if self.byte() < 200 { 0 } else { self.below(3) };
        (0..count).map(|_| (self.number() as u32, self.number())).collect()
    }

    pub(crate) fn row(&mut self) -> Row {
        let (received, delivered) = (self.counters(), self.counters());
        let delivered = if self.flip() { vec![Seq::NONE; received.len()] } else { delivered };
        Row { clock: self.number(), sent: self.seq(), received, delivered }
    }

    pub(crate) fn view_id(&mut self, mine: ViewId) -> ViewId {
        match self.below(8) {
            0 => config(Order::ALL[self.below(4)], self.flip()).genesis(),
            1 => ViewId { epoch: mine.epoch.saturating_add(1), ..mine },
            2 => ViewId { lineage: self.number(), epoch: self.number() },
            3 => ViewId { epoch: self.number(), ..mine },
            _ => mine,
        }
    }

    pub(crate) fn view(&mut self, id: ViewId, mine: ViewId) -> View {
        let mut members: Vec<Member> = (0..self.below(5)).map(|_| self.member()).collect();
        if self.flip() {
            members = (1..=3).map(|node| member(node, 1)).collect();
        }
        let mut few = || if self.byte() < 200 { Vec::new() } else { vec![self.member()] };
        let (witnesses, learners) = (few(), few());
        let sides = if self.flip() { Vec::new() } else { self.sides(&members, mine) };
        View { id, changes: vec![(self.member(), Change::Joined)], members, witnesses, learners, sides }
    }

    /// Sides of a view with these members, the first of which comes from the present view.
    fn sides(&mut self, members: &[Member], mine: ViewId) -> Vec<Side> {
        let first = self.below(members.len() + 1);
        let mut sides = vec![Side { closes: mine, cut: self.cut(), members: members[..first].to_vec() }];
        if self.flip() {
            let (closes, cut) = (self.view_id(mine), self.cut());
            sides.push(Side { closes, cut, members: members[first..].to_vec() });
        }
        sides
    }

    /// Often one that nothing stands in the way of.
    fn cut(&mut self) -> Cut {
        Cut(if self.flip() { vec![Seq::NONE; 3] } else { self.counters() })
    }

    pub(crate) fn offer(&mut self) -> Offer {
        let members = (0..self.below(4)).map(|_| self.member()).collect();
        let gone = if self.flip() { Vec::new() } else { vec![(self.member(), Change::Unreachable)] };
        Offer { ballot: self.ballot(), cut: self.cut(), members, gone }
    }

    pub(crate) fn nodes(&mut self) -> Vec<NodeId> {
        (0..self.below(6)).map(|_| self.member().node).collect()
    }

    pub(crate) fn decree(&mut self, mine: ViewId) -> Decree {
        let closes = self.view_id(mine);
        let next = ViewId { epoch: closes.epoch.saturating_add(1), ..closes };
        let opens = if self.byte() < 220 { next } else { self.view_id(mine) };
        Decree { closes, cut: self.cut(), view: self.view(opens, mine) }
    }

    pub(crate) fn ballot(&mut self) -> Ballot {
        Ballot { round: self.number(), by: self.member().node }
    }

    pub(crate) fn purposes(&mut self, count: usize) -> Vec<Purpose> {
        let count = if self.byte() < 220 { count } else { self.below(5) };
        (0..count)
            .map(|_| match self.below(3) {
                0 => Purpose::Message,
                1 => Purpose::Request(self.number()),
                _ => Purpose::Answer(self.number()),
            })
            .collect()
    }

    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        (0..self.below(4))
            .map(|_| Frame {
                seq: self.seq(),
                clock: self.number(),
                after: self.counters(),
                requests: self.requests(),
                heads: self.heads().into(),
                batch: self.batch().into(),
            })
            .collect()
    }

    pub(crate) fn part(&mut self) -> Part {
        let frame = self.frames().pop().filter(|_| self.flip());
        let seq = if self.flip() { frame.as_ref().map(|frame| frame.seq) } else { None };
        let seq = seq.unwrap_or_else(|| self.seq());
        let way = [Way::Direct, Way::Relay, Way::Refill][self.below(3)];
        let offset = if frame.is_some() { 0 } else { self.number() };
        let mut lengths = || (0..self.below(3)).map(|_| self.below(20) as u32).collect();
        let (heads, messages) = (lengths(), lengths());
        let whole = frame.map(|frame| Box::new(Whole { frame, heads, messages }));
        let batch = self.batch().into();
        let ends = self.flip();
        Part { rank: self.number() as usize, seq, way, offset, ends, whole, batch }
    }

    pub(crate) fn body(&mut self, mine: ViewId) -> Body {
        match self.below(33) {
            32 => Body::Part(self.part()),
            0..=2 => Body::Data {
                row: self.row(),
                requests: self.requests(),
                heads: self.heads().into(),
                batch: self.batch().into(),
                row_wanted: self.flip(),
            },
            3 => Body::Status { row: self.row(), probe: self.flip() },
            4 => Body::Fetch(Gap {
                rank: self.number() as usize,
                from: self.seq(),
                through: self.seq(),
                offset: self.number(),
            }),
            5 => Body::Refill { rank: self.number() as usize, frames: self.frames() },
            6 => {
                let batch = self.batch();
                Body::Direct { first: self.seq(), purposes: self.purposes(batch.len()), batch: batch.into() }
            }
            7 => Body::DirectDelivered { through: self.seq() },
            8 => Body::AskDelivered { closed: self.view_id(mine) },
            9 => {
                let through = if self.flip() { Some(self.seq()) } else { None };
                Body::ToldDelivered { closed: self.view_id(mine), through }
            }
            10 => {
                let lost = (0..self.below(4)).map(|_| self.member().node).collect();
                Body::Opinion { lost, sealed: self.flip() }
            }
            11 => Body::Confirm { round: self.number() },
            12 => Body::Confirmed { round: self.number() },
            13 => Body::Prepare { ballot: self.ballot() },
            14 => {
                let accepted = if self.flip() { Some((self.ballot(), self.decree(mine))) } else { None };
                let (ballot, activated, holdings) = (self.ballot(), self.flip(), self.counters());
                Body::Promise(Box::new(Promise { ballot, accepted, activated, holdings }))
            }
            15 => Body::Refused { promised: self.ballot() },
            16 => Body::Hold { ballot: self.ballot(), decree: self.decree(mine) },
            17 => Body::Holding { ballot: self.ballot() },
            18 => Body::Accept { ballot: self.ballot(), decree: self.decree(mine) },
            19 => Body::Accepted { ballot: self.ballot() },
            20 => Body::Decided(self.decree(mine)),
            21 => Body::Where,
            22 => {
                let (id, asked) = (self.view_id(mine), self.view_id(mine));
                Body::Current { view: self.view(id, mine), asked }
            }
            23 => {
                if self.flip() {
                    Body::Gone
                } else {
                    Body::Leave
                }
            }
            24 => Body::Freed { rank: self.number() as usize, first: self.seq() },
            25 => Body::Learning { received: self.counters(), ready: self.flip() },
            26 => Body::Join { hears: self.nodes() },
            27 | 28 => {
                let id = self.view_id(mine);
                let charter = config(Order::ALL[self.below(4)], true).genesis().lineage;
                Body::Side { view: self.view(id, mine), reach: self.nodes(), charter }
            }
            29 => Body::Hears { nodes: self.nodes() },
            30 => Body::AskOffer { ballot: self.ballot() },
            _ => Body::Offer { answers: self.ballot(), offer: self.offer() },
        }
    }

    /// What concerns the state of a newcomer.
    fn state_body(&mut self, mine: ViewId) -> Body {
        let snapshot = if self.flip() { mine } else { self.view_id(mine) };
        match self.below(3) {
            0 => Body::WantState { snapshot, offset: self.number(), credit: self.number() },
            1 => Body::NoState { snapshot },
            _ => {
                let (length, digest) = (self.number(), self.number());
                let (offset, check) = (self.number(), self.number());
                let label = ChunkLabel { snapshot, length, digest, offset, check };
                Body::State { label, batch: self.batch().into() }
            }
        }
    }

    /// Anything that a member may say.
    pub(crate) fn saying(&mut self, mine: ViewId) -> Body {
        if self.below(6) == 0 { self.state_body(mine) } else { self.body(mine) }
    }

    /// The same, but nothing in the name of others and nothing that agreement trusts: neither
    /// messages of other senders, nor what was held, accepted or decided.
    pub(crate) fn own_saying(&mut self, mine: ViewId, rank: usize) -> Body {
        match self.saying(mine) {
            Body::Refill { frames, .. } => Body::Refill { rank, frames },
            Body::Part(part) => Body::Part(Part { rank, ..part }),
            Body::Promise(_)
            | Body::Hold { .. }
            | Body::Holding { .. }
            | Body::Accept { .. }
            | Body::Accepted { .. }
            | Body::Decided(_)
            | Body::Current { .. }
            | Body::Gone
            | Body::Confirmed { .. }
            | Body::Side { .. }
            | Body::Offer { .. } => Body::Where,
            other => other,
        }
    }

    pub(crate) fn input(&mut self, mine: ViewId, ticket: &mut u64) -> Input {
        *ticket += 1;
        let (payload, next) = (Bytes::from_static(b"mine"), Ticket(*ticket));
        match self.below(30) {
            24 => Input::Contacts(vec![self.peer().node, self.member().node]),
            25 => Input::Departed(self.member().node),
            26 => Input::GiveUp { ticket: Ticket(self.number()) },
            27 => Input::Snapshot { view: self.view_id(mine), state: payload },
            28 => Input::NoSnapshot { view: self.view_id(mine) },
            29 if self.byte() < 20 => Input::Leave,
            0 if self.flip() => Input::SubmitAll { ticket: next, payloads: self.batch().into() },
            0 => Input::Submit { ticket: next, head: Bytes::new(), payload },
            1 => Input::SendTo { ticket: next, to: self.member(), payload },
            2 => {
                let to = if self.flip() { Audience::Group } else { Audience::One(self.member()) };
                Input::Ask { ticket: next, to, payload, collect: Collect::Majority }
            }
            3 => {
                Input::Answer { request: RequestId { asker: self.member(), number: self.number() }, payload }
            }
            4 => Input::Reachable(self.peer()),
            5 => Input::Unreachable(self.peer().node),
            6 => {
                if self.byte() < 60 {
                    Input::Stalled
                } else {
                    Input::Wake
                }
            }
            7..=9 => Input::Wake,
            _ => {
                let (from, view) = (self.peer(), self.view_id(mine));
                Input::Received { from, message: Message { view, body: self.saying(mine) } }
            }
        }
    }
}
