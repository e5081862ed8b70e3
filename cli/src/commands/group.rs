//! `quorate group`: the groups, their views, and taking part in one.

mod join;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Subcommand;
use quorate::{
    ViewRecord,
    membership::NodeId,
    protocols::{Order, SlowPolicy},
};

use crate::{
    Failure,
    output::{self, Output},
    session::{Reach, Session},
    span,
};

use super::status;

/// List groups, show the history of their views, or take part in one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate group ls
  quorate group views log
  quorate group join log")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Join(Join),
    Ls(Ls),
    Views(Views),
}

/// Become a member of a group: print its deliveries and views, multicast what is typed.
///
/// Members of groups are nodes, so this command is one while it runs, with a number of its own. The
/// cluster that `quorate up` runs issues it a certificate; elsewhere it needs one (`quorate cert
/// issue --node`). It leaves the group on Ctrl-C, or at the end of standard input.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate group join log
  quorate group join chat --node n101 --founders n101,n102     (in one terminal)
  quorate group join chat --node n102 --founders n101,n102     (in another)")]
struct Join {
    /// The group: one that the cluster runs, or a new one with --founders.
    name: String,
    /// In which order to deliver: fifo, causal, total or uniform [default: the group's own, or uniform
    /// for a new one].
    #[arg(long)]
    order: Option<Order>,
    /// For a new group: each side of a partition goes on, and sides merge when they hear each other.
    #[arg(long, requires = "founders")]
    partitionable: bool,
    /// For a new group: what happens to a member that lags: block (the others wait for it), demote (it
    /// becomes a learner) or evict (it is removed and comes back later) [default: block].
    #[arg(long, value_name = "POLICY", requires = "founders")]
    slow: Option<SlowPolicy>,
    /// For a new group: how long a member may lag first, such as 2s [default: 5s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse, requires = "founders")]
    lag_for: Option<Duration>,
    /// For a new group: a member lags when it is so many bytes behind, or does not catch up [default: 524288].
    #[arg(long, value_name = "BYTES", requires = "founders")]
    lag_bytes: Option<usize>,
    /// For a new group: founding nodes that vote on views and hold nothing [default: none].
    #[arg(long, value_name = "NODES", value_delimiter = ',', requires = "founders")]
    witnesses: Vec<NodeId>,
    /// The nodes that found a new group: the same list at each of them [default: the group is one
    /// that the cluster runs].
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    founders: Vec<NodeId>,
    /// The number of this node [default: one that is drawn, or that of --node-credentials].
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    /// Folder of a node's certificate, for clusters that `quorate up` does not run [default: one is
    /// issued for the occasion].
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    node_credentials: Option<PathBuf>,
    /// Print deliveries and views as JSON, one object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Whether this is a node while it runs.
    pub(crate) fn runs_a_node(&self) -> bool {
        matches!(self.what, What::Join(_))
    }
}

/// List the groups that a node runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate group ls --json")]
struct Ls {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Show the history of a group's views: who, when and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate group views log")]
struct Views {
    /// The group.
    name: String,
    /// Print it as JSON, one view per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Carries out `quorate group`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Join(args) => join::run(args).await,
        What::Ls(args) => ls(args).await,
        What::Views(args) => views(args).await,
    }
}

async fn ls(args: &Ls) -> Result<(), Failure> {
    let groups = Session::status_once(&args.reach).await?.groups;
    output::tell(args.json, &groups, |output| output.lines(status::groups(&groups)))
}

async fn views(args: &Views) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let views = session.ask("the views", async |client| client.views(&args.name).await).await?;
    session.close().await;
    let mut output = Output::new();
    if args.json {
        for view in &views {
            output.json(view)?;
        }
    } else {
        let mut rows = vec![["view, by rank", "when", "why"].map(str::to_owned)];
        rows.extend(views.iter().map(row));
        output.lines(output::table(&rows))?;
    }
    output.flush()
}

fn row(record: &ViewRecord) -> [String; 3] {
    let changes: Vec<_> =
        record.view.changes.iter().map(|(member, change)| format!("{} {change}", member.node)).collect();
    [record.view.to_string(), ago(record.installed_unix_ms), changes.join(", ")]
}

fn ago(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Seconds are enough for people; JSON has the moment.
    let span = now.saturating_sub(Duration::from_millis(unix_ms)).as_secs();
    if span == 0 { "just now".to_owned() } else { format!("{} ago", span::show(Duration::from_secs(span))) }
}
