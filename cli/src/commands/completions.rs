//! `quorate completions`: what a shell needs to complete this command.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Failure, args, output::Output};

/// Print a script with which a shell completes this command and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate completions bash > ~/.local/share/bash-completion/completions/quorate
  quorate completions zsh > ~/.zfunc/_quorate      (with ~/.zfunc in fpath)
  quorate completions fish > ~/.config/fish/completions/quorate.fish")]
pub(crate) struct Args {
    /// For which shell.
    shell: Shell,
}

/// Carries out `quorate completions`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // By way of memory: writing to a pipe that nobody reads is no reason to panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "quorate", &mut script);
    let mut output = Output::new();
    output.raw(&script)?;
    output.flush()
}
