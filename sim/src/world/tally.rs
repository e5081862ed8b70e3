//! What happened in a run, as figures.

use std::{fmt, ops::AddAssign};

/// What happened in a run, to show that it was not empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Messages submitted.
    pub submitted: u64,
    /// Messages delivered, counted at each member.
    pub delivered: u64,
    /// Messages to one member that it delivered, and answers that came.
    pub letters: u64,
    /// Messages whose sender was told that they are uniform.
    pub uniform: u64,
    /// Views in which sides of a partition merged, counted at each member.
    pub merges: u64,
    /// States that newcomers got.
    pub restored: u64,
    /// Faults that began.
    pub faults: u64,
    /// Aimed faults that struck.
    pub strikes: u64,
    /// Messages submitted again because they had been lost.
    pub retried: u64,
    /// Attempts to close a view.
    pub attempts: u64,
    /// Steps of the group's cores.
    pub steps: u64,
    /// Messages between nodes.
    pub sent: u64,
    /// Nodes that a failure detector no longer heard.
    pub suspicions: u64,
    /// Different views.
    pub views: u64,
    /// A digest of everything that happened, in order: equal for equal runs.
    pub digest: u64,
}

impl AddAssign for Tally {
    /// Counts what happened in another run, too.
    fn add_assign(&mut self, other: Self) {
        let Self {
            submitted,
            delivered,
            letters,
            uniform,
            merges,
            restored,
            faults,
            strikes,
            retried,
            attempts,
            steps,
            sent,
            suspicions,
            views,
            digest,
        } = other;
        self.submitted += submitted;
        self.delivered += delivered;
        self.letters += letters;
        self.uniform += uniform;
        self.merges += merges;
        self.restored += restored;
        self.faults += faults;
        self.strikes += strikes;
        self.retried += retried;
        self.attempts += attempts;
        self.steps += steps;
        self.sent += sent;
        self.suspicions += suspicions;
        self.views += views;
        self.digest ^= digest;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivered, uniform, views, faults, strikes, letters, restored, merges, .. } = self;
        writeln!(f, "{delivered} deliveries, {uniform} uniform messages, {letters} letters and answers")?;
        writeln!(f, "{views} views, {merges} merges entered, {restored} states handed over")?;
        write!(f, "{faults} faults, and {strikes} strikes at a step that was waited for")
    }
}
