//! How much the links carry: what is on a lane waits there for what came before it, and for nothing
//! on other lanes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use quorate_membership::{Beat, Member, NodeId, Time};
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

/// Which lane of which link.
pub(super) type Way = (NodeId, NodeId, Lane);

/// Something that waits on a lane.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) bytes: u64,
    /// The lane that it is meant for, whichever it waits on.
    pub(super) lane: Lane,
    /// When it was sent.
    pub(super) since: Time,
    pub(super) from: Member,
    pub(super) cargo: Cargo,
}

/// What lanes carry.
#[derive(Clone, Debug)]
pub(super) enum Cargo {
    Message(Arc<Message>),
    Beat(Beat),
}

/// What waits on one lane; the first of it is leaving.
#[derive(Debug, Default)]
struct Waiting {
    loads: VecDeque<Load>,
    bytes: u64,
    /// Tells departures that were planned one after the other apart: only the latest is one.
    planned: u64,
}

/// The lanes of all links.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    rates: Option<Rates>,
    waiting: BTreeMap<Way, Waiting>,
    /// How long what was on each kind of lane took to arrive.
    took: BTreeMap<Lane, Vec<Duration>>,
}

impl Lanes {
    pub(super) const fn limit(&mut self, rates: Rates) {
        self.rates = Some(rates);
    }

    /// Whether links carry only so much.
    pub(super) const fn are_limited(&self) -> bool {
        self.rates.is_some()
    }

    /// The lane on which something waits that is meant for this one.
    pub(super) fn of(&self, lane: Lane) -> Lane {
        if self.rates.is_some_and(|rates| rates.shared) { Lane::Data } else { lane }
    }

    /// Puts something at the end of a lane; it is dropped if too much waits there. Returns how much is to
    /// leave now if nothing was leaving.
    pub(super) fn enter(&mut self, way: Way, load: Load) -> Option<u64> {
        let waiting = self.waiting.entry(way).or_default();
        if waiting.bytes > QUEUE_BYTES_MAX {
            return None;
        }
        waiting.bytes += load.bytes;
        waiting.loads.push_back(load);
        (waiting.loads.len() == 1).then_some(waiting.loads[0].bytes)
    }

    /// Plans the next departure from a lane, instead of any that was planned before. Returns its number.
    pub(super) fn plan(&mut self, way: Way) -> u64 {
        let waiting = self.waiting.entry(way).or_default();
        waiting.planned += 1;
        waiting.planned
    }

    /// The lanes to a node on which something waits, and how much leaves next.
    pub(super) fn to(&self, node: NodeId) -> Vec<(Way, u64)> {
        let there = self.waiting.iter().filter(|((_, to, _), _)| *to == node);
        there.filter_map(|(way, waiting)| Some((*way, waiting.loads.front()?.bytes))).collect()
    }

    /// The first on a lane leaves, if that was planned last. Returns it, and how much leaves next.
    pub(super) fn leave(&mut self, way: Way, planned: u64) -> Option<(Load, Option<u64>)> {
        let waiting = self.waiting.get_mut(&way).filter(|waiting| waiting.planned == planned)?;
        let load = waiting.loads.pop_front()?;
        waiting.bytes -= load.bytes;
        Some((load, waiting.loads.front().map(|next| next.bytes)))
    }

    /// How long so much takes to leave, at so many hundredths of the lane's rate.
    pub(super) fn takes(&self, lane: Lane, bytes: u64, percent: u32) -> Duration {
        let Some(rates) = self.rates else { return Duration::ZERO };
        let rate = match lane {
            Lane::Control => rates.control,
            Lane::Data => rates.data,
            Lane::Bulk => rates.bulk,
        };
        Duration::from_nanos(bytes * 1_000_000_000 / (rate * u64::from(percent) / 100).max(1))
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
