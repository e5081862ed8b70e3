//! What a detector knows of one peer.

use std::{collections::VecDeque, time::Duration};

use super::{Beat, DetectorEffect, deadline::Deadline};
use crate::{Incarnation, NodeId, Time, Timing};

/// Heartbeats to one peer that are remembered, for one that asks for more than anybody needs.
pub(super) const SENT_MAX: usize = 1024;

/// What was reported last about the present life of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Pending,
    Reachable,
    Unreachable,
}

/// Whether a heartbeat asks for one back, and what for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asking {
    No,
    /// Somebody wants to know how long it takes.
    Measured,
    /// Whether the peer hears us is in doubt.
    Doubting,
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Unknown until the first heartbeat.
    pub(super) life: Option<Incarnation>,
    /// Highest number heard from that life.
    pub(super) heard: u64,
    /// When that was heard.
    pub(super) heard_at: Time,
    pub(super) standing: Standing,
    /// Unless it stands as unreachable already, the peer does so once this has passed.
    pub(super) silent: Deadline,
    /// A peer that is heard was asked whether it hears this node, and has not shown it since.
    pub(super) doubt: Option<Doubt>,
    /// Our own heartbeats to it within the last detection time, oldest first.
    pub(super) sent: VecDeque<Sent>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    sequence: u64,
    at: Time,
    /// Its round trip is measured, and nothing has been heard of it yet.
    measured: bool,
}

/// Whether a peer that is heard hears us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// The first heartbeat that asked.
    sequence: u64,
    /// When it was asked last.
    pub(super) asked_at: Time,
    answer_by: Deadline,
    /// Whether what it echoed after that was too old, too. Silence is judged by itself.
    confirmed: bool,
}

impl Doubt {
    pub(super) fn new(now: Time, sequence: u64, answer_by: Time) -> Self {
        Self { sequence, asked_at: now, answer_by: Deadline::new(answer_by), confirmed: false }
    }

    /// An echo too old has come; the answer may have come right behind it.
    pub(super) fn confirm(&mut self, now: Time, timing: Timing) {
        if !std::mem::replace(&mut self.confirmed, true) {
            self.answer_by.put_off(now + timing.last_call());
        }
    }

    pub(super) const fn is_answered(&self, echo: u64) -> bool {
        self.sequence <= echo
    }
}

impl Peer {
    pub(super) fn new(deadline: Time) -> Self {
        let (standing, silent) = (Standing::Pending, Deadline::new(deadline));
        let heard_at = Time::ZERO;
        Self { life: None, heard: 0, heard_at, standing, silent, doubt: None, sent: VecDeque::new() }
    }

    /// Begins anew, for another life or after this process stood still.
    pub(super) fn give_time(&mut self, deadline: Time) {
        self.silent = Deadline::new(deadline);
        self.doubt = None;
    }

    pub(super) fn lose(&mut self) {
        self.standing = Standing::Unreachable;
        self.doubt = None;
    }

    pub(super) fn beat(
        &mut self,
        to: NodeId,
        sequence: u64,
        now: Time,
        keep: Duration,
        asking: Asking,
    ) -> DetectorEffect {
        while self.sent.len() >= SENT_MAX || self.sent.front().is_some_and(|sent| now.since(sent.at) > keep) {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { sequence, at: now, measured: asking == Asking::Measured });
        DetectorEffect::Send { to, beat: Beat { sequence, echo: self.heard, asks: asking != Asking::No } }
    }

    /// When our heartbeat with this number was sent, if that is remembered. If it is measured, that is its answer;
    /// what was measured before it and is unanswered was lost, or its answer was.
    pub(super) fn heard_through(
        &mut self,
        now: Time,
        node: NodeId,
        echo: u64,
        out: &mut Vec<DetectorEffect>,
    ) -> Option<Time> {
        let index = self.sent.binary_search_by_key(&echo, |sent| sent.sequence).ok()?;
        for sent in self.sent.range_mut(..=index).filter(|sent| sent.measured) {
            sent.measured = false;
            let took = (sent.sequence == echo).then(|| now.since(sent.at));
            out.push(DetectorEffect::RoundTrip { node, sequence: sent.sequence, took });
        }
        Some(self.sent[index].at)
    }

    pub(super) fn excuse(&mut self, late: Duration, more: Duration, timing: Timing) {
        self.silent.excuse(late, more, timing);
        if let Some(doubt) = &mut self.doubt {
            doubt.answer_by.excuse(late, more, timing);
        }
    }

    /// The wake that it needs next; none while nothing can be said against it.
    pub(super) fn next_wake(&self, timing: Timing) -> Option<Time> {
        let doubt = self.doubt.iter().filter(|doubt| doubt.confirmed);
        let deaf = doubt.map(|doubt| doubt.answer_by.next_wake(timing));
        let unjudged = self.standing != Standing::Unreachable;
        deaf.chain([self.silent.next_wake(timing)]).min().filter(|_| unjudged)
    }

    /// Notes a wake, and returns whether the peer is lost: silent, or heard and not hearing us.
    pub(super) fn is_lost(&mut self, now: Time, timing: Timing) -> bool {
        let silent = self.silent.has_passed(now, timing);
        let doubt = self.doubt.as_mut().filter(|doubt| doubt.confirmed);
        let deaf = doubt.is_some_and(|doubt| doubt.answer_by.has_passed(now, timing));
        self.standing != Standing::Unreachable && (silent || deaf)
    }
}
