//! How much the links carry: what is on a lane waits there for what came before it, and for nothing
//! on other lanes.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::{NodeId, Time};
use quorate_protocols::{Body, Message};

/// Bytes that wait on one lane; beyond them messages are dropped, as they are by a full outbox.
const QUEUE_BYTES_MAX: u64 = 1 << 20;
/// What a message takes beside its payloads, and a heartbeat in all.
const HEADER_BYTES: u64 = 64;

/// How many bytes per second a link carries in each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rates {
    /// Heartbeats, and messages that must not wait behind data.
    pub control: u64,
    /// Messages of the group.
    pub data: u64,
    /// State for newcomers.
    pub bulk: u64,
    /// Everything waits on one lane, at the rate of data, to show what lanes are for.
    pub shared: bool,
}

impl Rates {
    /// This much data and bulk beside a control lane that is fast, so that whatever takes another lane
    /// shows.
    pub const fn new(data: u64, bulk: u64) -> Self {
        Self { control: 10 << 20, data, bulk, shared: false }
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Lane {
    Control,
    Data,
    Bulk,
}

impl Lane {
    /// The lane that nodes send a message of a group on.
    pub(super) fn of(message: &Message) -> Self {
        if message.is_bulk() {
            Self::Bulk
        } else if message.is_urgent() {
            Self::Control
        } else {
            Self::Data
        }
    }
}

/// The lanes of all links.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    rates: Option<Rates>,
    /// When all that waits on a lane has left.
    free_at: BTreeMap<(NodeId, NodeId, Lane), Time>,
    /// How long what was on each kind of lane took to arrive.
    took: BTreeMap<Lane, Vec<Duration>>,
}

impl Lanes {
    pub(super) const fn limit(&mut self, rates: Rates) {
        self.rates = Some(rates);
    }

    pub(super) const fn are_limited(&self) -> bool {
        self.rates.is_some()
    }

    /// How long something of this many bytes takes to leave, at so many hundredths of the lane's rate;
    /// `None` if the lane has no room for it.
    pub(super) fn wait(
        &mut self,
        now: Time,
        (from, to, lane): (NodeId, NodeId, Lane),
        bytes: u64,
        percent: u32,
    ) -> Option<Duration> {
        let Some(rates) = self.rates else { return Some(Duration::ZERO) };
        let lane = if rates.shared { Lane::Data } else { lane };
        let rate = match lane {
            Lane::Control => rates.control,
            Lane::Data => rates.data * u64::from(percent) / 100,
            Lane::Bulk => rates.bulk,
        };
        let takes = |bytes: u64| Duration::from_nanos(bytes * 1_000_000_000 / rate.max(1));
        let free_at = self.free_at.entry((from, to, lane)).or_default();
        if free_at.since(now) > takes(QUEUE_BYTES_MAX) {
            return None;
        }
        *free_at = now.max(*free_at) + takes(bytes);
        Some(free_at.since(now))
    }

    /// Something on a lane arrives so much later than it was sent.
    pub(super) fn note(&mut self, lane: Lane, took: Duration) {
        if self.rates.is_some() {
            self.took.entry(lane).or_default().push(took);
        }
    }

    /// The longest that so many of a thousand took on this kind of lane.
    pub(super) fn took(&self, lane: Lane, per_mille: usize) -> Duration {
        let mut all = self.took.get(&lane).cloned().unwrap_or_default();
        all.sort_unstable();
        let index = (all.len() * per_mille / 1000).min(all.len().saturating_sub(1));
        all.get(index).copied().unwrap_or_default()
    }
}

/// What a message takes on its lane.
pub(super) fn length(message: &Message) -> u64 {
    let frames = if let Body::Refill { frames, .. } = &message.body { frames.len() as u64 } else { 1 };
    message.body.weight() as u64 + frames * HEADER_BYTES
}

/// The same of a heartbeat.
pub(super) const BEAT_BYTES: u64 = HEADER_BYTES;
