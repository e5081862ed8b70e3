//! More members, and more groups.

use std::time::Duration;

use quorate_bench::{Report, ScaleArgs};

use super::show::Show;
use crate::{Failure, span};

/// Measure what more members cost a group, and what more groups cost five nodes, idle and when a node dies.
///
/// Whoever names members or groups measures only what is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench scale --groups 1,100,1000,10000")]
pub(super) struct Scale {
    /// Members of a group [default: 3,5,7,9].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    members: Vec<usize>,
    /// Groups of three over five nodes [default: 1,100,1000,10000].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    groups: Vec<usize>,
    /// For how long idle nodes are watched, such as 10s [default: 5s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// How often each is measured, with nodes of its own [default: 3].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

impl Scale {
    pub(super) fn measure(&self, show: Show) -> Result<Report, Failure> {
        let mut wanted = ScaleArgs::default();
        if !(self.members.is_empty() && self.groups.is_empty()) {
            (wanted.members, wanted.groups) = (self.members.clone(), self.groups.clone());
        }
        wanted.idle = self.idle.unwrap_or(wanted.idle);
        wanted.schedule.rounds = self.rounds.unwrap_or(wanted.schedule.rounds);
        show.measure(|observer| quorate_bench::scale(&wanted, observer))
    }
}
