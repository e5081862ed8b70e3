//! One cluster's day: it gathers, works, loses one node and then a tenth, gets them back, splits in halves and
//! heals.

use std::{fmt, time::Duration};

use quorate_membership::NodeId;

use super::{ClusterSettings, ClusterWorld};

/// How long the quiet cluster is watched to count its datagrams.
const QUIET: Duration = Duration::from_secs(6);
/// How long the cluster is split in halves.
const SPLIT: Duration = Duration::from_secs(30);
/// What takes longer than this, in simulated time, is stuck.
const LIMIT: Duration = Duration::from_mins(1);

/// How it went, in simulated time. Each span ends when every node knows the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterReport {
    /// From the start of the first node until all know all.
    pub gathered: Duration,
    /// Datagrams sent per node and second while nothing happens.
    pub datagrams_per_node_second: f64,
    /// Bytes of these, per node and second.
    pub bytes_per_node_second: f64,
    /// From the crash of one node until the others have declared it down.
    pub death_known: DeathKnown,
    /// From the crash of a tenth of the nodes until all others know.
    pub crash_known: Duration,
    /// From the first of their restarts, within a second, until all know their new lives.
    pub restart_known: Duration,
    /// From the end of a cut in halves until all know all.
    pub healed: Duration,
    /// How often a running node was declared down while the network was not cut, and was up again.
    pub false_downs: u64,
    /// Sums up all that has happened.
    pub digest: u64,
}

/// How long it takes until a death is known, in simulated time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeathKnown {
    /// Until the first of the others has declared the node down.
    pub first: Duration,
    /// Until the last has.
    pub last: Duration,
}

/// A cluster that does not come to know itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stuck {
    /// What was to be known.
    pub phase: &'static str,
    /// The first node that does not know it.
    pub node: Option<NodeId>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.node.map(|node| node.to_string()).unwrap_or_default();
        write!(f, "{who} does not know all after a simulated minute: {}", self.phase)
    }
}

impl fmt::Display for ClusterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        writeln!(f, "all know all after               {:6.1} s", seconds(&self.gathered))?;
        writeln!(f, "one crashed, first known after   {:6.1} s", seconds(&self.death_known.first))?;
        writeln!(f, "one crashed, all know after      {:6.1} s", seconds(&self.death_known.last))?;
        writeln!(f, "a tenth crashed, known after     {:6.1} s", seconds(&self.crash_known))?;
        writeln!(f, "restarted, known after           {:6.1} s", seconds(&self.restart_known))?;
        writeln!(f, "cut in halves, healed after      {:6.1} s", seconds(&self.healed))?;
        writeln!(f, "falsely declared down            {:6}", self.false_downs)?;
        writeln!(f, "datagrams per node and second    {:6.1}", self.datagrams_per_node_second)?;
        writeln!(f, "bytes per node and second        {:6.0}", self.bytes_per_node_second)?;
        write!(f, "digest                           {:016x}", self.digest)
    }
}

/// Runs a cluster through its day.
///
/// # Errors
/// [`Stuck`] if some node does not know the truth within a simulated minute, or if there are fewer than two nodes.
pub fn run_cluster(settings: &ClusterSettings) -> Result<ClusterReport, Stuck> {
    let mut world = ClusterWorld::new(settings);
    world.run_for(Duration::from_secs(1));
    let gathered = await_truth(&mut world, "who has started")? + Duration::from_secs(1);

    // What is new is passed on for a while, though all know it.
    world.run_for(QUIET);
    let (datagrams, bytes) = (world.datagrams(), world.bytes());
    world.run_for(QUIET);
    let per_node_second = |count: u64| count as f64 / QUIET.as_secs_f64() / f64::from(settings.nodes);
    let datagrams_per_node_second = per_node_second(world.datagrams() - datagrams);
    let bytes_per_node_second = per_node_second(world.bytes() - bytes);

    let nodes = usize::from(settings.nodes);
    // Nobody's contact if there are others, and none of the tenth.
    let one = nodes.saturating_sub(1).min(3);
    world.crash_noted(one);
    await_truth(&mut world, "that one has crashed")?;
    let death_known = world.death_known().ok_or(Stuck { phase: "that one has crashed", node: None })?;

    let tenth = || (0..nodes).skip(5).step_by(10);
    tenth().for_each(|index| world.crash(index));
    let crash_known = await_truth(&mut world, "who has crashed")?;
    tenth().chain([one]).for_each(|index| world.restart(index));
    world.run_for(Duration::from_secs(1));
    let restart_known = await_truth(&mut world, "who has come back")? + Duration::from_secs(1);
    let false_downs = world.false_downs();

    world.cut(nodes / 2);
    world.run_for(SPLIT);
    world.heal();
    let healed = await_truth(&mut world, "who is there after the cut")?;
    let digest = world.digest();
    Ok(ClusterReport {
        gathered,
        datagrams_per_node_second,
        bytes_per_node_second,
        death_known,
        crash_known,
        restart_known,
        healed,
        false_downs,
        digest,
    })
}

/// Runs until all know the truth.
pub(super) fn await_truth(world: &mut ClusterWorld, phase: &'static str) -> Result<Duration, Stuck> {
    world.run_until_converged(LIMIT).ok_or_else(|| Stuck { phase, node: world.stray() })
}
