//! What can be written on the command line.

use std::io::IsTerminal;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::{
    Failure,
    commands::{bench, cert, doctor, group, node, publish, reply, request, status, subscribe, up, why},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; one line on standard error says why, and what to do
  2  the arguments are wrong
  3  nobody answers on the subject, or nothing came in time";

/// Group communication: run nodes, use the bus, look inside, measure.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// What to log on standard error, such as info or quorate=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// The texts of the subcommands stand with their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Node(node::Args),
    Cert(cert::Args),
    Doctor(doctor::Args),
    Status(status::Args),
    Pub(publish::Args),
    Sub(subscribe::Args),
    Request(request::Args),
    Reply(reply::Args),
    Group(group::Args),
    Why(why::Args),
    Bench(bench::Args),
}

impl Args {
    /// Starts the log. A filter that cannot be read is replaced by the default and said.
    pub(crate) fn start_log(&self) {
        let usual = "warn";
        let filter = match self.log.as_deref().map(EnvFilter::try_new) {
            None => EnvFilter::new(usual),
            Some(Ok(filter)) => filter,
            Some(Err(error)) => {
                eprintln!("quorate: --log is not understood ({error}): going on with `{usual}`");
                EnvFilter::new(usual)
            }
        };
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_writer(std::io::stderr)
            .init();
    }
}

impl Command {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), Failure> {
        // A benchmark brings its own threads, and must not share them with anything.
        if let Self::Bench(args) = &self {
            return bench::run(args);
        }
        actix::System::new().block_on(self.run_in_system())
    }

    async fn run_in_system(self) -> Result<(), Failure> {
        match self {
            Self::Up(args) => up::run(&args).await,
            Self::Node(args) => node::run(&args).await,
            Self::Cert(args) => cert::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Status(args) => status::run(&args).await,
            Self::Pub(args) => publish::run(&args).await,
            Self::Sub(args) => subscribe::run(&args).await,
            Self::Request(args) => request::run(&args).await,
            Self::Reply(args) => reply::run(&args).await,
            Self::Group(args) => group::run(&args).await,
            Self::Why(args) => why::run(&args).await,
            Self::Bench(args) => bench::run(&args),
        }
    }
}
