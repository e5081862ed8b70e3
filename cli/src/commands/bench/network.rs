//! Links over a network with delay and losses.

use std::time::Duration;

use quorate::transport::Congestion;
use quorate_bench::{NetworkArgs, Report, TransportKind};

use super::{
    options::{Common, choose, says_default, this_command},
    show::Show,
};
use crate::{Failure, span};

/// Measure links over a network with a rate, a delay and losses, beside bare UDP and one stream of TCP.
///
/// Two hosts are processes with networks of their own, which needs root and the commands `ip` and `unshare`. The
/// link between them is a relay in this process.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench network --round-trips 25ms --lost 0,1")]
#[command(mut_arg("round", |round| says_default(round, NetworkArgs::new("").schedule)))]
pub(super) struct Network {
    /// Which transports: quic or tcp [default: both].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Time there and back, such as 25ms [default: 1ms,25ms].
    #[arg(long, value_name = "SPANS", value_delimiter = ',', value_parser = span::parse)]
    round_trips: Vec<Duration>,
    /// Of a hundred packets so many are lost on the way, each way [default: 0,1].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    lost: Vec<u8>,
    /// Megabits per second that the link carries, each way [default: 1000].
    #[arg(long, value_name = "N")]
    megabits: Option<u64>,
    /// Bytes of a lane over QUIC that may be on the way [default: what nodes have].
    #[arg(long, value_name = "BYTES")]
    lane_window: Option<u32>,
    /// Congestion control of QUIC: cubic, bbr or new-reno [default: what nodes have].
    #[arg(long, value_name = "NAME")]
    congestion: Option<Congestion>,
    /// Groups that send on the link with the longest round trip [default: 8].
    #[arg(long, value_name = "N")]
    groups: Option<u32>,
    #[command(flatten)]
    common: Common,
}

impl Network {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = NetworkArgs::new(this_command()?);
        wanted.schedule = self.common.schedule(wanted.schedule);
        wanted.schedule.warm_up = wanted.schedule.round;
        choose(&mut wanted.transports, &self.transports);
        choose(&mut wanted.round_trips, &self.round_trips);
        choose(&mut wanted.lost_percent, &self.lost);
        wanted.megabits = self.megabits.unwrap_or(wanted.megabits);
        wanted.lane_window_bytes = self.lane_window;
        wanted.congestion = self.congestion;
        wanted.groups = self.groups.unwrap_or(wanted.groups);
        show.measure(|observer| quorate_bench::network(&wanted, observer))
    }
}
