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
}

impl Serve {
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
