//! Groups beside bare quinn.

use quorate::protocols::Order;
use quorate_bench::{MulticastArgs, Report, Senders};

use super::{
    options::{Common, Elsewhere, choose},
    show::Show,
};
use crate::Failure;

/// Measure groups over QUIC: throughput of multicast messages and their latency, beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench multicast --members 3,5 --senders all --json")]
pub(super) struct Multicast {
    /// Members of a group, all of them in this process [default: 3].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    members: Vec<usize>,
    /// Orders of delivery [default: uniform].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// Who sends: one member, or all [default: one,all, and the one here if others are on other machines].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured [default: 64,1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

impl Multicast {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = MulticastArgs::default();
        wanted.schedule = self.common.schedule(wanted.schedule);
        choose(&mut wanted.members, &self.members);
        choose(&mut wanted.orders, &self.orders);
        choose(&mut wanted.senders, &self.senders);
        choose(&mut wanted.sizes, &self.sizes);
        match self.elsewhere.peers()? {
            None => show.measure(|observer| quorate_bench::multicast(&wanted, observer)),
            Some(peers) => show.measure(|observer| quorate_bench::multicast_to(&peers, &wanted, observer)),
        }
    }
}
