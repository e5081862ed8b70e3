//! `quorate bench`: our figures beside a baseline's, in the same run.

mod bare;
mod bus;
mod control;
#[cfg(target_os = "linux")]
mod corosync;
#[cfg(target_os = "linux")]
mod host;
mod large;
#[cfg(target_os = "linux")]
mod memory;
mod multicast;
#[cfg(target_os = "linux")]
mod network;
mod options;
mod runs;
mod scale;
mod serve;
mod show;
mod soak;
mod transport;
mod views;

use std::path::PathBuf;

use clap::Subcommand;
use quorate_bench::{Page, PageError, Report};

use self::{
    bare::{Crypto, Quic},
    bus::Bus,
    control::Control,
    large::Large,
    multicast::Multicast,
    runs::Runs,
    scale::Scale,
    serve::Serve,
    show::Show,
    soak::Soak,
    transport::Transport,
    views::Views,
};
#[cfg(target_os = "linux")]
use self::{corosync::Corosync, host::HostOf, memory::Memory, network::Network};
use crate::{
    Failure,
    failure::one_line,
    output::{Output, say},
};

/// Measure on this machine, beside a baseline in the same run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate bench transport
  quorate bench multicast
  quorate bench control
  quorate bench bus
  quorate bench large
  quorate bench views
  quorate bench soak --length 1m
  quorate bench crypto
  quorate bench quic
  quorate bench serve --listen 192.0.2.1:4700 --credentials certs/n1
  quorate bench memory
  quorate bench scale
  quorate bench network
  quorate bench corosync
  quorate bench multicast --report results
  quorate bench multicast --runs 5 --check")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Write a page for browsers, with plots and every round, into this folder [default: none is written].
    ///
    /// A report that is there is overwritten; other files are not.
    #[arg(long, value_name = "DIR", global = true)]
    report: Option<PathBuf>,
    /// Run all of it so many times, each with everything set up anew, and show the median of each figure [default: 1].
    ///
    /// With more than one the figures come when all runs are over. If a run fails, those before it are shown, and the
    /// exit code is 1.
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(1..))]
    runs: Option<u8>,
    /// Print the figures as JSON, one per line: each as soon as it is known, or all at the end of --runs.
    ///
    /// The first line is an object with the machine and the settings; it alone has a `machine`, and no `case`.
    #[arg(long, global = true)]
    json: bool,
    /// End with exit code 1 if a figure of which something is wanted is not as wanted, and say which ones.
    ///
    /// Figures are shown as without it. One that cannot be had is not asked for.
    #[arg(long, global = true)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    Transport(Transport),
    Multicast(Multicast),
    Control(Control),
    Bus(Bus),
    Large(Large),
    Views(Views),
    Soak(Soak),
    #[cfg(target_os = "linux")]
    Memory(Memory),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    MemoryHost(HostOf),
    Scale(Scale),
    #[cfg(target_os = "linux")]
    Network(Network),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    NetworkHost(HostOf),
    #[cfg(target_os = "linux")]
    Corosync(Corosync),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    CorosyncHost(HostOf),
    Crypto(Crypto),
    Quic(Quic),
    Serve(Serve),
}

/// Carries out `quorate bench`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let What::Serve(serve) = &args.what {
        serve.check()?;
    }
    // What cannot be written is said before minutes of work, and not after.
    let page = args.report.as_ref().map(Page::prepare).transpose().map_err(refused)?;
    let (count, show) = (args.runs.unwrap_or(1), if args.json { Show::Lines } else { Show::Table });
    let Runs { finished, failed } = Runs::carry_out(count, |number| {
        let show = if count == 1 { show } else { Show::Run { number, of: count } };
        benchmark(&args.what, show)
    })?;
    let report = Report::median_of(finished, count.into());
    let unmet = report.as_ref().filter(|_| args.check).and_then(Report::unmet).map(Failure::Failed);
    if let Some(report) = report.as_ref().filter(|_| count > 1) {
        let mut output = Output::new();
        output.raw(if show == Show::Lines { report.to_json_lines() } else { format!("{report}\n") })?;
        output.flush()?;
    }
    if let (Some(page), Some(report)) = (page, report) {
        page.write(&report).map_err(refused)?;
        say(&format!("the report is in {}", page.index().display()));
    }
    // What did not come to its end weighs more.
    failed.or(unmet).map_or(Ok(()), Err)
}

fn refused(error: PageError) -> Failure {
    match error {
        PageError::Io { doing, path, source } => Failure::File { doing, path, source },
        foreign @ PageError::Foreign { .. } => Failure::Usage(foreign.to_string()),
        other => Failure::Failed(one_line(&other)),
    }
}

/// Carries out a benchmark; what serves others has no report of its own.
fn benchmark(what: &What, show: Show) -> Result<Option<Report>, Failure> {
    let report = match what {
        What::Transport(args) => args.measure(show),
        What::Multicast(args) => args.measure(show),
        What::Control(args) => args.measure(show),
        What::Bus(args) => args.measure(show),
        What::Large(args) => args.measure(show),
        What::Views(args) => args.measure(show),
        What::Soak(args) => args.measure(show),
        #[cfg(target_os = "linux")]
        What::Memory(args) => args.measure(show),
        #[cfg(target_os = "linux")]
        What::MemoryHost(args) => return args.run(quorate_bench::memory_host).map(|()| None),
        What::Scale(args) => args.measure(show),
        #[cfg(target_os = "linux")]
        What::Network(args) => args.measure(show),
        #[cfg(target_os = "linux")]
        What::NetworkHost(args) => return args.run(quorate_bench::network_host).map(|()| None),
        #[cfg(target_os = "linux")]
        What::Corosync(args) => args.measure(show),
        #[cfg(target_os = "linux")]
        What::CorosyncHost(args) => return args.run(quorate_bench::corosync_host).map(|()| None),
        What::Crypto(args) => args.measure(show),
        What::Quic(args) => args.measure(show),
        What::Serve(args) => return args.run().map(|never| match never {}),
    };
    report.map(Some)
}
