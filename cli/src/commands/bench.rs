//! `quorate bench`: our figures beside those of raw quinn, in the same run.

use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_bench::{BenchError, Progress, Report, Schedule, TransportArgs, TransportKind};

use crate::{Failure, output, output::Output, span};

/// Measure on this machine, beside a baseline in the same run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Transport(Transport),
}

/// Measure links: throughput of frames, and round trips, beside bare quinn.
#[derive(Debug, clap::Args)]
struct Transport {
    /// Which transports [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Bytes of the frames whose throughput is measured [default: 64,1024,16384,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// How often each side is measured.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long a round lasts.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    round: Option<Duration>,
    /// Print the figures as JSON, one per line, as soon as they are known.
    #[arg(long)]
    json: bool,
}

impl Common {
    fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.rounds = self.rounds.unwrap_or(schedule.rounds);
        schedule.round = self.round.unwrap_or(schedule.round);
        schedule
    }
}

/// Carries out `quorate bench`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Transport(args) => {
            let mut wanted = TransportArgs { schedule: args.common.schedule(), ..TransportArgs::default() };
            if !args.transports.is_empty() {
                wanted.transports.clone_from(&args.transports);
            }
            if !args.sizes.is_empty() {
                wanted.sizes.clone_from(&args.sizes);
            }
            measure(&args.common, |observer| quorate_bench::transport(&wanted, observer))
        }
    }
}

type Observer<'a> = &'a mut (dyn FnMut(Progress) + Send);

fn measure(
    common: &Common,
    benchmark: impl FnOnce(Observer<'_>) -> Result<Report, BenchError>,
) -> Result<(), Failure> {
    let bar = if output::draws_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let mut output = Output::new();
    let mut written = Ok(());
    let report = benchmark(&mut |progress| match progress {
        Progress::Step { done, steps, case } => {
            bar.set_length(steps as u64);
            bar.set_position(done as u64);
            bar.set_message(case);
        }
        Progress::Measured(record) if common.json && written.is_ok() => {
            written = output.line(record.to_json()).and_then(|()| output.flush());
        }
        _ => {}
    });
    bar.finish_and_clear();
    written?;
    let report = report.map_err(|error| Failure::Failed(crate::failure::one_line(&error)))?;
    if !common.json {
        output.line(report.to_string())?;
        output.flush()?;
    }
    Ok(())
}
