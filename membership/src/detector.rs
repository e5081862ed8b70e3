//! Which peers can be talked to right now: mutual heartbeats, once per node for all its groups.
//!
//! A heartbeat carries the number of the latest one heard from its addressee, so each side knows
//! whether it is heard, and a cut in one direction is noticed at both ends. What is said here is
//! evidence about a link, not a verdict about a member: only a view removes a member.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Incarnation, Member, NodeId, Time, Timing, agreement::Breach};

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
    /// The peer is silent, does not hear this node, or was never heard within the detection time.
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
    /// A heartbeat that asked for one back ([`Detector::ask`]), or a later one, was heard of.
    RoundTrip {
        /// The peer.
        node: NodeId,
        /// The number of the heartbeat that asked.
        sequence: u64,
        /// From when it was sent until the answer was taken in.
        took: Duration,
    },
    /// Call [`Detector::on_wake`] at this moment; replaces the moment asked for before.
    WakeAt(Time),
}

/// Heartbeats to one peer that are remembered, for one that asks for more than anybody needs.
const SENT_MAX: usize = 1024;

/// What was reported last about the present life of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Pending,
    Reachable,
    Unreachable,
}

#[derive(Clone, Debug)]
struct Peer {
    /// Unknown until the first heartbeat.
    life: Option<Incarnation>,
    /// Highest number heard from that life.
    heard: u64,
    standing: Standing,
    /// Unless it stands as unreachable already, the peer does so from this moment on.
    deadline: Time,
    /// Our own heartbeats to it within the last detection time, oldest first.
    sent: VecDeque<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u64,
    at: Time,
    /// It asked, and nothing has been heard of it yet.
    asks: bool,
}

/// Detects which of the watched nodes this node hears and is heard by.
///
/// A peer is reachable when a heartbeat from it came within [`Timing::detect`], and the latest one
/// echoed, when it came, one of ours sent no longer than [`Timing::detect`] before. Both nodes have
/// to watch each other: heartbeats from a node that is not watched are ignored.
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
        let (standing, deadline) = (Standing::Pending, now + self.timing.detect());
        let mut peer = Peer { life: None, heard: 0, standing, deadline, sent: VecDeque::new() };
        self.sequence += 1;
        out.push(peer.beat(node, self.sequence, now, self.timing.detect(), false));
        self.peers.insert(node, peer);
        self.ask_again(out);
    }

    /// Forgets `node`: nothing is sent to it or said about it any more.
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
        let peer = self.peers.get_mut(&node)?;
        self.sequence += 1;
        out.push(peer.beat(node, self.sequence, now, self.timing.detect(), true));
        Some(self.sequence)
    }

    /// Takes in a heartbeat whose sender the link has authenticated.
    ///
    /// One from a node that is not watched or from an earlier life is ignored, and so is one that
    /// was overtaken or repeated: it proves nothing about the present.
    pub fn on_beat(&mut self, now: Time, from: Member, beat: Beat, out: &mut Vec<DetectorEffect>) {
        // What queued up while this process stood still comes before the wake that would say so.
        self.check(now, out);
        let detect = self.timing.detect();
        let lenient = now < self.lenient_until;
        let Some(peer) = self.peers.get_mut(&from.node) else { return };
        match peer.life {
            Some(life) if from.incarnation < life && self.breach != Some(Breach::StaleIncarnation) => return,
            Some(life) if from.incarnation != life => {
                out.push(DetectorEffect::Superseded { old: Member::new(from.node, life), new: from });
                peer.heard = 0;
                peer.standing = Standing::Pending;
                peer.deadline = now + detect;
            }
            _ => {}
        }
        peer.life = Some(from.incarnation);
        if beat.sequence <= peer.heard {
            return;
        }
        peer.heard = beat.sequence;
        let echoed = peer.heard_through(now, from.node, beat.echo, out);
        if beat.asks {
            self.sequence += 1;
            out.push(peer.beat(from.node, self.sequence, now, detect, false));
        }
        if echoed.is_some_and(|at| now.since(at) <= detect) {
            peer.deadline = now + detect;
            if peer.standing != Standing::Reachable {
                peer.standing = Standing::Reachable;
                out.push(DetectorEffect::Reachable { member: from });
            }
        } else if peer.standing == Standing::Reachable && !lenient {
            peer.standing = Standing::Unreachable;
            out.push(DetectorEffect::Unreachable { node: from.node });
        }
        self.ask_again(out);
    }

    /// Sends what is due and reports who fell silent. A wake too early or for nothing does no harm.
    pub fn on_wake(&mut self, now: Time, out: &mut Vec<DetectorEffect>) {
        self.check(now, out);
        for (&node, peer) in &mut self.peers {
            if peer.standing != Standing::Unreachable && peer.deadline <= now {
                peer.standing = Standing::Unreachable;
                out.push(DetectorEffect::Unreachable { node });
            }
        }
        if self.next_round <= now {
            for (&node, peer) in &mut self.peers {
                self.sequence += 1;
                out.push(peer.beat(node, self.sequence, now, self.timing.detect(), false));
            }
            // Keep the pace after a slightly late wake, but do not make up for missed rounds.
            let next = self.next_round + self.timing.heartbeat();
            let soon = next.since(now) < self.timing.heartbeat() / 2;
            self.next_round = if soon { now + self.timing.heartbeat() } else { next };
        }
        self.due = None;
        self.ask_again(out);
    }

    /// Notices that this process stood still: the wake asked for is overdue beyond measure. Then it
    /// says so and gives everybody, whom this node could not have heard or answered meanwhile, a
    /// fresh detection time.
    ///
    /// Every other call does this by itself. A shell calls it before it takes in anything else that
    /// may have queued up during a stall, so that the news comes first.
    pub fn check(&mut self, now: Time, out: &mut Vec<DetectorEffect>) {
        let Some(due) = self.due else { return };
        let late_by = now.since(due);
        if late_by <= self.timing.stall() {
            return;
        }
        out.push(DetectorEffect::Stalled { late_by });
        self.lenient_until = now + self.timing.detect();
        for peer in self.peers.values_mut() {
            peer.deadline = self.lenient_until;
        }
        // The overdue wake is still to come: it must not count as a second stall.
        self.next_round = self.next_round.max(now);
        self.due = Some(now);
    }

    fn ask_again(&mut self, out: &mut Vec<DetectorEffect>) {
        let unjudged = self.peers.values().filter(|peer| peer.standing != Standing::Unreachable);
        let next = unjudged.map(|peer| peer.deadline).chain([self.next_round]).min();
        if let Some(next) = next.filter(|next| !self.peers.is_empty() && self.due != Some(*next)) {
            self.due = Some(next);
            out.push(DetectorEffect::WakeAt(next));
        }
    }
}

impl Peer {
    fn beat(&mut self, to: NodeId, sequence: u64, now: Time, detect: Duration, asks: bool) -> DetectorEffect {
        while self.sent.len() >= SENT_MAX || self.sent.front().is_some_and(|sent| now.since(sent.at) > detect)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { sequence, at: now, asks });
        DetectorEffect::Send { to, beat: Beat { sequence, echo: self.heard, asks } }
    }

    /// When our heartbeat with this number was sent, if that is remembered. What asked before it, or
    /// with it, is answered by that.
    fn heard_through(
        &mut self,
        now: Time,
        node: NodeId,
        echo: u64,
        out: &mut Vec<DetectorEffect>,
    ) -> Option<Time> {
        let index = self.sent.binary_search_by_key(&echo, |sent| sent.sequence).ok()?;
        for sent in self.sent.range_mut(..=index).filter(|sent| sent.asks) {
            sent.asks = false;
            out.push(DetectorEffect::RoundTrip { node, sequence: sent.sequence, took: now.since(sent.at) });
        }
        Some(self.sent[index].at)
    }
}

#[cfg(test)]
mod tests;
