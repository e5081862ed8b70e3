//! `quorate-sim`: runs seeds until one breaks a rule, and shows how to see it again.

mod campaign;
mod cluster;
mod groups;
mod interrupt;
mod nodes;
mod pace;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::de::{DeserializeOwned, IntoDeserializer, value};

use campaign::{Ended, campaign};
use cluster::{Clusters, clusters};
use groups::Groups;
use interrupt::{INTERRUPTED, Interrupt};
use nodes::Nodes;

const ENDS: &str = "Ends with 0 if every promise held, 1 if one was broken, 2 if the arguments are wrong, \
and 130 after Ctrl-C, having shown what was done so far.";

/// Attacks the group cores with seeded faults and checks that every promise holds.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, after_help = ENDS)]
struct Command {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    groups: Groups,
}

/// Other things that are simulated.
#[derive(Debug, Subcommand)]
enum Part {
    /// Cluster membership at scale: gathers, crashes one and a tenth and restarts them, cuts in halves, heals.
    #[command(after_help = "Example: quorate-sim cluster --nodes 10,100,1000")]
    Cluster(Clusters),
    /// Whole nodes: cluster membership, groups of all kinds and the bus on each, under faults.
    Nodes {
        #[command(flatten)]
        range: Range,
        #[command(flatten)]
        nodes: Nodes,
    },
}

/// Which seeds are run, and how.
#[derive(Debug, Args)]
struct Range {
    /// Replay this one seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed; without it a fresh one is taken from the clock, and printed.
    #[arg(long)]
    from: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// With --seed: print what happens; if it fails, in the smallest schedule that fails.
    #[arg(long, requires = "seed")]
    trace: bool,
}

impl Range {
    /// The one seed to be replayed, or so many from there on or from a fresh one.
    fn seeds(&self) -> std::ops::Range<u64> {
        let clock = std::time::UNIX_EPOCH.elapsed().map_or(0, |span| span.as_secs());
        let first = self.seed.or(self.from).unwrap_or(clock);
        first..first + if self.seed.is_some() { 1 } else { self.seeds }
    }
}

/// A rule to break on purpose, by its name.
fn rule<B: DeserializeOwned>(text: &str) -> Result<B, String> {
    B::deserialize(text.into_deserializer()).map_err(|error: value::Error| error.to_string())
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("must be from 0 to 100".to_owned()) }
}

fn main() -> ExitCode {
    let command = Command::parse();
    let ended = match command.part {
        Some(Part::Cluster(args)) => clusters(&args),
        Some(Part::Nodes { range, nodes }) => interruptible(|interrupt| campaign(&nodes, &range, interrupt)),
        None => interruptible(|interrupt| campaign(&command.groups, &command.range, interrupt)),
    };
    match ended {
        Ended::Held => ExitCode::SUCCESS,
        Ended::Broken => ExitCode::FAILURE,
        Ended::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

fn interruptible(run: impl FnOnce(&Interrupt) -> Ended) -> Ended {
    let interrupt = Interrupt::watch().unwrap_or_else(|error| {
        eprintln!("Ctrl-C will end this without a word: {error}");
        Interrupt::default()
    });
    run(&interrupt)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_of_all_parts_are_well_formed() {
        super::Command::command().debug_assert();
    }
}
