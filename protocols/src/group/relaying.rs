//! Long frames on their way: in parts, and from member to member rather than to each from their sender, who then
//! sends each of them once. What is lost so is asked for, as any frame is.
//!
//! Frames of a sender that are on the way at one time go the same way, or they would overtake each other.

use std::time::Duration;

use quorate_membership::{Member, NodeId, Seq, Time};

use super::{Body, Effects, Gap, Group, Refusal, SlowPolicy, traffic::faulty};
use crate::{
    Frame, Part, Way,
    stream::{Partials, Taken, cut},
};

/// Receivers from which on it is worth handing frames on.
const RECEIVERS_MIN: usize = 3;
/// Doublings of the time for which copies are sent to each, when a member misses what was to be handed on.
const DOUBLINGS_MAX: u32 = 6;

/// How a member's own frames go, and those of others of which parts have come.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    /// The last own frame that goes from member to member.
    relayed: Seq,
    /// The last of them that was long.
    long: Seq,
    /// Since when none of them has come to be everywhere.
    stuck_since: Time,
    /// Up to where own frames were everywhere then.
    stable: Seq,
    /// When this member last sent a part from member to member or got one.
    at: Option<Time>,
    /// Nothing is handed on before.
    not_before: Time,
    /// How often a member has missed something in this view.
    missed: u32,
    partials: Partials,
}

impl Relaying {
    /// Nothing is handed on for a while, for twice as long each time.
    fn pause(&mut self, now: Time, round: Duration) {
        self.missed = (self.missed + 1).min(DOUBLINGS_MAX);
        self.not_before = now + round * (1 << self.missed);
    }

    /// A view begins, maybe without the one who held things up.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Group {
    /// How the next frame goes, which has about so many bytes; `None` if those before it have to be through.
    pub(super) fn way(&self, bytes: usize) -> Option<Way> {
        let stable = self.stream.as_ref()?.stable();
        let is_idle = self.stream.as_ref()?.in_flight() == 0;
        let hands_on = self.relaying.relayed > stable;
        let long = self.config.relay_bytes.is_some_and(|least| bytes >= least);
        match (hands_on, long) {
            (true, true) => self.may_relay().then_some(Way::Relay),
            (true, false) => (self.relaying.long > stable).then_some(Way::Relay),
            (false, true) if self.may_relay() => is_idle.then_some(Way::Relay),
            (false, _) => Some(Way::Direct),
        }
    }

    /// Whether frames go from member to member now: then the last in the row is behind the first at every moment.
    pub(super) fn is_relaying(&self) -> bool {
        self.relaying.at.is_some_and(|at| self.now.since(at) <= self.config.timing.round())
    }

    /// Sends copies to each of what goes from member to member and gets nowhere, where something is done about slow
    /// members: else it would not be seen who they are.
    pub(super) fn tick_relaying(&mut self, out: &mut Effects) {
        let (Some(stream), Some(view)) = (&self.stream, &self.view) else { return };
        for (rank, received) in stream.holdings().into_iter().enumerate() {
            self.relaying.partials.forget(rank, received);
        }
        let (stable, relayed) = (stream.stable(), self.relaying.relayed);
        if relayed <= stable || self.relaying.stable < stable {
            (self.relaying.stuck_since, self.relaying.stable) = (self.now, stable);
            return;
        }
        let patient = self.now.since(self.relaying.stuck_since) < self.config.lag_for / 2;
        let minds = self.config.slow != SlowPolicy::Block;
        let (Some(rank), false) = (view.rank(self.me), patient || !minds || !self.is_open()) else { return };
        let members: Vec<NodeId> =
            view.members.iter().map(|member| member.node).filter(|node| *node != self.me.node).collect();
        let frames = stream.frames(rank, stable.next(), relayed, usize::MAX);
        let bytes = self.config.part_bytes;
        for part in frames.iter().flat_map(|frame| cut(frame, (rank, Way::Direct), bytes)) {
            self.post_all(members.iter().copied(), self.view_id(), Body::Part(part), out);
        }
        self.relaying.relayed = Seq::NONE;
        self.relaying.pause(self.now, self.config.timing.round());
    }

    /// Whether handing on is worth it, and nobody is known for holding it up.
    fn may_relay(&self) -> bool {
        let Some(view) = &self.view else { return false };
        let late = self.now - self.config.lag_for / 2;
        let lags = self.lags.iter().any(|(_, lag)| lag.since().is_some_and(|since| since <= late));
        view.members.len() > RECEIVERS_MIN && self.now >= self.relaying.not_before && !lags
    }

    /// Sends this member's next frame to all others. Its counters go with it, or to each directly beside its parts.
    pub(super) fn post_frame(&mut self, frame: Frame, way: Way, out: &mut Effects) {
        let (Some(view), Some(stream)) = (&self.view, &self.stream) else { return };
        let Some(rank) = view.rank(self.me) else { return };
        let (id, bytes, part_bytes) = (view.id, frame.weight(), self.config.part_bytes);
        self.row_due = way == Way::Relay || bytes > part_bytes;
        if !self.row_due {
            let (row, row_wanted) = (stream.row(), self.wants_row(frame.seq));
            let Frame { requests, heads, batch, .. } = frame;
            return self.post_all(
                self.peers(),
                id,
                Body::Data { row, requests, heads, batch, row_wanted },
                out,
            );
        }
        let learners: Vec<NodeId> = view.learners.iter().map(|m| m.node).collect();
        let first = self.next_hop(rank);
        let relays = way == Way::Relay && first.is_some();
        if relays {
            (self.relaying.relayed, self.relaying.at) = (frame.seq, Some(self.now));
            if self.config.relay_bytes.is_some_and(|least| bytes >= least) {
                self.relaying.long = frame.seq;
            }
        }
        let direct = if relays { learners } else { self.peers() };
        for part in cut(&frame, (rank, Way::Direct), part_bytes) {
            if relays && let Some(first) = first {
                self.post(first, id, Body::Part(Part { way: Way::Relay, ..part.clone() }), out);
            }
            self.post_all(direct.iter().copied(), id, Body::Part(part), out);
        }
    }

    /// Asks a member for frames of the one with this rank, from the first through the last, whatever was asked before.
    pub(super) fn fetch_now(
        &mut self,
        donor: NodeId,
        rank: usize,
        (from, through): (Seq, Seq),
        out: &mut Effects,
    ) {
        let offset = self.relaying.partials.begun(rank, from);
        self.post(donor, self.view_id(), Body::Fetch(Gap { rank, from, through, offset }), out);
    }

    pub(super) fn on_part(&mut self, from: Member, part: Part, out: &mut Effects) -> Result<(), Refusal> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let Part { rank, seq, way, ends, .. } = part;
        let refill = way == Way::Refill;
        let sender = self.sender(from);
        if !refill && !sender.is_some_and(|(_, open)| open) {
            return Ok(());
        }
        let mine = self.view.as_ref().and_then(|view| view.rank(self.me)) == Some(rank);
        let own = way == Way::Direct && sender.is_none_or(|(sender, _)| sender != rank);
        if rank >= stream.members() || !refill && mine || own || !stream.fits(&part) {
            let what = format!("a part of a frame of the member with rank {rank}");
            return Err(Refusal::Faulty { from, what });
        }
        let (received, end) = (stream.received(rank), part.end());
        if way == Way::Relay {
            self.relaying.at = Some(self.now);
            self.hand_on(&part, out);
        }
        if seq <= received {
            if refill {
                self.refills.on_frames(self.now, rank, seq); // it has come by itself meanwhile
            }
            return Ok(());
        }
        match self.relaying.partials.take(part) {
            Taken::Known => Ok(()),
            Taken::Begun(begun) => {
                if seq == received.next() {
                    self.refills.stir(self.now, rank, seq, self.spans());
                }
                if refill && ends && begun == end {
                    self.fetch_now(from.node, rank, (seq, seq), out); // an answer is not as long as the frame
                }
                Ok(())
            }
            Taken::Complete(frame) if refill => self.on_refill(from, rank, vec![frame], out),
            Taken::Complete(frame) => {
                let Some(stream) = &mut self.stream else { return Ok(()) };
                self.row_due |= stream.receive(rank, frame).map_err(faulty(from))?;
                // From member to member one may overtake another where the row changes.
                if way == Way::Direct && stream.has_hole(rank) {
                    self.refills.note_hole(rank);
                }
                Ok(())
            }
        }
    }

    fn hand_on(&mut self, part: &Part, out: &mut Effects) {
        if let Some(next) = self.next_hop(part.rank) {
            self.post(next, self.view_id(), Body::Part(part.clone()), out);
        }
    }

    /// Who gets next what the member with this rank sends from member to member: the first in reach after this one,
    /// by rank; none after the last.
    fn next_hop(&self, sender: usize) -> Option<NodeId> {
        let view = self.view.as_ref()?;
        let (me, members) = (view.rank(self.me)?, view.members.len());
        let ahead = (me + 1..me + members).map(|rank| rank % members).take_while(|rank| *rank != sender);
        ahead.map(|rank| view.members[rank].node).find(|node| self.reachable.contains(node))
    }

    /// A data member asks for a frame of this one: what was to be handed on has not got there. What is on the way
    /// stays there, or the next frames would overtake it.
    pub(super) fn note_missed(&mut self, from: Member, rank: usize, seq: Seq) {
        let Some(view) = &self.view else { return };
        let relayed = seq <= self.relaying.relayed && self.now >= self.relaying.not_before;
        if relayed && view.rank(self.me) == Some(rank) && view.members.contains(&from) {
            self.relaying.pause(self.now, self.config.timing.round());
        }
    }
}
