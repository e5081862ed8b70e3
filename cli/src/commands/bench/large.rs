//! Long messages that are handed on.

use quorate_bench::{LargeArgs, Report};

use super::{
    options::{Common, choose, says_default},
    show::Show,
};
use crate::Failure;

/// Measure long messages to many, handed on from member to member, beside a copy to each from their sender.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench large --sizes 67108864 --megabits 1000")]
#[command(mut_arg("round", |round| says_default(round, LargeArgs::default().schedule)))]
pub(super) struct Large {
    /// Members that receive, all of them in this process [default: 4].
    #[arg(long, value_name = "N")]
    receivers: Option<usize>,
    /// Bytes of the messages [default: 1048576,67108864].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Megabits per second that a node sends at most, to all others together; 0 is no bound [default: 1000,0].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    megabits: Vec<u64>,
    #[command(flatten)]
    common: Common,
}

impl Large {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = LargeArgs::default();
        wanted.schedule = self.common.schedule(wanted.schedule);
        wanted.receivers = self.receivers.unwrap_or(wanted.receivers);
        choose(&mut wanted.sizes, &self.sizes);
        choose(&mut wanted.megabits, &self.megabits);
        show.measure(|observer| quorate_bench::large(&wanted, observer))
    }
}
