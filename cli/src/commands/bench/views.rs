//! Groups that lose a member.

use quorate_bench::{Report, ViewsArgs};

use super::{options::this_command, show::Show};
use crate::Failure;

/// Measure how long a group takes to go on without a member that is killed, or leaves, under load.
///
/// The members are processes of their own. Beside the figures stands the time that nodes take to call a silent
/// one lost, which is set and not measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench views --rounds 5")]
pub(super) struct Views {
    /// Members of the group [default: 3].
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// How often a member is killed, and how often one leaves [default: 20].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

impl Views {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = ViewsArgs::new(this_command()?);
        wanted.members = self.members.unwrap_or(wanted.members);
        wanted.rounds = self.rounds.unwrap_or(wanted.rounds);
        show.measure(|observer| quorate_bench::views(&wanted, observer))
    }
}
