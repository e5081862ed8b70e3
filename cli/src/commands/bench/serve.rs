//! What answers other machines.

use std::{convert::Infallible, net::SocketAddr, path::PathBuf};

use quorate_bench::ServeArgs;

use crate::{Failure, address, credentials, failure::one_line, output::Output};

/// Answer other machines that measure with `--peers`, until Ctrl-C: links, groups and the bus.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, with the folders that `quorate cert issue` made for nodes 1 and 2 of one cluster:
  quorate bench serve --listen 192.0.2.1:4700 --credentials certs/n1
  quorate bench transport --peers 192.0.2.1:4700 --credentials certs/n2  (on another machine)
  quorate bench multicast --peers 192.0.2.1:4700 --credentials certs/n2")]
pub(super) struct Serve {
    /// Where to listen, over QUIC and over TCP. Over UDP the baseline listens on the next port, and a node that is
    /// a member of a group on the one behind it.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    listen: SocketAddr,
    /// The node certificate in this folder, which is shown to others.
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,
    #[command(flatten)]
    of_figures: OfFigures,
}

// What all that measures has. Here it is refused, and not listed.
#[derive(Debug, clap::Args)]
struct OfFigures {
    #[arg(long, hide = true)]
    report: Option<PathBuf>,
    #[arg(long, hide = true)]
    runs: Option<u8>,
    #[arg(long, hide = true)]
    json: bool,
    #[arg(long, hide = true)]
    check: bool,
}

impl Serve {
    /// Refuses what is of figures.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let OfFigures { report, runs, json, check } = &self.of_figures;
        if report.is_some() || runs.is_some() || *json || *check {
            return Err(Failure::Usage(
                "what serves others has no figures: give --report, --runs, --json and --check where it is measured"
                    .into(),
            ));
        }
        Ok(())
    }

    pub(super) fn run(&self) -> Result<Infallible, Failure> {
        let (listen, credentials) = (self.listen, credentials::of_node(&self.credentials)?);
        let ready = |addr| {
            let mut output = Output::new();
            // Whoever closed it reads nothing.
            let _ = output.line(format!("answers at {addr}; Ctrl-C stops it")).and_then(|()| output.flush());
        };
        let served = quorate_bench::serve(ServeArgs { listen, credentials }, ready);
        served.map_err(|error| Failure::Failed(one_line(&error)))
    }
}
