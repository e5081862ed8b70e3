//! `quorate node`: one node of a cluster, in the foreground.

use std::path::PathBuf;

use quorate::StopReason;

use crate::{
    Failure,
    config::{self, NodeFile},
    failure::one_line,
    input,
    output::Output,
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
    /// with it.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Carries out `quorate node`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let file = NodeFile::load(&args.config)?;
    let mut wish = Wish::listen()?;
    let mut hangup = Hangup::listen()?;
    let Served { node, mut news, reloading } = serve(&file).await?;
    let mut output = Output::new();
    let mut parent = std::pin::pin!(parent_gone(args.until_stdin_ends));
    let reason = loop {
        let news = tokio::select! {
            () = wish.come() => break node.stop().await,
            () = &mut parent => break node.stop().await,
            reason = node.stopped() => break reason,
            Some(news) = news.recv() => news,
            () = hangup.come() => match reloading.reload() {
                Ok(news) => news,
                Err(failure) => {
                    eprintln!("quorate: the present credentials stay: {}", one_line(&failure));
                    continue;
                }
            },
        };
        let told = if args.json { output.json(&news) } else { output.line(news.to_string()) };
        // Whoever read the output has gone; the node is not there for them alone.
        let _ = told.and_then(|()| output.flush());
    };
    match reason {
        StopReason::Asked => Ok(()),
        other => Err(Failure::Failed(format!("the node stopped: {other}"))),
    }
}

/// Returns when standard input ends, or never if that is not to be looked at.
async fn parent_gone(look: bool) {
    if look { input::ended().await } else { std::future::pending().await }
}
