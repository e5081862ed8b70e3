//! What can be written on the command line.

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use crate::{
    Failure,
    commands::{
        bench, cert, completions, doctor, group, node, publish, reply, request, status, subscribe, up, why,
    },
};

const AFTER: &str = "\
Examples:
  quorate up                     (in one terminal)
  quorate sub 'log.>'            (in another)
  quorate pub log.app \"hello\"    (in a third)

Spans of time are written 500ms, 2s, 1m or 1h; a bare number is seconds.

Exit codes:
  0  done
  1  failed; one line on standard error says why, and what to do
  2  the arguments are wrong
  3  nobody answers on the subject, or nothing came in time";

/// What a node logs unless something else is wanted.
const NODE_LOG: &str = "warn";
/// What others log: their one line says what a node would log on the way to it. That a key can be
/// read by others is said by all.
const CLIENT_LOG: &str = "error,quorate_transport::credentials=warn";

/// Group communication: run nodes, use the bus, look inside, measure.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = AFTER, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// What to log on standard error, such as info or quorate=debug [default: warn for nodes, error for
    /// other commands].
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    #[arg(display_order = 900)]
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
    Completions(completions::Args),
}

impl Args {
    /// Starts the log. A filter that cannot be read is replaced by the default and said.
    pub(crate) fn start_log(&self) {
        let usual = if self.command.runs_nodes() { NODE_LOG } else { CLIENT_LOG };
        let filter = match self.log.as_deref().map(EnvFilter::try_new) {
            None => EnvFilter::new(usual),
            Some(Ok(filter)) => filter,
            Some(Err(error)) => {
                crate::output::complain(&format!(
                    "--log is not understood ({error}): going on with `{usual}`"
                ));
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
    fn runs_nodes(&self) -> bool {
        match self {
            Self::Up(_) | Self::Node(_) => true,
            Self::Group(args) => args.runs_a_node(),
            _ => false,
        }
    }

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
            Self::Completions(args) => completions::run(&args),
        }
    }
}

/// Answers arguments that ask for nothing that can be done: with the help that was asked for, or with
/// one line that says what is wrong.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if help || !error.use_stderr() {
        // Whoever wanted to read it has gone.
        let _ = error.print();
    } else {
        crate::output::complain(&usage_line(&error.render().to_string()));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What is wrong with the arguments, of the page that clap writes about it.
fn usage_line(page: &str) -> String {
    let lines = page.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let text = told.collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    format!("{} (--help shows more)", text.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;

    /// All commands with the words that call them, the one without a subcommand first.
    fn commands() -> Vec<(String, clap::Command)> {
        fn gather(words: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
            found.push((words.to_owned(), command.clone()));
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                gather(&format!("{words} {}", inner.get_name()), inner, found);
            }
        }
        let mut found = Vec::new();
        let mut whole = Args::command();
        whole.build();
        gather("quorate", &whole, &mut found);
        found
    }

    /// The commands that the text after a command's help shows, as their words.
    fn examples(command: &clap::Command) -> Vec<Vec<String>> {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = text.lines().map(|line| line.trim_start().trim_start_matches("Example: "));
        lines.filter(|line| line.starts_with("quorate ")).map(words).collect()
    }

    /// Splits a line as a shell does, up to a redirection or a remark in parentheses.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), _) if open == letter => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (None, '<' | '>' | '|' | '(') => break,
                (None, ' ') => words.extend(word.take()),
                _ => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        words
    }

    fn help(arg: &Arg) -> String {
        arg.get_help().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for (name, command) in commands() {
            assert!(command.get_about().is_some(), "`{name}` says nothing of itself");
            let own: Vec<&str> = name.split(' ').collect();
            let shown = examples(&command);
            let shows_itself = shown.iter().any(|words| words.iter().zip(&own).all(|(a, b)| a == b));
            assert!(shows_itself, "`{name}` shows no example of itself");
        }
    }

    #[test]
    fn every_example_is_a_command() {
        for (name, command) in commands() {
            for words in examples(&command) {
                if let Err(error) = Args::try_parse_from(&words) {
                    panic!("an example of `{name}`, {words:?}, is none: {error}");
                }
            }
        }
    }

    #[test]
    fn every_option_says_what_it_is_and_what_holds_without_it() {
        for (name, command) in commands() {
            let required = |arg: &Arg| {
                arg.is_required_set()
                    || command
                        .get_groups()
                        .any(|group| group.is_required_set() && group.get_args().any(|id| id == arg.get_id()))
            };
            let said =
                |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
            for arg in command.get_arguments().filter(said) {
                let (id, help) = (arg.get_id(), help(arg));
                assert!(help.len() > 5, "`{name}`: {id} has no sentence");
                let takes_value = arg.get_action().takes_values();
                let has_default = !arg.get_default_values().is_empty()
                    || help.contains("[default: ")
                    || help.contains("ithout it ");
                assert!(!takes_value || required(arg) || has_default, "`{name}`: what is {id} by default?");
                let unit = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "SPAN"));
                assert!(!unit || help.contains("such as "), "`{name}`: how is the span of {id} written?");
            }
        }
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(
            words("quorate sub 'a.> b' --x \"\" c > file"),
            ["quorate", "sub", "a.> b", "--x", "", "c"]
        );
        assert_eq!(words("quorate up    (a remark)"), ["quorate", "up"]);
    }
}
