//! Heartbeats under load.

use quorate_bench::{ControlArgs, Report};

use super::{
    options::{Common, choose, says_default},
    show::Show,
};
use crate::Failure;

/// Measure heartbeats between two nodes while both send as fast as they can, beside the same idle.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench control --sizes 65536 --lost 0")]
#[command(mut_arg("round", |round| says_default(round, ControlArgs::default().schedule)))]
pub(super) struct Control {
    /// Bytes of the messages that both nodes send meanwhile [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Of a hundred heartbeats so many are lost on the way [default: 0,1].
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
