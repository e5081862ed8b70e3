//! `quorate-sim`: runs seeds until one breaks a rule, and shows how to see it again.

use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use quorate_protocols::Order;
use quorate_sim::{ClusterSettings, Outcome, Settings, WholeSettings, run, run_cluster, run_whole, shrink};

/// Attacks the group cores with seeded faults and checks that every promise holds.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
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
    /// With --seed: print views and faults of the smallest failing schedule as they happen.
    #[arg(long, requires = "seed")]
    trace: bool,
}

/// Parts that are simulated by themselves.
#[derive(Debug, Subcommand)]
enum Part {
    /// Cluster membership at scale: gathers, crashes and restarts a tenth, cuts in halves, heals.
    Cluster {
        /// Number of nodes.
        #[arg(long, default_value_t = 300)]
        nodes: u16,
        /// Decides everything.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Datagrams lost, in percent.
        #[arg(long, default_value_t = 3.0, value_parser = percent)]
        loss: f64,
    },
    /// Whole nodes: cluster membership, three groups and the bus on each, under faults.
    Nodes {
        /// Replay this one seed.
        #[arg(long)]
        seed: Option<u64>,
        /// Number of seeds to run.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first seed; without it a fresh one is taken from the clock, and printed.
        #[arg(long)]
        from: Option<u64>,
        /// Simulated seconds of faults per seed.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Print views, faults and what the nodes notice.
        #[arg(long)]
        trace: bool,
    },
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("must be from 0 to 100".to_owned()) }
}

impl Args {
    fn settings(&self, seed: u64) -> Settings {
        Settings {
            nodes: self.nodes,
            witness: self.witness,
            partitionable: self.partitionable,
            order: self.order,
            faults_for: Duration::from_secs(self.seconds),
            ..Settings::varied(seed)
        }
    }

    /// Runs a seed; `None` if the core tripped over an assertion of its own.
    fn attempt(&self, seed: u64) -> Option<Outcome> {
        let settings = self.settings(seed);
        catch_unwind(|| run(&settings, &settings.schedule())).ok()
    }

    fn replay_command(&self, seed: u64) -> String {
        let witness = if self.witness { " --witness" } else { "" };
        let partitionable = if self.partitionable { " --partitionable" } else { "" };
        let order = self.order.map(|order| format!(" --order {order}")).unwrap_or_default();
        let (nodes, seconds) = (self.nodes, self.seconds);
        format!(
            "cargo run --release -p quorate-sim -- --seed {seed} --nodes {nodes} --seconds {seconds}{witness}{partitionable}{order}"
        )
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.part {
        Some(Part::Cluster { nodes, seed, loss }) => {
            return cluster(&ClusterSettings { seed, nodes, loss_percent: loss });
        }
        Some(Part::Nodes { seed, seeds, from, seconds, trace }) => {
            let faults_for = Duration::from_secs(seconds);
            let (first, count) = range(seed, from, seeds);
            return whole_nodes(&WholeSettings { faults_for, trace, ..WholeSettings::new(first) }, count);
        }
        None => {}
    }
    let (first, count) = range(args.seed, args.from, args.seeds);
    campaign(&args, first, count)
}

/// The first seed and how many: the one to be replayed, or so many from there on or from a fresh one.
fn range(seed: Option<u64>, from: Option<u64>, seeds: u64) -> (u64, u64) {
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(0, |span| span.as_secs());
    (seed.or(from).unwrap_or(clock), if seed.is_some() { 1 } else { seeds })
}

/// Runs seeds on several threads until one fails or all are done.
fn campaign(args: &Args, first: u64, count: u64) -> ExitCode {
    println!("seeds {first} to {}", first + count.saturating_sub(1));
    let started = Instant::now();
    let bar = ProgressBar::new(count);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} seeds, {eta} left {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let totals = [const { AtomicU64::new(0) }; 6];
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let outcome = args.attempt(first + index);
                    if outcome.as_ref().is_none_or(|outcome| outcome.violation.is_some()) {
                        failed.fetch_min(first + index, Ordering::Relaxed);
                    }
                    let Some(outcome) = outcome else { continue };
                    let tally = outcome.tally;
                    let millis = (outcome.at.as_nanos() / 1_000_000, outcome.views as u64);
                    let sums =
                        [tally.delivered, tally.uniform, tally.faults, tally.strikes, millis.0, millis.1];
                    for (total, value) in totals.iter().zip(sums) {
                        total.fetch_add(value, Ordering::Relaxed);
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let [delivered, uniform, faults, strikes, millis, views] = totals.map(AtomicU64::into_inner);
    println!("{delivered} deliveries, {uniform} uniform messages, {views} views");
    println!("{faults} faults, and {strikes} strikes at a step that was waited for");
    let (simulated, took) = (millis as f64 / 1000.0, started.elapsed().as_secs_f64());
    println!("{simulated:.0} simulated seconds in {took:.1} s: {:.0} per second", simulated / took);
    match failed.into_inner() {
        u64::MAX => {
            println!("every promise held");
            ExitCode::SUCCESS
        }
        seed => {
            show(args, seed);
            ExitCode::FAILURE
        }
    }
}

/// Shows a failing seed, how to see it again, and the smallest schedule that fails the same way.
fn show(args: &Args, seed: u64) {
    let settings = args.settings(seed);
    let schedule = settings.schedule();
    println!("seed {seed} fails; replay: {}", args.replay_command(seed));
    let (Some(one), Some(two)) = (args.attempt(seed), args.attempt(seed)) else {
        println!("violation: an assertion of the core, see above");
        return;
    };
    if one.tally != two.tally {
        println!("two runs of it differ, so something hidden decides: {:?}, {:?}", one.tally, two.tally);
    }
    let Some(violation) = one.violation else { return };
    println!("violation: {} at {}: {}", violation.property, one.at, violation.what);
    println!("smallest schedule that breaks the same rule:");
    let smallest = shrink(&settings, &schedule, violation.property);
    for (begin, end, fault) in &smallest.0 {
        println!("  {begin} to {end}: {fault}");
    }
    if args.trace {
        run(&Settings { trace: true, ..settings }, &smallest);
    }
}

fn cluster(settings: &ClusterSettings) -> ExitCode {
    match run_cluster(settings) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(stuck) => {
            println!("{stuck}");
            ExitCode::FAILURE
        }
    }
}

/// Runs whole nodes over so many seeds, until one breaks a rule.
fn whole_nodes(first: &WholeSettings, seeds: u64) -> ExitCode {
    for seed in first.seed..first.seed + seeds {
        let settings = WholeSettings { seed, ..*first };
        let outcome = run_whole(&settings, &settings.schedule());
        println!("seed {seed}: {:?}", outcome.tally);
        if let Some(violation) = outcome.violation {
            let seconds = settings.faults_for.as_secs();
            println!("violation: {} at {}: {}", violation.property, outcome.at, violation.what);
            println!(
                "replay: cargo run --release -p quorate-sim -- nodes --seed {seed} --seconds {seconds} --trace"
            );
            return ExitCode::FAILURE;
        }
    }
    println!("every promise held");
    ExitCode::SUCCESS
}
