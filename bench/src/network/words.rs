//! What the benchmark and its hosts tell each other: a line of JSON each.

use std::{net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use super::link::Opening;

/// Names a piece of work at both hosts.
pub(super) type WorkId = u16;

/// What the first host sends, and the second receives.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum Work {
    /// Bare UDP, somewhat faster than the link.
    Blast { packet_bytes: usize, bytes_per_second: u64 },
    /// Frames on one lane of a link of ours, as fast as it takes them.
    Flow { opening: Opening, message_bytes: usize },
    /// Messages of several groups at a pace.
    Groups { opening: Opening, groups: u32, every: Duration, shared_lane: bool },
}

/// What a host is told to do. It answers each with one [`Answer`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// Take this address on this device of yours.
    Join { device: String, address: Ipv4Addr },
    /// Be ready to receive what the other sends.
    Receive { id: WorkId, work: Work, at: Ipv4Addr },
    /// Reach the other, who is ready.
    Send { id: WorkId, work: Work, to: Ipv4Addr },
    /// Work for so long.
    Round { id: WorkId, length: Duration },
}

/// What a host answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// So many messages were sent.
    Sent(u64),
    /// So many messages came between the first and the last of a round.
    Received { messages: u64, message_bytes: usize, elapsed: Duration },
    /// Messages of several groups came.
    Arrivals(Vec<Arrival>),
}

/// One message of a group. Times are the system's monotonic clock, which all its processes share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Arrival {
    pub(super) group: u32,
    pub(super) sent: Duration,
    pub(super) received: Duration,
}
