//! What benchmarks are told alike.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Arg;
use quorate_bench::{Peers, Schedule};

use crate::{Failure, address, credentials, span};

#[derive(Debug, clap::Args)]
pub(super) struct Elsewhere {
    /// Measure with these machines, on each of which `quorate bench serve` runs [default: within this one].
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = address::parse, requires = "credentials")]
    peers: Vec<SocketAddr>,
    /// The node certificate in this folder, which is shown to them; `quorate cert issue --node N` makes one
    /// [default: none, which none needs without peers].
    #[arg(long, value_name = "DIR", requires = "peers")]
    credentials: Option<PathBuf>,
}

impl Elsewhere {
    /// The other machines; `None` if all is measured within this one.
    pub(super) fn peers(&self) -> Result<Option<Peers>, Failure> {
        let Some(folder) = &self.credentials else { return Ok(None) };
        Ok(Some(Peers { addrs: self.peers.clone(), credentials: credentials::of_node(folder)? }))
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// How often each side is measured [default: 5].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long a round lasts, such as 100ms or 2s [default: 500ms].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    round: Option<Duration>,
}

impl Common {
    /// What was given, over what a benchmark does by itself.
    pub(super) fn schedule(&self, mut schedule: Schedule) -> Schedule {
        schedule.rounds = self.rounds.unwrap_or(schedule.rounds);
        schedule.round = self.round.unwrap_or(schedule.round);
        schedule
    }
}

/// Has `--round` say its default in this schedule, where it is another one than usual.
pub(super) fn says_default(round: Arg, schedule: Schedule) -> Arg {
    round.help(format!("How long a round lasts, such as 100ms or 2s [default: {:?}]", schedule.round))
}

/// Where this command is, which runs nodes as processes of their own.
pub(super) fn this_command() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::Failed(format!("this command does not find itself: {error}")))
}

/// Takes a list that was given in place of the default.
pub(super) fn choose<T: Clone>(wanted: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        wanted.clear();
        wanted.extend_from_slice(given);
    }
}
