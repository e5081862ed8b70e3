//! Groups at full load for long.

use std::time::Duration;

use quorate::protocols::Order;
use quorate_bench::{Disturbance, Report, SoakArgs};

use super::{options::choose, show::Show};
use crate::{Failure, span};

/// Let a group work at full load for long, and compare the last third of the run with the first.
///
/// All that is sent must be delivered, once and in turn, at all members that stay, and be what they count themselves:
/// messages are numbered, and the run fails if one is lost or doubled or a counter disagrees. Throughput, latency and
/// memory must stay the same, and no live member be taken for dead; undisturbed, the machine's cores must be busy.
/// Beside demote, evict and churn, throughput and latency are compared over those seconds of both thirds in which the
/// view had the same members throughout: those that it had for the longest time in both. The figures say for how long
/// that was, and how many members; of too few such seconds there are none.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: quorate bench soak --orders uniform --beside nothing,churn,demote --length 2m"
)]
pub(super) struct Soak {
    /// Orders of delivery [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// What goes on beside the load, each in a run of its own: nothing; a slow member that others wait for (block)
    /// or that is made a learner (demote) or removed (evict); loss of one packet of a hundred; churn, a member that
    /// leaves and joins [default: nothing].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    beside: Vec<Disturbance>,
    /// Bytes of the messages, at least 17 [default: 1024].
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// How long each run lasts, such as 90s or 10m [default: 10m].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    length: Option<Duration>,
}

impl Soak {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = SoakArgs::default();
        choose(&mut wanted.orders, &self.orders);
        choose(&mut wanted.disturbances, &self.beside);
        wanted.message_bytes = self.size.unwrap_or(wanted.message_bytes);
        wanted.length = self.length.unwrap_or(wanted.length);
        show.measure(|observer| quorate_bench::soak(&wanted, observer))
    }
}
