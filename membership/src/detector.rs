//! Which peers can be talked to right now: mutual heartbeats, once per node for all its groups.
//!
//! A heartbeat carries the number of the latest one heard from its addressee, so each side knows
//! whether it is heard, and a cut in one direction is noticed at both ends. What is said here is
//! evidence about a link, not a verdict about a member: only a view removes a member.

mod deadline;
mod peer;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Member, NodeId, Time, Timing, agreement::Breach};
use deadline::Deadline;
use peer::{Asking, Doubt, Peer, Standing};

/// A heartbeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Number of this heartbeat; strictly increasing within one life of the sender.
    pub sequence: u64,
    /// The highest number that this life of the sender has heard from the addressee's present
    /// life; zero if none.
    pub echo: u64,
    /// Whether the sender wants a heartbeat back at once, not with the next round.
    pub asks: bool,
}

/// What the shell has to do, or to know, in the order pushed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DetectorEffect {
    /// Send a heartbeat; it may be lost, and must not be queued behind other traffic.
    Send {
        /// The addressee.
        to: NodeId,
        /// The heartbeat.
        beat: Beat,
    },
    /// The peer and this node hear each other.
    Reachable {
        /// The peer in its present life.
        member: Member,
    },
    /// The peer is silent, does not hear this node, or was never heard within the detection time, nor
    /// within one since it was linked.
    Unreachable {
        /// The peer.
        node: NodeId,
    },
    /// The peer lives anew. `old` is gone for good; `new` is neither reachable nor unreachable yet.
    Superseded {
        /// The life that ended.
        old: Member,
        /// The life that goes on.
        new: Member,
    },
    /// This process stood still: what it believes about its peers and its views may be outdated.
    Stalled {
        /// How much later than asked it went on.
        late_by: Duration,
    },
    /// A heartbeat that asked for one back ([`Detector::ask`]) was heard of, or a later one first.
    RoundTrip {
        /// The peer.
        node: NodeId,
        /// The number of the heartbeat that asked.
        sequence: u64,
        /// From when it was sent until the answer was taken in; `None` if a later one was answered first: it was
        /// lost, or its answer was.
        took: Option<Duration>,
    },
    /// Call [`Detector::on_wake`] at this moment; replaces the moment asked for before.
    WakeAt(Time),
}

/// Detects which of the watched nodes this node hears and is heard by.
///
/// A peer is reachable when a heartbeat from it came within [`Timing::silence`], and the latest one
/// echoed, when it came, one of ours sent no longer than [`Timing::detect`] before. Both nodes have
/// to watch each other: heartbeats from a node that is not watched are ignored.
///
/// A busy machine makes live processes late, this one and its peers, by less than what counts as a
/// stall. Therefore
/// - own lateness puts off every deadline by as much, at most by a detection time since the peer was
///   heard;
/// - nobody is accused before what had come until [`Timing::last_call`] before was taken in, for
///   which the shell is woken once more;
/// - a peer that is heard and echoes what is older than two heartbeats is asked whether it hears this
///   node, and accused only when its echoes become older than the detection time, and no answer came
///   within [`Timing::answer`]; one that was not reachable before has a detection time from when it was
///   heard first, however long it was watched;
/// - a peer never heard has a detection time from when its link stood ([`Self::on_linked`]);
/// - frames from a peer are a sign of life, too ([`Self::on_frames`]), for as long as [`Timing::mute`].
///
/// Bounds: a process that is on time finds silence within the detection time, and that a peer which
/// it hears does not hear it within one and a half. One that is late all the time, as its peers are,
/// but each time by less than a stall, finds either within six.
///
/// Invariants: (I1) no report about one life of a peer is repeated; (I2) a wake is asked for exactly
/// while a node is watched; (I3) own heartbeats are kept no longer than the detection time.
#[derive(Clone, Debug)]
pub struct Detector {
    me: Member,
    timing: Timing,
    sequence: u64,
    peers: BTreeMap<NodeId, Peer>,
    next_round: Time,
    /// The wake last asked for.
    due: Option<Time>,
    /// By how much that is overdue, as far as deadlines were put off for it.
    overdue: Duration,
    /// Until then an old echo accuses nobody: it may be old because we did not send.
    lenient_until: Time,
    breach: Option<Breach>,
}

impl Detector {
    /// Starts with nobody watched.
    pub fn new(me: Member, timing: Timing) -> Self {
        Self {
            me,
            timing,
            // Lives count in ranges of their own, so that an echo of what an earlier life sent,
            // still under way, is not taken for one of ours.
            sequence: me.incarnation.get() << 32,
            peers: BTreeMap::new(),
            next_round: Time::ZERO,
            due: None,
            overdue: Duration::ZERO,
            lenient_until: Time::ZERO,
            breach: None,
        }
    }

    /// Breaks a rule on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_breach(mut self, breach: Option<Breach>) -> Self {
        self.breach = breach;
        self
    }

    /// Starts to exchange heartbeats with `node`. Watching twice, or oneself, changes nothing.
    pub fn watch(&mut self, now: Time, node: NodeId, out: &mut Vec<DetectorEffect>) {
        if node == self.me.node || self.peers.contains_key(&node) {
            return;
        }
        self.check(now, out);
        if self.peers.is_empty() {
            self.next_round = now + self.timing.heartbeat();
        }
        self.peers.insert(node, Peer::new(now + self.timing.detect()));
        self.beat(now, node, Asking::No, out);
        self.ask_again(now, out);
    }

    /// A link to `node` stands. What was sent before went nowhere: if it is watched and was never
    /// heard, it gets a fresh detection time.
    pub fn on_linked(&mut self, now: Time, node: NodeId, out: &mut Vec<DetectorEffect>) {
        self.check(now, out);
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.life.is_none()) else { return };
        peer.silent.put_off(now + self.timing.detect());
        self.ask_again(now, out);
    }

    /// The watched nodes, in the order of their names.
    pub fn watched(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.keys().copied()
    }

    /// Forgets `node`, in whatever life: nothing is sent to it or said about it any more.
    pub fn unwatch(&mut self, node: NodeId) {
        self.peers.remove(&node);
        if self.peers.is_empty() {
            self.due = None;
        }
    }

    /// The nodes last reported reachable, in their present lives, in the order of their names.
    pub fn reachable(&self) -> impl Iterator<Item = Member> + '_ {
        let stands = self.peers.iter().filter(|(_, peer)| peer.standing == Standing::Reachable);
        stands.filter_map(|(&node, peer)| Some(Member::new(node, peer.life?)))
    }

    /// Sends a heartbeat between the rounds that asks for one back, and returns its number. A
    /// [`DetectorEffect::RoundTrip`] comes within the detection time or never. `None` if the node
    /// is not watched.
    pub fn ask(&mut self, now: Time, node: NodeId, out: &mut Vec<DetectorEffect>) -> Option<u64> {
        self.check(now, out);
        self.beat(now, node, Asking::Measured, out)
    }

    /// Takes in a heartbeat whose sender the link has authenticated.
    ///
    /// One from a node that is not watched or from an earlier life is ignored, and so is one that
    /// was overtaken or repeated: it proves nothing about the present.
    pub fn on_beat(&mut self, now: Time, from: Member, beat: Beat, out: &mut Vec<DetectorEffect>) {
        // What queued up while this process stood still comes before the wake that would say so.
        self.check(now, out);
        let (detect, silence) = (self.timing.detect(), self.timing.silence());
        let Some(peer) = self.peers.get_mut(&from.node) else { return };
        match peer.life {
            Some(life) if from.incarnation < life && self.breach != Some(Breach::StaleIncarnation) => return,
            Some(life) if from.incarnation != life => {
                out.push(DetectorEffect::Superseded { old: Member::new(from.node, life), new: from });
                peer.heard = 0;
                peer.standing = Standing::Pending;
                peer.give_time(now + detect);
            }
            _ => {}
        }
        peer.life = Some(from.incarnation);
        if beat.sequence <= peer.heard {
            return;
        }
        (peer.heard, peer.heard_at) = (beat.sequence, now);
        let age = peer.heard_through(now, from.node, beat.echo, out).map(|at| now.since(at));
        if beat.asks {
            self.beat(now, from.node, Asking::No, out);
        }
        let Some(peer) = self.peers.get_mut(&from.node) else { return };
        if age.is_some_and(|age| age <= detect) {
            peer.silent = Deadline::new(now + silence);
            if peer.standing != Standing::Reachable {
                peer.standing = Standing::Reachable;
                out.push(DetectorEffect::Reachable { member: from });
            }
        }
        if peer.standing != Standing::Unreachable {
            self.doubt(now, from.node, beat.echo, age, out);
        }
        self.ask_again(now, out);
    }

    /// Notes that frames have come from a member, as their link proves, and were read at `at` at the
    /// latest: a sign of life while its heartbeats are lost or late.
    ///
    /// It says nothing about whether the member hears this node, and it counts for no longer than
    /// [`Timing::mute`] after the latest heartbeat. Frames of any other life than that of this
    /// heartbeat are ignored: those of an earlier one come from the dead, and a later one has yet to
    /// be met.
    pub fn on_frames(&mut self, now: Time, from: Member, at: Time, out: &mut Vec<DetectorEffect>) {
        self.check(now, out);
        let timing = self.timing;
        let peer = self.peers.get_mut(&from.node);
        let Some(peer) = peer.filter(|peer| peer.life == Some(from.incarnation)) else { return };
        if peer.standing == Standing::Reachable {
            peer.silent.put_off((at + timing.silence()).min(peer.heard_at + timing.mute()));
        }
    }

    /// A peer was heard that is not lost, and what it echoed is so old; `None`: nobody knows how old.
    fn doubt(
        &mut self,
        now: Time,
        node: NodeId,
        echo: u64,
        age: Option<Duration>,
        out: &mut Vec<DetectorEffect>,
    ) {
        let (timing, lenient) = (self.timing, self.lenient_until);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let outdated = age.is_none_or(|age| age > timing.detect());
        let is_met = peer.standing == Standing::Reachable;
        if outdated && is_met && self.breach == Some(Breach::OldEchoAccuses) && now >= lenient {
            peer.lose();
            out.push(DetectorEffect::Unreachable { node });
            return;
        }
        // Whoever has not been met gets as much time as when the watch began: it may just have heard us.
        let (silence, answer) =
            if is_met { (timing.silence(), timing.answer()) } else { (timing.detect(), timing.detect()) };
        // Heard it is; whether it hears us is judged by itself.
        peer.silent = Deadline::new(now + silence);
        let is_answer = age.is_some() && peer.doubt.is_some_and(|doubt| doubt.is_answered(echo));
        if is_answer || age.is_some_and(|age| age <= timing.heartbeat() * 2) {
            peer.doubt = None;
            return;
        }
        if let Some(doubt) = peer.doubt.as_mut().filter(|_| outdated) {
            doubt.confirm(now, timing);
        }
        if peer.doubt.is_some_and(|doubt| now.since(doubt.asked_at) < timing.heartbeat()) {
            return;
        }
        let Some(asked) = self.beat(now, node, Asking::Doubting, out) else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let answer_by = lenient.max(now + answer);
        peer.doubt.get_or_insert_with(|| Doubt::new(now, asked, answer_by)).asked_at = now;
    }

    /// Sends what is due and reports who fell silent. A wake too early or for nothing does no harm.
    pub fn on_wake(&mut self, now: Time, out: &mut Vec<DetectorEffect>) {
        self.check(now, out);
        for (&node, peer) in &mut self.peers {
            if peer.is_lost(now, self.timing) {
                peer.lose();
                out.push(DetectorEffect::Unreachable { node });
            }
        }
        if self.next_round <= now {
            for node in self.peers.keys().copied().collect::<Vec<_>>() {
                self.beat(now, node, Asking::No, out);
            }
            // Keep the pace after a slightly late wake, but do not make up for missed rounds.
            let next = self.next_round + self.timing.heartbeat();
            let soon = next.since(now) < self.timing.heartbeat() / 2;
            self.next_round = if soon { now + self.timing.heartbeat() } else { next };
        }
        self.due = None;
        self.ask_again(now, out);
    }

    /// Notices that this process is late: the wake asked for is overdue. By less than a stall, that
    /// puts off every deadline by as much. By more, the process stood still: then this says so and
    /// gives everybody, whom this node could not have heard or answered meanwhile, a fresh detection
    /// time.
    ///
    /// Every other call does this by itself. A shell calls it before it takes in anything else that
    /// may have queued up during a stall, so that the news comes first.
    pub fn check(&mut self, now: Time, out: &mut Vec<DetectorEffect>) {
        let Some(due) = self.due else { return };
        let late_by = now.since(due);
        if late_by <= self.timing.stall() {
            let more = late_by.saturating_sub(self.overdue);
            self.overdue += more;
            if !more.is_zero() {
                self.peers.values_mut().for_each(|peer| peer.excuse(late_by, more, self.timing));
            }
            return;
        }
        out.push(DetectorEffect::Stalled { late_by });
        self.lenient_until = now + self.timing.detect();
        for peer in self.peers.values_mut() {
            peer.give_time(self.lenient_until);
        }
        // The overdue wake is still to come: it must not count as a second stall.
        self.next_round = self.next_round.max(now);
        (self.due, self.overdue) = (Some(now), Duration::ZERO);
    }

    /// Sends a heartbeat, if the node is watched, and returns its number.
    fn beat(
        &mut self,
        now: Time,
        node: NodeId,
        asking: Asking,
        out: &mut Vec<DetectorEffect>,
    ) -> Option<u64> {
        let peer = self.peers.get_mut(&node)?;
        self.sequence += 1;
        out.push(peer.beat(node, self.sequence, now, self.timing.detect(), asking));
        Some(self.sequence)
    }

    fn ask_again(&mut self, now: Time, out: &mut Vec<DetectorEffect>) {
        let judged = self.peers.values().filter_map(|peer| peer.next_wake(self.timing));
        let next = judged.chain([self.next_round]).min();
        if let Some(next) = next.filter(|next| !self.peers.is_empty() && self.due != Some(*next)) {
            (self.due, self.overdue) = (Some(next), now.since(next));
            out.push(DetectorEffect::WakeAt(next));
        }
    }
}

#[cfg(test)]
mod tests;
