//! Heartbeats under load.

use quorate_bench::{ControlArgs, Report};

use super::{
    options::{Common, choose, says_default},
    show::Show,
};
use crate::Failure;

/// Measure heartbeats between two nodes while both send as fast as they can, beside the same idle.
///
/// A heartbeat goes out every 5 ms, or a quantile of few would take an hour. Nodes by themselves send one every 96 ms;
/// the silences between two answers are those at that pace. There a lost heartbeat, which is never sent again, doubles
/// the silence; a node is suspected after 480 ms, so detection tolerates four lost ones in a row. A heartbeat that was
/// lost, or whose answer was, has no round trip; how many there were is a figure of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench control --sizes 65536 --lost 0")]
#[command(mut_arg("round", |round| says_default(round, ControlArgs::default().schedule)))]
pub(super) struct Control {
    /// Bytes of the messages that both nodes send meanwhile [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Of a hundred packets so many are lost on the way, each way, of data and heartbeats alike [default: 0,1].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    lost: Vec<u8>,
    #[command(flatten)]
    common: Common,
}

impl Control {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = ControlArgs::default();
        wanted.schedule = self.common.schedule(wanted.schedule);
        choose(&mut wanted.sizes, &self.sizes);
        choose(&mut wanted.lost_percent, &self.lost);
        show.measure(|observer| quorate_bench::control(&wanted, observer))
    }
}
