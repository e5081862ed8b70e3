//! `quorate node`: one node of a cluster, in the foreground.

use std::path::PathBuf;

use quorate::StopReason;
use tokio::sync::mpsc;

use crate::{
    Failure,
    config::{self, NodeFile},
    input,
    output::Output,
    page::Watched,
    serving::{Served, serve},
    signals::{Hangup, Wish},
};

/// Run one node of a cluster, in the foreground.
///
/// It prints what happens to its groups, and stops cleanly on Ctrl-C or SIGTERM: it leaves its
/// groups and the cluster, so that nobody has to find out. On SIGHUP it reads its credentials and
/// the list of revoked certificates again; if something is wrong with them it says so and keeps those
/// it has.
#[derive(Debug, clap::Args)]
#[command(after_help = config::help("quorate node --config n1.toml"))]
pub(crate) struct Args {
    /// The node's configuration.
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// Print what happens as JSON, one object per line.
    #[arg(long)]
    json: bool,
    /// Stop, as if asked to, when standard input ends: a parent process that dies takes the node
    /// with it. A line on it is a wish to read the credentials again.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Carries out `quorate node`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let file = NodeFile::load(&args.config)?;
    let mut wish = Wish::listen()?;
    let mut hangup = Hangup::listen()?;
    let Served { node, mut news, reloading } = serve(&file, &Watched::default()).await?;
    let mut output = Output::new();
    let mut parent = args.until_stdin_ends.then(input::lines);
    let reason = loop {
        let news = tokio::select! {
            () = wish.come() => break node.stop().await,
            reason = node.stopped() => break reason,
            Some(news) = news.recv() => Some(news),
            () = hangup.come() => reloading.reload(),
            said = from_parent(&mut parent) => match said {
                Parent::Reload => reloading.reload(),
                Parent::Gone => break node.stop().await,
            },
        };
        let Some(news) = news else { continue };
        let told = if args.json { output.json(&news) } else { output.line(news.to_string()) };
        // Whoever read the output has gone; the node is not there for them alone.
        let _ = told.and_then(|()| output.flush());
    };
    match reason {
        StopReason::Asked => Ok(()),
        other => Err(Failure::Failed(format!("the node stopped: {other}"))),
    }
}

/// What a parent process wants, by way of standard input.
enum Parent {
    /// A line: credentials are to be read again, as on SIGHUP.
    Reload,
    /// The end: this node is to stop.
    Gone,
}

/// Returns what a parent wants next; never if there is none to listen to.
async fn from_parent(parent: &mut Option<mpsc::Receiver<input::Batch>>) -> Parent {
    let Some(lines) = parent else { return std::future::pending().await };
    // What cannot be read is an end as well.
    if let Some(Ok(_)) = lines.recv().await { Parent::Reload } else { Parent::Gone }
}
