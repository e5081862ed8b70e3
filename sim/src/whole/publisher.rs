//! Clients that publish into a group through one node after the other: what is not acknowledged
//! when they change nodes they publish again, since its outcome is not known.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::{GroupId, Incarnation, Member, NodeId};
use quorate_protocols::bus::{PublisherId, Stamp};
use rand::{RngExt, seq::IndexedRandom};

use super::{World, network::What, publication::Publication};

/// Publications of one client that are on their way at once.
const OPEN_MAX: usize = 8;
/// Names of clients begin behind those of nodes.
pub(super) const FIRST_CLIENT: u64 = 100;

/// A client that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    id: PublisherId,
    /// The node that it uses.
    at: Option<Member>,
    last: u64,
    /// The numbers of what is not acknowledged, and what it is.
    pub(super) open: BTreeMap<u64, u64>,
}

impl Publisher {
    pub(super) fn new(number: u64) -> Self {
        let member = Member::new(NodeId::new(FIRST_CLIENT + number), Incarnation::new(1));
        Self { id: PublisherId { member, session: 0 }, at: None, last: 0, open: BTreeMap::new() }
    }

    fn stamp(&self, number: u64) -> Stamp {
        let settled = self.open.first_key_value().map_or(self.last, |(first, _)| first - 1);
        Stamp { publisher: self.id, number, previous: number - 1, settled: settled.min(number - 1) }
    }
}

impl World {
    /// The group that clients publish into and read from afar.
    pub(super) fn published_group(&self) -> GroupId {
        self.configs[0].group
    }

    /// A client publishes, or goes to another node and publishes again.
    pub(super) fn step_publisher(&mut self, index: usize) {
        self.soon(5_000..40_000, What::Publisher(index));
        let at = self.publishers[index].at;
        let stays =
            at.is_some_and(|at| self.carries(at, self.published_group())) && self.rng.random_range(0..40) > 0;
        if !stays {
            self.publishers[index].at = self.some_carrier();
            let again: Vec<u64> = self.publishers[index].open.keys().copied().collect();
            self.tally.repeated += again.len() as u64;
            for number in again {
                self.hand_in(index, number);
            }
        }
        let busy = self.now <= self.busy_until;
        let content = self.payload();
        let publisher = &mut self.publishers[index];
        if busy && publisher.at.is_some() && publisher.open.len() < OPEN_MAX {
            publisher.last += 1;
            publisher.open.insert(publisher.last, content);
            let number = publisher.last;
            self.hand_in(index, number);
        }
    }

    /// A publication reaches the node that the client uses.
    fn hand_in(&mut self, index: usize, number: u64) {
        let group = self.published_group();
        let publisher = &self.publishers[index];
        let (Some(at), stamp, Some(content)) =
            (publisher.at, publisher.stamp(number), publisher.open.get(&number).copied())
        else {
            return;
        };
        let Some(stay) = self.bound(at, group).map(|bound| bound.stay) else { return };
        let publication = Publication { group, stamp, content, subject: String::new(), stay };
        // One connection: what is handed in later does not overtake.
        self.push(self.now + Duration::from_millis(1), What::HandIn(at, publication));
    }

    /// One of the carriers that run, if any does.
    pub(super) fn some_carrier(&mut self) -> Option<Member> {
        let lives = self.nodes.values().map(|node| node.life);
        let up: Vec<Member> = lives.filter(|life| self.carries(*life, self.published_group())).collect();
        up.choose(&mut self.rng).copied()
    }
}
