//! Who exists in the cluster: SWIM over datagrams, by the `foca` crate, as a pure core.
//!
//! Source: Das, Gupta and Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
//! Membership Protocol", DSN 2002, with its extensions of infection and suspicion (sections 4.1 and
//! 4.2). It scales to thousands of nodes and is only weakly consistent: groups are not made of what
//! is said here, but of views.

mod alarms;
mod codec;
mod config;
mod identity;

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
};

use bytes::Bytes;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, OwnedNotification as Note};
use rand::{SeedableRng, rngs::SmallRng};

use self::{
    alarms::{Alarm, Alarms},
    codec::{DATAGRAM_BYTES_MAX, Datagram, MessagePack},
};
use crate::{Member, NodeId, Time, Timing};

pub use identity::ClusterIdentity;

/// What the shell has to do, or to know, in the order pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClusterEffect {
    /// Send a datagram; it may be lost.
    Send {
        /// The addressee; `to.addr` is where it listens.
        to: ClusterIdentity,
        /// At most [`Cluster::DATAGRAM_BYTES_MAX`] bytes.
        bytes: Bytes,
    },
    /// The member exists.
    Up(ClusterIdentity),
    /// The member, of which [`Self::Up`] was said, has left, failed or been replaced.
    Down(ClusterIdentity),
    /// Call [`Cluster::on_wake`] at this moment; replaces the moment asked for before.
    WakeAt(Time),
}

/// Why a datagram was refused. In every case the cluster is unchanged and nothing is to be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The sender does not keep to the limit, or is not one of us.
    #[error("datagram of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// [`Cluster::DATAGRAM_BYTES_MAX`].
        limit: usize,
    },
    /// The bytes are no datagram of this protocol, or damaged.
    #[error("not a datagram of the cluster: {why}")]
    Malformed {
        /// What is wrong with them.
        why: String,
    },
    /// The sender calls itself by our name: two processes run as one node, or a datagram was
    /// reflected.
    #[error("datagram from {from}, which is this node")]
    FromOurselves {
        /// What the sender calls itself.
        from: Member,
    },
    /// The sender asks us to probe ourselves on its behalf.
    #[error("{from} treats this node as a third party to itself")]
    IndirectToOurselves {
        /// The sender.
        from: Member,
    },
    /// The cluster knows a later life of this node: this process should stop.
    #[error("this node lives on as {by}; its former process should stop")]
    Superseded {
        /// The later life.
        by: Member,
    },
    /// The datagram names nodes unknown so far, and no more can be kept in mind.
    #[error("cannot keep more than {limit} nodes in mind")]
    Full {
        /// [`Cluster::NODES_MAX`].
        limit: usize,
    },
    /// This node has left. Nothing more is expected of it.
    #[error("this node has left the cluster")]
    Left,
}

type Swim = Foca<ClusterIdentity, MessagePack, SmallRng, NoCustomBroadcast>;
type Runtime = AccumulatingRuntime<ClusterIdentity>;

/// The members of the cluster as far as this node has heard.
///
/// Invariants: (I1) for each node [`ClusterEffect::Up`] and [`ClusterEffect::Down`] alternate,
/// beginning with the former; (I2) there is no effect on this node itself; (I3) while no other
/// member is up, but one is known, a wake is asked for.
#[derive(Debug)]
pub struct Cluster {
    node: NodeId,
    timing: Timing,
    swim: Swim,
    alarms: Alarms,
    /// The wake last asked for.
    due: Option<Time>,
    up: BTreeMap<NodeId, ClusterIdentity>,
    /// Announced to, but not up yet.
    contacts: VecDeque<ClusterIdentity>,
    /// Whether the cluster has accepted our present identity, as far as we know.
    connected: bool,
    /// Whether an alarm to seek is set.
    seeking: bool,
    /// Where to go on in the list of those sought.
    cursor: usize,
    left: bool,
}

impl Cluster {
    /// The largest datagram sent or accepted, in bytes: one packet on any link.
    pub const DATAGRAM_BYTES_MAX: usize = DATAGRAM_BYTES_MAX;
    /// How many nodes are kept in mind, those that are down included.
    pub const NODES_MAX: usize = 10_000;
    /// How many contacts are sought at a time; a further one replaces the oldest.
    pub const CONTACTS_MAX: usize = 16;
    /// Announcements per attempt to reach somebody.
    const SOUGHT_AT_ONCE: usize = 3;

    /// Starts alone. `seed` decides all chance; all nodes should share `timing` and, roughly,
    /// `expected_size`, which says how long and how often to gossip: ten times too small or too
    /// large costs speed of detection or bandwidth, not correctness.
    pub fn new(me: ClusterIdentity, timing: Timing, expected_size: NonZeroU32, seed: u64) -> Self {
        let chance = SmallRng::seed_from_u64(seed);
        Self {
            node: me.member.node,
            timing,
            swim: Foca::new(me, config::config(timing, expected_size), chance, MessagePack),
            alarms: Alarms::default(),
            due: None,
            up: BTreeMap::new(),
            contacts: VecDeque::new(),
            connected: false,
            seeking: false,
            cursor: 0,
            left: false,
        }
    }

    /// How this node calls itself now; only the renewal ever changes.
    pub fn identity(&self) -> &ClusterIdentity {
        self.swim.identity()
    }

    /// The other members that are up, in the order of their nodes.
    pub fn members(&self) -> impl Iterator<Item = &ClusterIdentity> {
        self.up.values()
    }

    /// Takes in a datagram.
    ///
    /// # Errors
    /// [`ClusterError`]; the state is unchanged then, and there is no effect.
    pub fn on_datagram(
        &mut self,
        now: Time,
        bytes: &[u8],
        out: &mut Vec<ClusterEffect>,
    ) -> Result<(), ClusterError> {
        self.check(bytes)?;
        self.notice_stall(now);
        let mut runtime = Runtime::new();
        let done = self.swim.handle_data(bytes, &mut runtime);
        debug_assert!(done.is_ok(), "a checked datagram was refused: {done:?}");
        self.settle(now, runtime, out);
        Ok(())
    }

    /// Does what is due. A wake too early or for nothing does no harm; one much too late puts off
    /// everything that was due, since the answers to it may be waiting to be taken in.
    pub fn on_wake(&mut self, now: Time, out: &mut Vec<ClusterEffect>) {
        self.notice_stall(now);
        let mut runtime = Runtime::new();
        while let Some(alarm) = self.alarms.pop_due(now) {
            match alarm {
                Alarm::Swim(timer) => {
                    let done = self.swim.handle_timer(timer, &mut runtime);
                    debug_assert!(done.is_ok(), "timers are handed back in order: {done:?}");
                }
                Alarm::Seek => {
                    self.seeking = false;
                    self.seek(&mut runtime);
                }
            }
        }
        self.due = None;
        self.settle(now, runtime, out);
    }

    /// Asks a node, whose identity the shell has learnt from its link, to be let in, until it is up.
    ///
    /// Nothing happens if that life of it is up already, if it is this node, or after leaving.
    pub fn contact(&mut self, now: Time, who: ClusterIdentity, out: &mut Vec<ClusterEffect>) {
        let node = who.member.node;
        let known = self.up.get(&node).is_some_and(|up| up.member.incarnation >= who.member.incarnation);
        if self.left || known || node == self.node {
            return;
        }
        self.notice_stall(now);
        self.contacts.retain(|contact| contact.member.node != node);
        self.contacts.truncate(Self::CONTACTS_MAX - 1);
        self.contacts.push_front(who);
        let mut runtime = Runtime::new();
        self.announce(who, &mut runtime);
        self.settle(now, runtime, out);
    }

    /// Tells a few members that this node leaves, and ends. Everything later is ignored or refused.
    pub fn leave(&mut self, now: Time, out: &mut Vec<ClusterEffect>) {
        if self.left {
            return;
        }
        let mut runtime = Runtime::new();
        let done = self.swim.leave_cluster(&mut runtime);
        debug_assert!(done.is_ok(), "every message fits: {done:?}");
        self.left = true;
        self.contacts.clear();
        self.settle(now, runtime, out);
        self.alarms.clear();
        self.due = None;
    }

    /// Refuses what SWIM would refuse only after having applied half of it, and what it would not.
    fn check(&self, bytes: &[u8]) -> Result<(), ClusterError> {
        if self.left {
            return Err(ClusterError::Left);
        }
        let (size, limit) = (bytes.len(), DATAGRAM_BYTES_MAX);
        if size > limit {
            return Err(ClusterError::TooLarge { size, limit });
        }
        let datagram =
            Datagram::decode(bytes).map_err(|error| ClusterError::Malformed { why: error.to_string() })?;
        let from = datagram.header.src.member;
        if from.node == self.node {
            return Err(ClusterError::FromOurselves { from });
        }
        if datagram.third_party() == Some(self.identity()) {
            return Err(ClusterError::IndirectToOurselves { from });
        }
        let me = self.identity().member;
        let mut lives = datagram.named().map(|named| named.member).filter(|named| named.node == me.node);
        // SWIM takes every other identity of ours for an outdated one and would declare it down.
        if let Some(by) = lives.find(|life| life.incarnation > me.incarnation) {
            return Err(ClusterError::Superseded { by });
        }
        let known = self.swim.iter_membership_state();
        if known.len() >= Self::NODES_MAX {
            let known: Vec<_> = known.map(|known| known.id().member.node).collect();
            if datagram.named().any(|named| !known.contains(&named.member.node)) {
                return Err(ClusterError::Full { limit: Self::NODES_MAX });
            }
        }
        Ok(())
    }

    /// If the wake asked for is overdue beyond measure, this process stood still: it grants
    /// everybody the time that it has missed.
    fn notice_stall(&mut self, now: Time) {
        let Some(due) = self.due else { return };
        let late_by = now.since(due);
        if late_by > self.timing.stall() {
            self.alarms.postpone(late_by);
            self.due = Some(now);
        }
    }

    /// Announces this node to a few of those who might let it in, in turn.
    fn seek(&mut self, runtime: &mut Runtime) {
        let mut sought: Vec<_> = self.contacts.iter().copied().collect();
        if !self.connected {
            sought.extend(self.swim.iter_membership_state().map(|known| *known.id()));
            sought.retain(|known| known.member.node != self.node);
        }
        let first = self.cursor.checked_rem(sought.len()).unwrap_or(0);
        for who in sought.iter().cycle().skip(first).take(sought.len().min(Self::SOUGHT_AT_ONCE)) {
            self.announce(*who, runtime);
        }
        self.cursor = first + Self::SOUGHT_AT_ONCE;
    }

    fn announce(&mut self, to: ClusterIdentity, runtime: &mut Runtime) {
        let done = self.swim.announce(to, runtime);
        debug_assert!(done.is_ok(), "every message fits: {done:?}");
    }

    /// Turns what SWIM wants into effects and alarms.
    fn settle(&mut self, now: Time, mut runtime: Runtime, out: &mut Vec<ClusterEffect>) {
        while let Some((to, bytes)) = runtime.to_send() {
            // SWIM tries to reach who is down, former identities of ours among them.
            if to.member.node != self.node {
                out.push(ClusterEffect::Send { to, bytes });
            }
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            self.alarms.set(now + after, Alarm::Swim(timer));
        }
        let mut notes = std::iter::from_fn(|| runtime.to_notify()).peekable();
        while let Some(note) = notes.next() {
            match note {
                Note::MemberUp(id) => self.rise(id, out),
                Note::MemberDown(id) => self.fall(id.member.node, out),
                // If it changes sides at the same time, the next note says so.
                Note::Rename(_, id)
                    if notes.peek() == Some(&Note::MemberUp(id))
                        || notes.peek() == Some(&Note::MemberDown(id)) => {}
                Note::Rename(_, id) if self.up.contains_key(&id.member.node) => self.rise(id, out),
                Note::Rename(..) => {}
                Note::Active => self.connected = true,
                Note::Idle | Note::Rejoin(_) | Note::Defunct => self.connected = false,
            }
        }
        let known = self.swim.iter_membership_state().len() > 0;
        if !self.left && !self.seeking && (!self.contacts.is_empty() || (!self.connected && known)) {
            self.seeking = true;
            self.alarms.set(now + config::seek_every(self.timing), Alarm::Seek);
        }
        let next = self.alarms.next();
        if let Some(at) = next.filter(|_| next != self.due && !self.left) {
            out.push(ClusterEffect::WakeAt(at));
        }
        self.due = next;
    }

    /// A node is up under this identity, perhaps instead of another one.
    fn rise(&mut self, id: ClusterIdentity, out: &mut Vec<ClusterEffect>) {
        self.contacts.retain(|contact| {
            contact.member.node != id.member.node || contact.member.incarnation > id.member.incarnation
        });
        let former = self.up.insert(id.member.node, id);
        if former.is_some_and(|former| former.is_same_life(&id)) {
            return;
        }
        out.extend(former.map(ClusterEffect::Down));
        out.push(ClusterEffect::Up(id));
    }

    fn fall(&mut self, node: NodeId, out: &mut Vec<ClusterEffect>) {
        out.extend(self.up.remove(&node).map(ClusterEffect::Down));
    }
}
