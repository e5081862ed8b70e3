//! `quorate up`: a cluster on this machine, to try things out and to develop against.

mod nodes;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use nodes::Nodes;
use report::Report;
use tokio::sync::mpsc;

use crate::{
    Failure, address,
    local::{Claim, GROUP, Layout},
    metrics,
    output::Output,
    page::Watched,
    profile, progress,
    serving::News,
    signals::{Call, Calls},
    span,
};

/// How long a cluster may take to be ready: far longer than it does.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often what is drawn meanwhile moves.
const SPIN_EVERY: Duration = Duration::from_millis(100);
/// Things to tell that may wait to be printed.
const NEWS_MAX: usize = 1024;

/// Run a cluster on this machine until Ctrl-C.
///
/// The nodes talk QUIC over loopback, with certificates that are made on first use. Clients find
/// the cluster by themselves, through a profile that is written to the user's state folder. On SIGHUP
/// all nodes read their credentials and the list of revoked certificates again; when the terminal is
/// closed the cluster stops.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate up
  quorate up --nodes 5 --processes --data cluster
  quorate up --metrics 127.0.0.1:9100")]
pub(crate) struct Args {
    /// How many nodes, 1 to 64.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Folder for certificates, configurations and data, kept at the end [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Run each node in a process of its own, so that one can be killed.
    #[arg(long)]
    processes: bool,
    /// Port of the first node; the others take those after it. 0 takes any free ports.
    #[arg(long, value_name = "PORT", default_value_t = 4610)]
    port: u16,
    /// Serve a page for browsers and figures for Prometheus at this address, such as 127.0.0.1:9100; with --processes the
    /// nodes after the first take the ports after it [default: none are served].
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    metrics: Option<SocketAddr>,
    /// Where to tell clients about the cluster [default: a file in the user's state folder].
    #[arg(long, value_name = "FILE", env = "QUORATE_PROFILE", hide_env_values = true)]
    profile: Option<PathBuf>,
    /// Print what happens as JSON, one object per line; the first says that the cluster is ready, after
    /// how long, and where its nodes are.
    #[arg(long)]
    json: bool,
}

/// Carries out `quorate up`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut calls = Calls::listen()?;
    let place = profile::place(args.profile.as_deref())?;
    let mut claim = Claim::take(&place)?;
    let of_each = args.metrics.filter(|_| args.processes);
    if of_each.is_some_and(|addr| addr.port() == 0) {
        let what = "--metrics needs a port with --processes: write for example 127.0.0.1:9100";
        return Err(Failure::Usage(what.into()));
    }
    let layout = Layout::prepare(args.data.as_deref(), args.nodes, args.port, of_each)?;
    claim.note(layout.is_temporary().then(|| layout.folder()))?;
    let watched = Watched::default();
    let figures = match args.metrics {
        Some(addr) if !args.processes => Some(metrics::url(metrics::serve(addr, watched.clone()).await?)),
        _ => None,
    };
    let (tell, mut news) = mpsc::channel(NEWS_MAX);
    let mut nodes = Nodes::start(&layout, args.processes, &watched, &tell).await?;
    let mut report = Report { args, layout: &layout, output: Output::new() };
    report.started(&nodes, figures.as_deref())?;
    let ready = tokio::select! {
        () = calls.stop() => Ok(None),
        ready = ready(&layout, &mut nodes, &mut news) => ready.map(Some),
    };
    let outcome = match ready {
        Ok(Some(view)) => {
            claim.publish(&layout.profile())?;
            report.ready(&nodes, figures.as_deref(), (&view, begun.elapsed()), &place)?;
            watch(view, &mut nodes, &mut news, &mut calls, &mut report).await
        }
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    drop(claim);
    nodes.stop().await;
    outcome
}

/// Waits until every node is in one view of the group with all of them, and returns the view.
async fn ready(
    layout: &Layout,
    nodes: &mut Nodes,
    news: &mut mpsc::Receiver<News>,
) -> Result<String, Failure> {
    let all: BTreeSet<String> = layout.nodes().map(|node| node.to_string()).collect();
    let bar = progress::drawn(ProgressBar::new_spinner(), "{spinner} {msg}");
    bar.enable_steady_tick(SPIN_EVERY);
    // The view of each node that is in one with all of them.
    let mut views = BTreeMap::new();
    let waiting = async {
        loop {
            bar.set_message(format!("{} of {} nodes are in the group", views.len(), all.len()));
            match news.recv().await {
                Some(News::View { node, view, members, .. }) if members == all.len() => {
                    views.insert(node, view);
                }
                Some(News::View { node, .. }) => drop(views.remove(&node)),
                Some(_) => continue,
                None => std::future::pending().await,
            }
            let mut distinct: BTreeSet<&String> = views.values().collect();
            if views.len() == all.len() && distinct.len() == 1 {
                return distinct.pop_first().cloned();
            }
        }
    };
    let waited = tokio::select! {
        view = tokio::time::timeout(READY_WITHIN, waiting) => Ok(view.ok().flatten()),
        (node, how) = nodes.one_ends() => {
            Err(Failure::Failed(format!("{node} ended before the cluster was ready: {how}")))
        }
    };
    bar.finish_and_clear();
    waited?.ok_or_else(|| {
        let missing: Vec<_> =
            all.iter().filter(|node| !views.contains_key(*node)).map(String::as_str).collect();
        Failure::Failed(format!(
            "after {} these nodes are not in the group yet: {}; try again with --log info to see why",
            span::show(READY_WITHIN),
            missing.join(", ")
        ))
    })
}

/// Tells what happens after the first view until somebody wants an end, or no node is left.
async fn watch(
    view: String,
    nodes: &mut Nodes,
    news: &mut mpsc::Receiver<News>,
    calls: &mut Calls,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let mut shown = BTreeSet::from([(GROUP.to_owned(), view)]);
    loop {
        tokio::select! {
            call = calls.come() => match call {
                Call::Stop => return Ok(()),
                Call::Reload => nodes.reload(report).await,
            },
            (node, how) = nodes.one_ends() => {
                if nodes.is_empty() {
                    return Err(Failure::Failed(format!("no node is left: {node} ended with {how}")));
                }
                report.ended(node, &how);
            }
            told = news.recv() => match told {
                // Each member tells of the view; once is enough.
                Some(News::View { ref group, ref view, .. })
                    if !shown.insert((group.clone(), view.clone())) => {}
                Some(News::Serving { .. }) => {}
                Some(told) => report.news(&told),
                None => std::future::pending().await,
            },
        }
    }
}
