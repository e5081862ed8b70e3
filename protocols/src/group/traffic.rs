//! Messages of the open view: sending, receiving, asking for what is missing, delivering.

use std::{collections::VecDeque, mem::take};

use bytes::Bytes;
use quorate_membership::{Member, NodeId, Seq, ViewId, agreement::Breach};

use super::{
    Body, Effects, Event, Fate, Gap, Group, Message, Messages, Refusal, Submission, Ticket,
    refilling::Lacking,
};
use crate::{
    Batch, Frame, RequestId, Row,
    stream::{Passed, Stream, StreamError, again},
    weight::{batch_weight, headed_weight},
};

/// Bytes of frames that are sent again at one request.
const REFILL_BYTES: usize = 256 << 10;
/// Rows with which each receiver answers as many frames as may be on the way, while more follows.
const ROWS_IN_FLIGHT: u64 = 4;

impl Group {
    pub(super) fn on_submit(&mut self, ticket: Ticket, head: Bytes, payload: Bytes) -> Result<(), Refusal> {
        self.may_submit(head.len() + payload.len())?;
        self.enqueue(Submission { ticket, head, payloads: payload.into(), asks: false })
    }

    pub(super) fn on_submit_all(&mut self, ticket: Ticket, payloads: Batch) -> Result<(), Refusal> {
        for payload in &payloads {
            self.may_submit(payload.len())?;
        }
        let (size, max) = (batch_weight(&[], &payloads), self.config.batch_bytes);
        if payloads.is_empty() {
            return Err(Refusal::Empty);
        }
        if payloads.len() > 1 && size > max {
            return Err(Refusal::TooLarge { size, max });
        }
        self.enqueue(Submission { ticket, head: Bytes::new(), payloads, asks: false })
    }

    /// Whether this member may send a message of so many bytes, be it to all or to one.
    pub(super) fn may_submit(&self, size: usize) -> Result<(), Refusal> {
        if self.left || self.wants_out {
            return Err(Refusal::Left);
        }
        if self.config.witnesses.contains(&self.me.node) {
            return Err(Refusal::Witness);
        }
        let max = self.config.message_bytes_max;
        if size > max { Err(Refusal::TooLarge { size, max }) } else { Ok(()) }
    }

    pub(super) fn enqueue(&mut self, submission: Submission) -> Result<(), Refusal> {
        let (waiting, size) = (self.waiting_bytes(), submission.weight());
        if waiting > 0 && waiting + size > self.config.window_bytes {
            return Err(Refusal::WouldBlock { waiting, window: self.config.window_bytes });
        }
        self.outbox_bytes += size;
        self.outbox.push_back(submission);
        Ok(())
    }

    /// Makes frames out of what waits, unless the view is being closed: then it waits for the next.
    pub(super) fn send_frames(&mut self, out: &mut Effects) {
        let may = self.is_open() || self.config.breach == Some(Breach::SealedSends);
        let heard_one = || self.holdings().is_some_and(|held| held.iter().any(|seq| *seq > Seq::default()));
        let may = may && (self.config.breach != Some(Breach::WaitForOthers) || heard_one());
        while may && !self.wedged && !self.outbox.is_empty() && !self.is_learner() {
            if self.stream.as_ref().is_none_or(|it| it.in_flight() >= self.config.frames_in_flight) {
                return;
            }
            let Some(way) = self.way(self.next_bytes()) else { return };
            let submissions = next_batch(&mut self.outbox, self.config.batch_bytes);
            let mut place = 0;
            let asks = |s: &Submission| {
                let first = place;
                place += s.payloads.len() as u32;
                s.asks.then_some((first, s.ticket.0))
            };
            let requests: Vec<(u32, u64)> = submissions.iter().filter_map(asks).collect();
            let tickets: Vec<Ticket> = submissions.iter().map(|s| s.ticket).collect();
            self.outbox_bytes -= submissions.iter().map(Submission::weight).sum::<usize>();
            let (heads, batch) = pieces(submissions);
            let Some(stream) = &mut self.stream else { return };
            let frame = stream.send(requests.clone(), heads, batch);
            let seq = frame.seq;
            self.until_uniform.extend(tickets.iter().map(|ticket| (seq, *ticket)));
            self.until_everywhere.extend(tickets.into_iter().map(|ticket| (seq, ticket)));
            for (_, number) in &requests {
                self.call_roll(Ticket(*number));
            }
            self.post_frame(frame, way, out);
        }
    }

    /// Whether receivers are to say at once that they have this frame, which was just made. As long as more follows, one
    /// of so many is enough: a row costs each of the others as much as a packet of data.
    pub(super) fn wants_row(&self, seq: Seq) -> bool {
        let more = !self.outbox.is_empty() && self.way(self.next_bytes()).is_some();
        !more || seq.get().is_multiple_of((self.config.frames_in_flight / ROWS_IN_FLIGHT).max(1))
    }

    /// About the bytes of the next frame.
    fn next_bytes(&self) -> usize {
        let first = self.outbox.front().map_or(0, Submission::weight);
        self.outbox_bytes.min(self.config.batch_bytes).max(first)
    }

    /// Says what was received, if that is news and no frame has said it.
    pub(super) fn send_row(&mut self, out: &mut Effects) {
        if !self.row_due || !self.may_acknowledge() {
            return;
        }
        self.row_due = false;
        if self.is_learner() {
            self.tell_progress(out);
        } else if let Some(stream) = &self.stream {
            let row = stream.row();
            let peers = self.peers();
            self.post_all(peers, self.view_id(), Body::Status { row, probe: false }, out);
        }
    }

    /// Takes a frame; its sender may want to hear at once that it is here.
    pub(super) fn on_data(
        &mut self,
        from: Member,
        row: &Row,
        frame: Frame,
        row_wanted: bool,
    ) -> Result<(), Refusal> {
        let Some((rank, open)) = self.sender(from) else { return Ok(()) };
        let Some(stream) = self.stream.as_mut().filter(|_| open) else { return Ok(()) };
        let is_news = stream.on_frame(rank, row, frame).map_err(faulty(from))?;
        let has_hole = stream.has_hole(rank);
        if has_hole {
            self.refills.note_hole(rank);
        }
        self.row_due |= is_news && (row_wanted || has_hole);
        Ok(())
    }

    pub(super) fn on_status(&mut self, from: Member, row: &Row, probe: bool) -> Result<(), Refusal> {
        let Some((rank, open)) = self.sender(from) else { return Ok(()) };
        let Some(stream) = self.stream.as_mut().filter(|_| open) else { return Ok(()) };
        stream.on_row(rank, row).map_err(faulty(from))?;
        self.row_due |= probe;
        Ok(())
    }

    pub(super) fn on_refill(
        &mut self,
        from: Member,
        rank: usize,
        frames: Vec<Frame>,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(stream) = &self.stream else { return Ok(()) };
        if rank >= stream.members() {
            return Err(Refusal::Faulty { from, what: format!("rank {rank} does not exist") });
        }
        let mut news = false;
        self.note_refill(rank, &frames);
        let Some(stream) = &mut self.stream else { return Ok(()) };
        for frame in frames {
            news |= stream.receive(rank, frame).map_err(faulty(from))?;
        }
        let next = stream.gaps().into_iter().find(|(of, _)| *of == rank);
        self.row_due |= news;
        if let Some((_, first)) = next.filter(|_| news && self.may_acknowledge()) {
            let lacking = Lacking { from: first, through: Seq::new(u64::MAX), lost: true };
            self.fetch_gap(rank, lacking, out); // an answer is as long as one message may be
        }
        self.go_on_holding(out);
        Ok(())
    }

    /// Serves frames of the present view or of a closed one.
    pub(super) fn on_fetch(
        &mut self,
        from: Member,
        view: ViewId,
        Gap { rank, from: first, through, offset }: Gap,
        out: &mut Effects,
    ) {
        let past = self.past.iter().find(|past| past.decree.closes == view);
        if past.is_some_and(|past| past.retired) && view != self.view_id() {
            self.post(from.node, view, Body::Freed { rank, first: Seq::new(u64::MAX) }, out);
            return;
        }
        let past = past.and_then(|past| past.stream.as_ref());
        let stream = if view == self.view_id() { self.stream.as_ref() } else { past };
        let Some(stream) = stream.filter(|stream| rank < stream.members()) else { return };
        let kept = stream.first_kept(rank);
        if first < kept && through >= first {
            // A data member has got everything that is not kept any more: this is a learner.
            self.post(from.node, view, Body::Freed { rank, first: kept }, out);
            return;
        }
        let frames = stream.frames(rank, first, through, REFILL_BYTES);
        if let [long] = &frames[..]
            && long.weight() > self.config.part_bytes
        {
            for part in again(long, rank, self.config.part_bytes, offset) {
                self.post(from.node, view, Body::Part(part), out);
            }
        } else if !frames.is_empty() {
            self.post(from.node, view, Body::Refill { rank, frames }, out);
        }
        if view == self.view_id() {
            self.note_missed(from, rank, first);
        }
    }

    /// Delivers what the order allows.
    pub(super) fn deliver(&mut self, out: &mut Effects) {
        let may = self.is_open() || self.config.breach == Some(Breach::SealLeaks);
        while may && !self.wedged {
            let Some(passed) = self.stream.as_mut().and_then(Stream::deliver_next) else { return };
            self.announce(passed, out);
        }
    }

    pub(super) fn announce(&mut self, passed: Passed, out: &mut Effects) {
        let Some(view) = &self.view else { return };
        let (view, sender, seq) = (view.id, view.members[passed.sender], passed.seq);
        let Passed { uniform, requests, heads, batch, .. } = passed;
        let messages = Messages { view, sender, seq, uniform, heads, batch };
        if requests.is_empty() && messages.batch.len() > 1 {
            return self.tell(Event::Messages(messages), out);
        }
        for index in 0..messages.batch.len() as u32 {
            let number = requests.iter().find(|(place, _)| *place == index).map(|(_, number)| *number);
            let event = match number {
                None => messages.at(index),
                Some(number) => {
                    let request = RequestId { asker: sender, number };
                    let payload = messages.batch[index as usize].clone();
                    Event::Request { view, request, place: Some((seq, index)), payload }
                }
            };
            self.tell(event, out);
        }
    }

    /// The breach of sending view delivery: what belongs to a closed view is delivered in the present one.
    pub(super) fn announce_late(&mut self, from: Member, message: &Message, out: &mut Effects) {
        let Body::Data { row, batch, .. } = &message.body else { return };
        for (index, payload) in batch.iter().cloned().enumerate() {
            let (view, seq, index) = (message.view, row.sent, index as u32);
            self.tell(
                Event::Message {
                    view,
                    sender: from,
                    seq,
                    index,
                    uniform: false,
                    head: Bytes::new(),
                    payload,
                },
                out,
            );
        }
    }

    /// A member that stands still tells no fates: what it hears late may be of a view that the others have left.
    pub(super) fn settle_fates(&mut self, out: &mut Effects) {
        let may = self.may_acknowledge() && !self.wedged;
        let Some(stream) = self.stream.as_ref().filter(|_| may) else { return };
        let (uniform, everywhere) = (stream.uniform(), stream.stable());
        self.settle_through(uniform, everywhere, out);
    }

    /// Tells the submitters how far their messages have come.
    pub(super) fn settle_through(&mut self, uniform: Seq, everywhere: Seq, out: &mut Effects) {
        while let Some((_, ticket)) = self.until_uniform.pop_front_if(|(seq, _)| *seq <= uniform) {
            self.tell_fate(ticket, Fate::Uniform, out);
        }
        let everywhere = everywhere.min(uniform);
        while let Some((_, ticket)) = self.until_everywhere.pop_front_if(|(seq, _)| *seq <= everywhere) {
            self.tell_fate(ticket, Fate::Everywhere, out);
        }
    }

    /// Asks for what is missing, and for the rows of those that others wait for.
    pub(super) fn tick_traffic(&mut self, out: &mut Effects) {
        let Some(stream) = &self.stream else { return };
        let mut peers = self.peers();
        if !stream.is_waiting() {
            peers.retain(|node| !self.seen.contains(node)); // whoever was heard in this view is in it
        }
        if !self.may_acknowledge() || peers.is_empty() && !self.is_learner() {
            return;
        }
        let (row, gaps) = (stream.row(), stream.gaps());
        let gaps: Vec<_> = gaps.into_iter().map(|(rank, from)| (rank, from, stream.has_hole(rank))).collect();
        for (rank, from, lost) in gaps {
            self.fetch_gap(rank, Lacking { from, through: Seq::new(u64::MAX), lost }, out);
        }
        if self.is_learner() {
            return self.tell_progress(out);
        }
        self.post_all(peers, self.view_id(), Body::Status { row, probe: true }, out);
    }

    /// Asks the sender itself, or whoever is known to have the frame if the sender is out of reach.
    pub(super) fn fetch_gap(&mut self, rank: usize, lacking: Lacking, out: &mut Effects) {
        let (Some(view), Some(stream)) = (&self.view, &self.stream) else { return };
        let has = |other: &usize| {
            let received = stream.row_of(*other).received.get(rank);
            *other == rank || received.is_some_and(|seq| *seq >= lacking.from)
        };
        let reach = |other: &usize| self.reachable.contains(&view.members[*other].node);
        let ranks = std::iter::once(rank).chain(0..view.members.len());
        let Some(donor) = ranks.filter(has).find(reach) else { return };
        let lost = lacking.lost || donor != rank; // its sender's frames do not get here
        let donor = view.members[donor].node;
        self.fetch(donor, rank, Lacking { lost, ..lacking }, out);
    }

    /// All others that receive messages.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        let all = self.view.iter().flat_map(|view| view.members.iter().chain(&view.learners).map(|m| m.node));
        all.filter(|node| *node != self.me.node).collect()
    }

    /// The rank of the sender, and whether what it sends still counts here.
    pub(super) fn sender(&self, from: Member) -> Option<(usize, bool)> {
        let view = self.view.as_ref()?;
        let tolerant = self.config.breach == Some(Breach::StaleIncarnation);
        let by_node = || view.members.iter().position(|m| m.node == from.node).filter(|_| tolerant);
        let rank = view.rank(from).or_else(by_node)?;
        Some((rank, self.takes_in()))
    }

    pub(super) fn may_acknowledge(&self) -> bool {
        self.takes_in() && self.doubt.is_none()
    }

    fn takes_in(&self) -> bool {
        self.is_open() || self.config.breach == Some(Breach::SealLeaks)
    }
}

/// The oldest submissions, up to `bytes`, or a single longer one.
fn next_batch(outbox: &mut VecDeque<Submission>, bytes: usize) -> Vec<Submission> {
    let (mut batch, mut sum) = (Vec::new(), 0);
    while let Some(next) = outbox.pop_front_if(|s| batch.is_empty() || sum + s.weight() <= bytes) {
        sum += next.weight();
        batch.push(next);
    }
    batch
}

/// The heads of submissions, none if none has one, and their payloads.
fn pieces(mut submissions: Vec<Submission>) -> (Batch, Batch) {
    if let [only] = &mut submissions[..] {
        let heads = if only.head.is_empty() { Batch::default() } else { take(&mut only.head).into() };
        return (heads, take(&mut only.payloads)); // as it was handed in
    }
    let headed = submissions.iter().any(|s| !s.head.is_empty());
    let count = submissions.iter().map(|s| s.payloads.len()).sum();
    let (mut heads, mut batch) = (Vec::new(), Vec::with_capacity(count));
    for Submission { head, payloads, .. } in submissions {
        if headed {
            heads.extend(std::iter::repeat_n(head, payloads.len()));
        }
        batch.extend_from_slice(&payloads);
    }
    (heads.into(), batch.into())
}

impl Submission {
    /// Bytes that it counts for.
    fn weight(&self) -> usize {
        self.payloads.iter().map(|payload| headed_weight(self.head.len(), payload)).sum()
    }
}

pub(super) fn faulty(from: Member) -> impl Fn(StreamError) -> Refusal {
    move |error| Refusal::Faulty { from, what: error.to_string() }
}
