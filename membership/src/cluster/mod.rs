//! Who exists in the cluster: SWIM over datagrams, by the `foca` crate, as a pure core.
//!
//! Source: Das, Gupta and Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
//! Membership Protocol", DSN 2002, with its extensions of infection and suspicion (sections 4.1 and
//! 4.2). It scales to thousands of nodes and is only weakly consistent: groups are not made of what
//! is said here, but of views.
//!
//! A single accuser suffices to declare a node down, so an accuser doubts itself first: one that
//! stood still, or that hears nobody, gives its suspects more time, and whoever talks to a suspect
//! tells it. Source: Dadgar, Phillips and Currey, "Lifeguard: Local Health Awareness for More
//! Accurate Failure Detection", DSN 2018.

mod alarms;
mod codec;
mod error;
mod identity;
mod probe;
mod refuse;
mod roll;
#[cfg(test)]
mod tests;

pub(crate) mod config;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, OwnedNotification as Note, State, Timer};
use rand::{SeedableRng, rngs::SmallRng};

use self::{
    alarms::{Alarm, Alarms},
    codec::{DATAGRAM_BYTES_MAX, MessagePack},
    probe::Probe,
    roll::Reader,
};
use crate::{Member, NodeId, Time, Timing};

pub use error::ClusterError;
pub use identity::ClusterIdentity;

/// What the shell has to do, or to know, in the order pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClusterEffect {
    /// Send a datagram over the link to this member; it may be lost.
    ///
    /// If there is no link, open one to `to.addr` and drop the datagram if that fails: whoever asks
    /// will ask again. Links prove who the sender is, and a full mesh of them is what a cluster of
    /// groups has anyway.
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
    /// When a datagram came last.
    heard: Time,
    probe: Option<Probe>,
    reader: Reader,
    up: BTreeMap<NodeId, ClusterIdentity>,
    /// The decimal digits of the size for which SWIM is configured.
    digits: u8,
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

    /// Starts alone. `seed` decides all chance; all nodes should share `timing`.
    pub fn new(me: ClusterIdentity, timing: Timing, seed: u64) -> Self {
        let digits = config::digits(1);
        let chance = SmallRng::seed_from_u64(seed);
        Self {
            node: me.member.node,
            timing,
            swim: Foca::new(me, config::config(timing, digits), chance, MessagePack),
            alarms: Alarms::default(),
            due: None,
            heard: Time::ZERO,
            probe: None,
            reader: Reader::new(me.member.node),
            up: BTreeMap::new(),
            digits,
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

    /// Takes in a datagram whose sender the link has proved.
    ///
    /// One that is addressed to a former identity of this node is ignored, since it may come late.
    ///
    /// # Errors
    /// [`ClusterError`]; the state is unchanged then, and there is no effect.
    pub fn on_datagram(
        &mut self,
        now: Time,
        from: Member,
        bytes: &[u8],
        out: &mut Vec<ClusterEffect>,
    ) -> Result<(), ClusterError> {
        let datagram = self.open(bytes)?;
        self.check(from, &datagram)?;
        self.notice_stall(now);
        self.notice_sound(now);
        if datagram.roll.is_some() {
            self.on_roll(now, datagram, out);
            return Ok(());
        }
        self.note_answer(&datagram.header);
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
                // Who hears nobody at all is rather deaf than left alone.
                Alarm::Swim(verdict @ Timer::ChangeSuspectToDown { .. }) if self.is_deaf(now) => {
                    let grace = config::suspicion(self.timing, self.digits);
                    self.alarms.set(now + grace, Alarm::LateVerdict(verdict));
                }
                Alarm::Swim(timer) | Alarm::LateVerdict(timer) => {
                    let done = self.swim.handle_timer(timer, &mut runtime);
                    debug_assert!(done.is_ok(), "timers are handed back in order: {done:?}");
                }
                Alarm::Seek => {
                    self.seeking = false;
                    self.seek(&mut runtime);
                }
                Alarm::Read => self.read_on(now, out),
                Alarm::ProbeAgain(number) => self.probe_again(now, number, out),
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

    /// If the wake asked for is overdue beyond measure, this process stood still: it grants
    /// everybody the time that it has missed, and itself some to take in what has queued up.
    fn notice_stall(&mut self, now: Time) {
        let Some(due) = self.due else { return };
        let late_by = now.since(due);
        if late_by > self.timing.stall() {
            let catch_up = self.timing.heartbeat();
            self.alarms.postpone(late_by + catch_up);
            // The overdue wake is still to come: it must not count as a second stall.
            self.due = Some(now + catch_up);
        }
    }

    fn is_deaf(&self, now: Time) -> bool {
        now.since(self.heard) > self.timing.detect()
    }

    /// Something was heard. If that is the first for longer than a probe takes, suspects may have
    /// refuted the suspicion meanwhile: they are granted the time that was missed.
    fn notice_sound(&mut self, now: Time) {
        if self.is_deaf(now) {
            self.alarms.postpone_verdicts(now.since(self.heard));
        }
        self.heard = now;
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
                self.note_probe(now, to, &bytes);
                let bytes = self.tell_suspect(&to, bytes);
                out.push(ClusterEffect::Send { to, bytes });
            }
        }
        let notes: Vec<_> = std::iter::from_fn(|| runtime.to_notify()).collect();
        if notes.iter().any(|note| matches!(note, Note::Idle | Note::Rejoin(_) | Note::Defunct)) {
            self.alarms.drop_probing();
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            self.alarms.set(now + after, Alarm::Swim(timer));
        }
        self.heed(now, notes, out);
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

    /// Whoever is suspected has to hear of it to refute it, but SWIM spreads the suspicion for a
    /// while only: so each datagram to a suspect says it.
    fn tell_suspect(&self, to: &ClusterIdentity, bytes: Bytes) -> Bytes {
        let mut known = self.swim.iter_membership_state();
        match known.find(|known| known.id() == to && known.state() == State::Suspect) {
            Some(suspicion) => codec::with_update(bytes, suspicion),
            None => bytes,
        }
    }

    /// Turns what SWIM has noticed into effects.
    fn heed(&mut self, now: Time, notes: Vec<Note<ClusterIdentity>>, out: &mut Vec<ClusterEffect>) {
        let mut notes = notes.into_iter().peekable();
        while let Some(note) = notes.next() {
            match note {
                Note::MemberUp(id) => self.rise(id, out),
                Note::MemberDown(id) => self.fall(id.member.node, out),
                // Known under another identity now. If that one is up where the other was not, or
                // the other way round, the next note says so.
                Note::Rename(_, id) => {
                    let falls = notes.peek() == Some(&Note::MemberDown(id));
                    if self.up.contains_key(&id.member.node) && !falls {
                        self.rise(id, out);
                    }
                }
                Note::Active => {
                    self.connected = true;
                    self.start_reading(now);
                }
                Note::Idle | Note::Rejoin(_) | Note::Defunct => self.connected = false,
            }
        }
        let digits = config::digits(self.up.len() + 1);
        if digits != self.digits {
            self.digits = digits;
            let done = self.swim.set_config(config::config(self.timing, digits));
            debug_assert!(done.is_ok(), "no period depends on the size: {done:?}");
        }
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
