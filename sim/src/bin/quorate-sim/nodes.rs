//! Campaigns of whole nodes.

use std::time::Duration;

use clap::Args;
use quorate_sim::{Schedule, WholeSettings, WholeTally, run_whole};

use crate::campaign::{Ran, Subject};

/// What is attacked.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Nodes {
    /// Simulated seconds of faults per seed.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

impl Nodes {
    fn settings(&self, seed: u64) -> WholeSettings {
        WholeSettings { faults_for: Duration::from_secs(self.seconds), ..WholeSettings::new(seed) }
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
        format!("nodes --seed {seed} --seconds {}", self.seconds)
    }
}
