//! The hosts of benchmarks that make a network of their own.

use std::path::{Path, PathBuf};

use quorate_bench::BenchError;

use crate::{Failure, failure::one_line};

/// Be one of the hosts of a benchmark, which says on standard input what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate bench network-host certs/n1
  quorate bench corosync-host certs/n1
  quorate bench memory-host certs/n1")]
pub(super) struct HostOf {
    /// Folder of its credentials.
    credentials: PathBuf,
}

impl HostOf {
    pub(super) fn run(&self, host: impl FnOnce(&Path) -> Result<(), BenchError>) -> Result<(), Failure> {
        host(&self.credentials).map_err(|error| Failure::Failed(one_line(&error)))
    }
}
