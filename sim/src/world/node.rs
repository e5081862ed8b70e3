//! One node: a life, its clock, its failure detector, its group, and the application on top.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_membership::{Detector, Member, Time};
use quorate_protocols::{Group, Ticket};

use super::what::What;
use crate::{busy::Busy, clock::Clock, replica::Replica};

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
    pub(super) busy: Busy,
    /// What reached it while it stood still, or since its last turn.
    pub(super) waiting: Vec<What>,
    /// Submissions whose fate is open.
    pub(super) tickets: BTreeMap<Ticket, Vec<Bytes>>,
    /// Messages of this node, in all of its lives, that it was told are uniform.
    pub(super) uniform: u64,
    /// Requests whose answers are still collected.
    pub(super) asked: BTreeSet<Ticket>,
    /// What the group and the detector asked to be woken at, by the node's own clock.
    pub(super) wake: Option<Time>,
    pub(super) look: Option<Time>,
    pub(super) replica: Replica,
    /// When the process last died.
    pub(super) died: Option<Time>,
}

impl Node {
    /// Whether the process is there at all, running or standing still.
    pub(super) const fn is_up(&self) -> bool {
        self.group.is_some()
    }
}
