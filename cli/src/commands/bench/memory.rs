//! The memory of nodes.

use std::time::Duration;

use quorate_bench::{MemoryArgs, Report};

use super::{options::this_command, show::Show};
use crate::{Failure, span};

/// Measure the memory of nodes, idle and while their group carries as much as it can, and what they do when idle.
///
/// The nodes are processes of their own. Under load all of three members multicast at the same time as fast as the
/// group takes messages, as in `quorate bench multicast`, and each reads all that is delivered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench memory --load 2m")]
pub(super) struct Memory {
    /// For how long idle nodes are watched, such as 10s [default: 10s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// For how long nodes are watched under load, after 5 s of it, such as 2m [default: 30s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    load: Option<Duration>,
    /// Bytes of the messages [default: 1024].
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
}

impl Memory {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = MemoryArgs::new(this_command()?);
        wanted.idle = self.idle.unwrap_or(wanted.idle);
        wanted.load = self.load.unwrap_or(wanted.load);
        wanted.message_bytes = self.size.unwrap_or(wanted.message_bytes);
        show.measure(|observer| quorate_bench::memory(&wanted, observer))
    }
}
