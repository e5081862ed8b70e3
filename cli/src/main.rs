//! The `quorate` command: run nodes, use the bus, look inside, measure.

mod address;
mod args;
mod authority;
mod commands;
mod config;
mod credentials;
mod failure;
mod input;
mod local;
mod metrics;
mod output;
mod page;
mod profile;
mod progress;
mod serving;
mod session;
mod signals;
mod span;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Args, failure::Failure};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return args::refuse(&error),
    };
    args.start_log();
    match args.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(line) = failure.line() {
                output::complain(&line);
            }
            failure.exit_code()
        }
    }
}
