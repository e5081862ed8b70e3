//! Groups beside those of Corosync.

use quorate::protocols::Order;
use quorate_bench::{CorosyncArgs, Report, Senders};

use super::{
    options::{Common, choose, says_default, this_command},
    show::Show,
};
use crate::Failure;

/// Measure a group beside a closed process group of Corosync: three members each, on the same hosts and link.
///
/// Where one member sends, bare quinn sends the same to both others in the same turns, and is shown beside Corosync,
/// too: about that much can be reached on this link.
///
/// The hosts are processes with networks of their own, which needs root, the commands `ip` and `unshare`, and Debian's
/// packages corosync and libcpg-dev. The client of Corosync is compiled with `cc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench corosync --mtus 1500 --sizes 1024,65536")]
#[command(mut_arg("round", |round| says_default(round, CorosyncArgs::new("").schedule)))]
pub(super) struct Corosync {
    /// Bytes of the longest packet of the link [default: 1500,65535].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    mtus: Vec<u16>,
    /// Orders of delivery of our group, beside Corosync's agreed order [default: uniform].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// Who sends: one member, or all [default: one,all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured [default: 64,1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

impl Corosync {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = CorosyncArgs::new(this_command()?);
        wanted.schedule = self.common.schedule(wanted.schedule);
        choose(&mut wanted.mtus, &self.mtus);
        choose(&mut wanted.orders, &self.orders);
        choose(&mut wanted.senders, &self.senders);
        choose(&mut wanted.sizes, &self.sizes);
        show.measure(|observer| quorate_bench::corosync(&wanted, observer))
    }
}
