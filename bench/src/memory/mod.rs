//! What a node needs of memory and of the processor: idle, and while its group carries as much as it can.

mod host;
mod members;
mod words;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::try_join;

pub use self::host::memory_host;
use self::{host::BATCHES, members::Members};
use crate::{
    BenchError, Bound, Machine, OfRuns, Progress, Record, Report, Unit,
    measure::{Busy, peak_resident_bytes, resident_bytes},
    places::{Nodes, in_system},
    results::{MEMORY_KEPT, Named},
};

/// What the benchmark of memory measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemoryArgs {
    /// The command `quorate`, which runs the nodes.
    pub program: PathBuf,
    /// For how long idle nodes are watched. Default 10 s, in which what they do now and then is done often.
    pub idle: Duration,
    /// For how long the load goes on before it counts, so that what fills up once is full. Default 5 s.
    pub warm_up: Duration,
    /// For how long nodes are watched under load, in thirds. Default 30 s.
    pub load: Duration,
    /// Bytes of the messages. Default 1 KiB.
    pub message_bytes: usize,
}

impl MemoryArgs {
    /// The default of all else.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let seconds = Duration::from_secs;
        let (idle, warm_up, load) = (seconds(10), seconds(5), seconds(30));
        Self { program: program.into(), idle, warm_up, load, message_bytes: 1 << 10 }
    }

    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: &str| Err(BenchError::Settings(why.into()));
        let watched = LOOK_EVERY * 3..=Duration::from_hours(24);
        if !watched.contains(&self.idle) || !watched.contains(&self.load) || self.warm_up > *watched.end() {
            return refuse("watch nodes for 300 ms to a day");
        }
        if !(1..=1 << 20).contains(&self.message_bytes) {
            return refuse("send messages of 1 byte to 1 MiB");
        }
        Ok(())
    }
}

const NODES: usize = 3;
/// Between two looks at a node's memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is wanted: bytes of an idle node and under load, and processor cores of an idle one.
const IDLE_BYTES: f64 = 30e6;
const LOAD_BYTES: f64 = 300e6;
const IDLE_CORES: f64 = 0.01;
const BOUND_IS: &str = "what is wanted, which is set and not measured";
const THIRD_IS: &str = "for growth, the same node in the first third of the load";

/// A node that was watched for a while.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// Resident bytes, again and again.
    bytes: Vec<f64>,
    /// The most that there ever were.
    peak: f64,
    /// Processor cores that it kept busy.
    cores: f64,
}

/// Measures the nodes of a group of three, each in a process of its own: what they need while nobody uses them, and
/// while all of them multicast as fast as the group takes messages. Under load a process is the application as well,
/// which sends and reads all that is delivered. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer. Where the system does not tell what a
/// process needs, nothing is measured.
pub fn memory(args: &MemoryArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "{NODES} nodes, a process each, idle for {:?}; then all of {NODES} members, a process each, multicast messages \
         of {} B, {BATCHES} batches handed over at a time; no other side",
        args.idle, args.message_bytes
    );
    let report = Report::begin(machine, None, settings, observer);
    let (records, per_second) = in_system(|| measure(args, observer))?;
    let settings = format!("{}; {per_second:.0} messages per second were delivered to each", report.settings);
    Ok(Report { settings, records, ..report })
}

async fn measure(
    args: &MemoryArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<(Vec<Record>, f64), BenchError> {
    let mut records = Vec::new();
    let nodes = Nodes::start(&args.program, NODES).await?;
    observer(Progress::Step { done: 0, steps: 2, case: "idle nodes".into() });
    let processes: Vec<String> = (0..NODES).filter_map(|node| nodes.process(node)).collect();
    let idle = watch(&processes, args.idle).await?;
    drop(nodes);
    let mut tell = |figures: Vec<Record>, observer: &mut (dyn FnMut(Progress) + Send)| {
        for record in &figures {
            observer(Progress::Measured(record.clone()));
        }
        records.extend(figures);
    };
    tell(idle_figures(&idle), observer);
    observer(Progress::Step { done: 1, steps: 2, case: "nodes under load".into() });
    let (loaded, delivered) = load(args, &mut Members::found(&args.program, NODES).await?).await?;
    tell(load_figures(&loaded), observer);
    Ok((records, delivered as f64 / (args.warm_up + args.load).as_secs_f64()))
}

/// Has all members send, and watches them meanwhile; returns how much was delivered to each, too.
async fn load(args: &MemoryArgs, members: &mut Members) -> Result<(Vec<Watched>, u64), BenchError> {
    let processes = members.processes();
    let watching = async {
        tokio::time::sleep(args.warm_up).await;
        watch(&processes, args.load).await
    };
    let (delivered, watched) =
        try_join(members.work(args.message_bytes, args.warm_up + args.load), watching).await?;
    Ok((watched, delivered))
}

/// Watches the processes of all nodes for a while.
async fn watch(processes: &[String], span: Duration) -> Result<Vec<Watched>, BenchError> {
    let busy = || processes.iter().map(|process| Busy::of(process)).collect::<Option<Vec<_>>>();
    let (begun, before) = (Instant::now(), busy().ok_or_else(untold)?);
    let mut watched = vec![Watched::default(); processes.len()];
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while begun.elapsed() < span {
        looks.tick().await;
        for (node, process) in watched.iter_mut().zip(processes) {
            node.bytes.push(resident_bytes(process).ok_or_else(untold)? as f64);
            node.peak = peak_resident_bytes(process).ok_or_else(untold)? as f64;
        }
    }
    let (elapsed, after) = (begun.elapsed().as_secs_f64(), busy().ok_or_else(untold)?);
    for ((node, before), after) in watched.iter_mut().zip(before).zip(after) {
        node.cores = after.since(&before).as_secs_f64() / elapsed;
    }
    Ok(watched)
}

fn untold() -> BenchError {
    BenchError::Ours("a node has ended, or this system does not tell what a process needs".into())
}

fn figure(case: &str, unit: Unit, of_nodes: impl Iterator<Item = f64>, bound: f64) -> Option<Record> {
    let named = Named {
        bench: "memory",
        case: format!("{NODES} nodes, the worst: {case}"),
        unit,
        of_runs: OfRuns::Largest,
        wanted: Some(Bound::ValueBelow(bound)),
        baseline_is: BOUND_IS,
    };
    Record::beside(&named, of_nodes, [bound])
}

fn idle_figures(nodes: &[Watched]) -> Vec<Record> {
    let figures = [
        figure("idle, resident", Unit::Bytes, nodes.iter().map(|node| node.peak), IDLE_BYTES),
        figure("idle, busy", Unit::Cores, nodes.iter().map(|node| node.cores), IDLE_CORES),
    ];
    figures.into_iter().flatten().collect()
}

fn load_figures(nodes: &[Watched]) -> Vec<Record> {
    let peak =
        figure("under load, resident at most", Unit::Bytes, nodes.iter().map(|node| node.peak), LOAD_BYTES);
    let named = Named {
        bench: "memory",
        case: format!("{NODES} nodes, the worst: in the last third of the load, resident"),
        unit: Unit::Bytes,
        of_runs: OfRuns::Median,
        wanted: Some(MEMORY_KEPT),
        baseline_is: THIRD_IS,
    };
    let grown = nodes.iter().filter_map(|node| Record::of_thirds(&named, &node.bytes));
    let growth = grown.max_by(|one, other| one.ratio.total_cmp(&other.ratio));
    peak.into_iter().chain(growth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(bytes: &[f64]) -> Watched {
        Watched { bytes: bytes.into(), peak: bytes.iter().copied().fold(0.0, f64::max), cores: 0.002 }
    }

    #[test]
    fn the_node_that_needs_most_is_the_one_that_counts() {
        let nodes = [node(&[20e6, 31e6, 21e6]), node(&[19e6])];
        let [bytes, cores] = &idle_figures(&nodes)[..] else { panic!("two figures") };
        assert_eq!((bytes.value, bytes.holds, bytes.range.0), (31e6, Some(false), 19e6));
        assert_eq!((cores.value, cores.holds), (0.002, Some(true)));
    }

    #[test]
    fn growth_is_seen_between_the_thirds_of_the_load_and_a_single_peak_is_none() {
        let steady = node(&[100e6, 100e6, 250e6, 101e6, 100e6, 250e6, 102e6, 100e6, 101e6]);
        let growing = node(&[100e6, 101e6, 102e6, 103e6, 104e6, 105e6, 106e6, 107e6, 108e6]);
        let growth = |nodes: &[Watched]| load_figures(nodes)[1].clone();
        assert_eq!(growth(std::slice::from_ref(&steady)).holds, Some(true));
        let found = growth(&[steady, growing]);
        assert_eq!((found.baseline, found.value, found.holds), (101e6, 107e6, Some(false)));
    }

    #[test]
    fn spans_and_sizes_that_measure_nothing_are_refused() {
        let usual = || MemoryArgs::new("quorate");
        for args in [
            MemoryArgs { idle: Duration::ZERO, ..usual() },
            MemoryArgs { load: Duration::from_millis(100), ..usual() },
            MemoryArgs { warm_up: Duration::from_hours(48), ..usual() },
            MemoryArgs { message_bytes: 0, ..usual() },
        ] {
            assert!(matches!(memory(&args, &mut |_| ()), Err(BenchError::Settings(_))), "{args:?}");
        }
    }
}
