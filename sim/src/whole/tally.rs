//! What happened in a run of whole nodes, as figures.

use std::{fmt, ops::AddAssign};

/// What happened in a run, to show that it was not empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WholeTally {
    /// Messages submitted to groups.
    pub submitted: u64,
    /// Messages that groups delivered, counted at each member.
    pub delivered: u64,
    /// Messages to one member, and answers to requests of groups.
    pub letters: u64,
    /// Newcomers that got a group's state.
    pub restored: u64,
    /// How often a member came together with others out of two sides of several members.
    pub merges: u64,
    /// How often a member saw another, or itself, held for too slow.
    pub too_slow: u64,
    /// Messages that the bus handed to subscribers.
    pub handed: u64,
    /// Messages of which a reader was told that it missed them.
    pub missed: u64,
    /// Publications of clients that were acknowledged.
    pub acknowledged: u64,
    /// Those that were published again by another link.
    pub repeated: u64,
    /// What members dropped because it had passed before, or came too early.
    pub dropped: u64,
    /// What clients read of a group.
    pub read_afar: u64,
    /// How often a node found that two groups bind common subjects.
    pub conflicts: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that ended in an error.
    pub failed: u64,
    /// Links of clients that broke.
    pub unlinked: u64,
    /// Groups that a node has left of its own will.
    pub left: u64,
    /// Those that it has joined again in the same life.
    pub joined: u64,
    /// Newcomers that had to leave a group, since nobody could tell them the marks of publishers.
    pub gave_up: u64,
    /// Nodes that stopped in order.
    pub stopped: u64,
    /// Links that came about.
    pub links: u64,
    /// Faults that began.
    pub faults: u64,
    /// Aimed faults that struck.
    pub strikes: u64,
    /// A digest of everything that happened, in order: equal for equal runs.
    pub digest: u64,
}

impl AddAssign for WholeTally {
    /// Counts what happened in another run, too.
    fn add_assign(&mut self, other: Self) {
        let Self {
            submitted,
            delivered,
            letters,
            restored,
            merges,
            too_slow,
            handed,
            missed,
            acknowledged,
            repeated,
            dropped,
            read_afar,
            conflicts,
            answered,
            failed,
            unlinked,
            left,
            joined,
            gave_up,
            stopped,
            links,
            faults,
            strikes,
            digest,
        } = other;
        self.submitted += submitted;
        self.delivered += delivered;
        self.letters += letters;
        self.restored += restored;
        self.merges += merges;
        self.too_slow += too_slow;
        self.handed += handed;
        self.missed += missed;
        self.acknowledged += acknowledged;
        self.repeated += repeated;
        self.dropped += dropped;
        self.read_afar += read_afar;
        self.conflicts += conflicts;
        self.answered += answered;
        self.failed += failed;
        self.unlinked += unlinked;
        self.left += left;
        self.joined += joined;
        self.gave_up += gave_up;
        self.stopped += stopped;
        self.links += links;
        self.faults += faults;
        self.strikes += strikes;
        self.digest ^= digest;
    }
}

impl fmt::Display for WholeTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            submitted,
            delivered,
            letters,
            restored,
            merges,
            too_slow,
            handed,
            missed,
            acknowledged,
            repeated,
            dropped,
            read_afar,
            answered,
            failed,
            unlinked,
            left,
            joined,
            gave_up,
            stopped,
            links,
            faults,
            strikes,
            ..
        } = self;
        writeln!(
            f,
            "{submitted} messages sent in groups and {delivered} deliveries, {letters} letters and answers, {restored} states \
             handed over, {merges} merges, {too_slow} times too slow; {handed} handed out by the bus"
        )?;
        writeln!(
            f,
            "{acknowledged} publications acknowledged, {repeated} published again, {dropped} dropped, {read_afar} read by clients"
        )?;
        writeln!(
            f,
            "{answered} requests answered and {failed} failed, {missed} messages that readers were told to have missed"
        )?;
        writeln!(
            f,
            "links of clients broke {unlinked} times; groups left {left} times, {gave_up} of these for want of the \
             marks, and joined again {joined} times; {stopped} nodes stopped in order"
        )?;
        write!(f, "{faults} faults, and {strikes} strikes at a step that was waited for; {links} links made")
    }
}
