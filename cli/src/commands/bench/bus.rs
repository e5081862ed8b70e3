//! The bus, on one node and from node to node.

use quorate_bench::{BusArgs, Report, Target};

use super::{
    options::{Common, Elsewhere, choose},
    show::Show,
};
use crate::Failure;

/// Measure what is published on the bus: on one node beside the same through the bus actor, and from node to
/// node beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench bus --publishers 1,4 --to local,group")]
pub(super) struct Bus {
    /// Publishers for subscribers on the same node, each on a thread of its own [default: 1,2,4].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    publishers: Vec<usize>,
    /// For whom messages are: nobody, local, group, remote or request [default: all, and the last two to other machines].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    to: Vec<Target>,
    /// Bytes of the messages [default: 64, and 64,1024,16384 to other nodes].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

impl Bus {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = BusArgs::default();
        wanted.schedule = self.common.schedule(wanted.schedule);
        choose(&mut wanted.publishers, &self.publishers);
        choose(&mut wanted.targets, &self.to);
        choose(&mut wanted.sizes, &self.sizes);
        choose(&mut wanted.remote_sizes, &self.sizes);
        let Some(peers) = self.elsewhere.peers()? else {
            return show.measure(|observer| quorate_bench::bus(&wanted, observer));
        };
        if self.to.is_empty() {
            wanted.targets = vec![Target::Remote, Target::Request];
        }
        show.measure(|observer| quorate_bench::bus_to(&peers, &wanted, observer))
    }
}
