//! One node: a life, its clock, its failure detector, its group, and the application on top.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{Detector, Member, Time};
use quorate_protocols::{Group, Ticket};

use super::{state::State, what::What};

/// A node's clock. It never runs backwards, but may run slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    since: Time,
    reads: Time,
    percent: u32,
}

impl Clock {
    /// A clock that is right.
    pub(super) const RIGHT: Self = Self { since: Time::ZERO, reads: Time::ZERO, percent: 100 };

    /// What it reads at this moment.
    pub(super) fn read(&self, now: Time) -> Time {
        self.reads + now.since(self.since) * self.percent / 100
    }

    /// The moment at which it will read this.
    pub(super) fn moment(&self, reads: Time) -> Time {
        self.since + reads.since(self.reads) * 100 / self.percent + Duration::from_nanos(1)
    }

    /// Runs at so many hundredths of its speed from now on.
    pub(super) fn run_at(&mut self, now: Time, percent: u32) {
        *self = Self { since: now, reads: self.read(now), percent };
    }

    pub(super) const fn is_right(&self) -> bool {
        self.percent == 100
    }
}

/// A node of the simulated cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) life: Member,
    pub(super) clock: Clock,
    pub(super) detector: Detector,
    /// `None`: the process is down.
    pub(super) group: Option<Group>,
    /// How many faults make it stand still.
    pub(super) pauses: u32,
    /// What reached it while it stood still.
    pub(super) waiting: Vec<What>,
    /// Submissions whose fate is open.
    pub(super) tickets: BTreeMap<Ticket, Bytes>,
    /// Messages of this node, in all of its lives, that it was told are uniform.
    pub(super) uniform: u64,
    /// Requests whose answers are still collected.
    pub(super) asked: BTreeSet<Ticket>,
    /// What the group and the detector asked to be woken at, by the node's own clock.
    pub(super) wake: Option<Time>,
    pub(super) look: Option<Time>,
    /// What the messages delivered so far add up to; `None` while a newcomer has not got it.
    pub(super) state: Option<State>,
    /// The part of a state that has come.
    pub(super) filling: Vec<u8>,
    /// When the process last died.
    pub(super) died: Option<Time>,
    /// When its clock was last made slow or right again.
    pub(super) clock_set: Option<Time>,
}

impl Node {
    /// Whether the process is there at all, running or standing still.
    pub(super) const fn is_up(&self) -> bool {
        self.group.is_some()
    }
}
