//! Cluster membership at one size, or at several beside each other.

use clap::{Args, value_parser};
use quorate_sim::{ClusterReport, ClusterSettings, Stuck, run_cluster};

use crate::{campaign::Ended, percent};

/// Which clusters are run.
#[derive(Debug, Args)]
pub(crate) struct Clusters {
    /// Number of nodes; of several, such as 10,100,1000, what nodes send and when a death is known is shown
    /// beside each other.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "300",
          value_parser = value_parser!(u16).range(2..))]
    nodes: Vec<u16>,
    /// Decides everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Datagrams lost, in percent.
    #[arg(long, default_value_t = 3.0, value_parser = percent)]
    loss: f64,
}

/// Runs a cluster of each size.
pub(crate) fn clusters(args: &Clusters) -> Ended {
    let day = |nodes| run_cluster(&ClusterSettings { seed: args.seed, nodes, loss_percent: args.loss });
    let ran = match args.nodes.as_slice() {
        [one] => day(*one).map(|report| println!("{report}")),
        several => beside(several, day),
    };
    match ran {
        Ok(()) => Ended::Held,
        Err(stuck) => {
            println!("{stuck}");
            Ended::Broken
        }
    }
}

fn beside(sizes: &[u16], day: impl Fn(u16) -> Result<ClusterReport, Stuck>) -> Result<(), Stuck> {
    println!("        per node and second   one dies, known to   all know who has    falsely");
    println!(" nodes  datagrams    bytes    first        all     started    crashed      down");
    for &nodes in sizes {
        let report = day(nodes)?;
        let death = report.death_known;
        let [first, all, started, crashed] =
            [death.first, death.last, report.gathered, report.crash_known].map(|span| span.as_secs_f64());
        let (datagrams, bytes) = (report.datagrams_per_node_second, report.bytes_per_node_second);
        println!(
            "{nodes:6}  {datagrams:9.1}  {bytes:7.0}  {first:5.1} s  {all:7.1} s  {started:8.1} s  {crashed:7.1} s  \
             {:8}",
            report.false_downs
        );
    }
    Ok(())
}
