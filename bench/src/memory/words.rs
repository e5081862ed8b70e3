//! What the benchmark and the processes of members tell each other: a line of JSON each.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// What a member's process is told to do. It answers each with one [`Answer`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// Run a node with this number, whose group so many nodes found, of which these run.
    Run { node: u64, members: usize, seeds: Vec<SocketAddr> },
    /// Wait until all have founded the group.
    Await,
    /// Send messages of so many bytes for so long, as fast as the group takes them, and read all that it delivers.
    Work { message_bytes: usize, length: Duration },
}

/// What it answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// The node listens here.
    Listens(SocketAddr),
    /// The work is over.
    Worked { sent: u64, received: u64 },
}
