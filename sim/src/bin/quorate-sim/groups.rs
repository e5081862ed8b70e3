//! Campaigns of one group on a few nodes.

use std::time::Duration;

use clap::Args;
use quorate_membership::agreement::Breach;
use quorate_protocols::Order;
use quorate_sim::{Schedule, Settings, Tally, run};

use crate::{
    campaign::{Ran, Subject},
    rule,
};

/// What is attacked.
#[derive(Debug, Args)]
pub(crate) struct Groups {
    /// Data members.
    #[arg(long, default_value_t = 5)]
    nodes: u64,
    /// Add a witness.
    #[arg(long)]
    witness: bool,
    /// Each side of a partition goes on, and sides merge.
    #[arg(long, conflicts_with = "witness")]
    partitionable: bool,
    /// The order; without it each seed chooses.
    #[arg(long)]
    order: Option<Order>,
    /// Simulated seconds of faults per seed.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// A rule to break on purpose, to see what that looks like.
    #[arg(long, hide = true, value_parser = rule::<Breach>)]
    breach: Option<Breach>,
}

impl Groups {
    fn settings(&self, seed: u64) -> Settings {
        Settings {
            nodes: self.nodes,
            witness: self.witness,
            partitionable: self.partitionable,
            order: self.order,
            faults_for: Duration::from_secs(self.seconds),
            breach: self.breach,
            ..Settings::campaign(seed)
        }
    }
}

impl Subject for Groups {
    type Tally = Tally;

    fn schedule(&self, seed: u64) -> Schedule {
        self.settings(seed).schedule()
    }

    fn run(&self, seed: u64, schedule: &Schedule, trace: bool) -> Ran<Tally> {
        let outcome = run(&Settings { trace, ..self.settings(seed) }, schedule);
        Ran { violation: outcome.violation, at: outcome.at, tally: outcome.tally }
    }

    fn arguments(&self, seed: u64) -> String {
        let witness = if self.witness { " --witness" } else { "" };
        let partitionable = if self.partitionable { " --partitionable" } else { "" };
        let order = self.order.map(|order| format!(" --order {order}")).unwrap_or_default();
        let breach = self.breach.map(|breach| format!(" --breach {breach:?}")).unwrap_or_default();
        let (nodes, seconds) = (self.nodes, self.seconds);
        format!("--seed {seed} --nodes {nodes} --seconds {seconds}{witness}{partitionable}{order}{breach}")
    }
}
