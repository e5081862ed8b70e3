//! Campaigns of whole nodes.

use std::time::Duration;

use clap::Args;
use quorate_membership::agreement::Breach;
use quorate_protocols::bus::BusBreach;
use quorate_sim::{Schedule, WholeSettings, WholeTally, run_whole};

use crate::{
    campaign::{Ran, Subject},
    rule,
};

/// What is attacked.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Nodes {
    /// Simulated seconds of faults per seed.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A rule of the bus to break on purpose, to see what that looks like.
    #[arg(long, hide = true, value_parser = rule::<BusBreach>)]
    breach: Option<BusBreach>,
    /// A rule of groups to break on purpose.
    #[arg(long, hide = true, value_parser = rule::<Breach>)]
    group_breach: Option<Breach>,
}

impl Nodes {
    fn settings(&self, seed: u64) -> WholeSettings {
        let faults_for = Duration::from_secs(self.seconds);
        WholeSettings {
            faults_for,
            breach: self.breach,
            group_breach: self.group_breach,
            ..WholeSettings::new(seed)
        }
    }
}

impl Subject for Nodes {
    type Tally = WholeTally;

    fn schedule(&self, seed: u64) -> Schedule {
        self.settings(seed).schedule()
    }

    fn run(&self, seed: u64, schedule: &Schedule, trace: bool) -> Ran<WholeTally> {
        let outcome = run_whole(&WholeSettings { trace, ..self.settings(seed) }, schedule);
        Ran { violation: outcome.violation, at: outcome.at, tally: outcome.tally }
    }

    fn arguments(&self, seed: u64) -> String {
        let breach = self.breach.map(|breach| format!(" --breach {breach:?}")).unwrap_or_default();
        let group = self.group_breach.map(|rule| format!(" --group-breach {rule:?}")).unwrap_or_default();
        format!("nodes --seed {seed} --seconds {}{breach}{group}", self.seconds)
    }
}
