//! What the benchmark and its hosts tell each other: a line of JSON each.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use quorate::protocols::Order as Delivery;
use serde::{Deserialize, Serialize};

/// Who carries the messages to all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Whose {
    Ours,
    Corosync,
    /// Bare quinn, from the first host to each of the others.
    Quinn,
}

/// What the members of a group do in a round.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Work {
    pub(super) message_bytes: usize,
    /// The first so many members send.
    pub(super) senders: usize,
    pub(super) pace: Pace,
}

/// How fast they send.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum Pace {
    /// As fast as the group takes messages. A member of ours has handed over so many batches at a time.
    Full { batches: usize },
    /// One message each so often; whoever gets it notes how long it took.
    Every(Duration),
}

/// What a host is told to do. It answers each with one [`Answer`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// Be what joins the others: a bridge that carries packets of so many bytes.
    Bridge { mtu: u16 },
    /// Join this device to it.
    Attach { device: String },
    /// Take this address on this device.
    Join { device: String, addr: String },
    /// Run a node of ours, and wait until all have founded the group.
    Found { node: usize, listen: SocketAddr, seeds: Vec<SocketAddr>, delivery: Delivery },
    /// Stop it.
    Leave,
    /// Run Corosync as it is configured in this folder, and enter a closed process group.
    Enter { folder: PathBuf, member: PathBuf },
    /// Listen here with bare quinn, at the best settings for packets of so many bytes.
    Listen { at: Ipv4Addr, mtu: u16 },
    /// Reach all of these with bare quinn.
    Reach { all: Vec<Listens>, mtu: u16 },
    /// Work for so long.
    Round { whose: Whose, work: Work, sends: bool, length: Duration },
}

/// What a host answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// It listens.
    Listens(Listens),
    /// A round is over.
    Part(Part),
}

/// Where bare quinn listens, and the certificate that it shows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Listens {
    pub(super) addr: SocketAddr,
    pub(super) certificate: Vec<u8>,
}

/// What a member did in a round. Times are the system's monotonic clock, which all its processes share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Part {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// When it began to send.
    pub(super) begun: Duration,
    /// When it got the last message.
    pub(super) over: Duration,
    /// How many nanoseconds each message took, if they were sent at a pace.
    pub(super) latencies: Vec<u64>,
}
