//! Links beside bare quinn.

use quorate_bench::{Report, TransportArgs, TransportKind};

use super::{
    options::{Common, Elsewhere, choose},
    show::Show,
};
use crate::Failure;

/// Measure links: throughput of frames, and round trips, beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench transport --transports quic --sizes 1024")]
pub(super) struct Transport {
    /// Which transports: quic, tcp or memory [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Bytes of the frames whose throughput is measured [default: 64,1024,16384,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

impl Transport {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = TransportArgs::default();
        wanted.schedule = self.common.schedule(wanted.schedule);
        choose(&mut wanted.transports, &self.transports);
        choose(&mut wanted.sizes, &self.sizes);
        let Some(peers) = self.elsewhere.peers()? else {
            return show.measure(|observer| quorate_bench::transport(&wanted, observer));
        };
        if self.transports.is_empty() {
            wanted.transports.retain(|kind| *kind != TransportKind::Memory);
        }
        show.measure(|observer| quorate_bench::transport_to(&peers, &wanted, observer))
    }
}
