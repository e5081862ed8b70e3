//! `quorate up`: a cluster on this machine, to try things out and to develop against.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, select_all};
use quorate::{Node, StopReason, membership::NodeId};
use tokio::sync::mpsc;

use crate::{
    Failure,
    config::NodeFile,
    local::{Child, Claim, GROUP, Layout, PATTERN},
    metrics,
    output::Output,
    profile,
    serving::{News, Served, serve},
    signals::Wish,
    span,
};

/// How long a cluster may take to be ready: far longer than it does.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long one node may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Things to tell that may wait to be printed.
const NEWS_MAX: usize = 1024;

/// Run a cluster on this machine until Ctrl-C.
///
/// The nodes talk QUIC over loopback, with certificates that are made on first use. Clients find
/// the cluster by themselves, through a profile that is written to the user's state folder.
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
    /// Serve figures for Prometheus at this address, such as 127.0.0.1:9100; with --processes the
    /// nodes after the first take the ports after it [default: none are served].
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Where to tell clients about the cluster [default: a file in the user's state folder].
    #[arg(long, value_name = "FILE", env = "QUORATE_PROFILE", hide_env_values = true)]
    profile: Option<PathBuf>,
}

/// The nodes, here or in processes of their own.
enum Nodes {
    Here(Vec<Node>),
    Processes(Vec<Child>),
}

/// Carries out `quorate up`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut wish = Wish::listen()?;
    let claim = Claim::take(&profile::place(args.profile.as_deref())?)?;
    let of_each = args.metrics.filter(|_| args.processes);
    if of_each.is_some_and(|addr| addr.port() == 0) {
        let what = "--metrics needs a port with --processes: write for example 127.0.0.1:9100";
        return Err(Failure::Usage(what.into()));
    }
    let layout = Layout::prepare(args.data.as_deref(), args.nodes, args.port, of_each)?;
    let (tell, mut news) = mpsc::channel(NEWS_MAX);
    let mut output = Output::new();
    if let (Some(addr), false) = (args.metrics, args.processes) {
        let bound = metrics::serve(addr).await?;
        output.line(format!("figures at {}", metrics::url(bound)))?;
    }
    let mut nodes = start(&layout, args.processes, &tell).await?;
    introduce(&layout, &nodes, &mut output)?;
    let outcome = tokio::select! {
        () = wish.come() => Ok(false),
        ready = ready(&layout, &mut nodes, &mut news) => ready.map(|()| true),
    };
    let outcome = match outcome {
        Ok(true) => {
            claim.publish(&layout.profile())?;
            explain(args, begun.elapsed(), &layout, &mut output)?;
            watch(&layout, &mut nodes, &mut news, &mut wish, &mut output).await
        }
        other => other.map(|_| ()),
    };
    drop(claim);
    nodes.stop().await;
    outcome
}

async fn start(layout: &Layout, processes: bool, tell: &mpsc::Sender<News>) -> Result<Nodes, Failure> {
    if processes {
        let start = |node| Child::start(node, &layout.config(node), tell.clone());
        return Ok(Nodes::Processes(layout.nodes().map(start).collect::<Result<_, _>>()?));
    }
    let mut nodes = Vec::new();
    for node in layout.nodes() {
        let Served { node, mut news, .. } = serve(&NodeFile::load(&layout.config(node))?).await?;
        nodes.push(node);
        let tell = tell.clone();
        actix::spawn(async move {
            while let Some(told) = news.recv().await {
                if tell.send(told).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(Nodes::Here(nodes))
}

/// Waits until every node is in a view of the group with all of them.
async fn ready(layout: &Layout, nodes: &mut Nodes, news: &mut mpsc::Receiver<News>) -> Result<(), Failure> {
    let mut missing: BTreeSet<String> = layout.nodes().map(|node| node.to_string()).collect();
    let all = missing.len();
    let waiting = async {
        while !missing.is_empty() {
            match news.recv().await {
                Some(News::View { node, members, .. }) if members == all => drop(missing.remove(&node)),
                Some(_) => {}
                None => break,
            }
        }
    };
    tokio::select! {
        done = tokio::time::timeout(READY_WITHIN, waiting) => if done.is_ok() { return Ok(()) },
        (node, how) = nodes.one_ends() => {
            return Err(Failure::Failed(format!("{node} ended before the cluster was ready: {how}")));
        }
    }
    let missing: Vec<_> = missing.into_iter().collect();
    let within = span::show(READY_WITHIN);
    Err(Failure::Failed(format!(
        "after {within} these nodes are not in the group yet: {}; try again with --log info to see why",
        missing.join(", ")
    )))
}

/// Tells what happens until somebody wants an end, or no node is left.
async fn watch(
    layout: &Layout,
    nodes: &mut Nodes,
    news: &mut mpsc::Receiver<News>,
    wish: &mut Wish,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut shown = BTreeSet::new();
    loop {
        let line = tokio::select! {
            () = wish.come() => return Ok(()),
            (node, how) = nodes.one_ends() => {
                let config = layout.config(node);
                if nodes.is_empty() {
                    return Err(Failure::Failed(format!("no node is left: {node} ended with {how}")));
                }
                format!(
                    "{node} ended ({how}); start it again with\n  quorate node --config {}",
                    config.display()
                )
            }
            told = news.recv() => match told {
                // Each member tells of the view; once is enough.
                Some(News::View { group, view, changes, .. }) => {
                    if !shown.insert((group.clone(), view.clone())) || view.starts_with("v1 ") {
                        continue;
                    }
                    format!("group {group} is in view {view}: {}", changes.join(", "))
                }
                Some(told @ (News::Group { .. } | News::Credentials { .. })) => told.to_string(),
                Some(News::Serving { .. }) => continue,
                None => std::future::pending().await,
            },
        };
        // Whoever read the output has gone; the cluster is not there for them alone.
        let _ = output.line(line).and_then(|()| output.flush());
    }
}

impl Nodes {
    fn is_empty(&self) -> bool {
        match self {
            Self::Here(nodes) => nodes.is_empty(),
            Self::Processes(children) => children.is_empty(),
        }
    }

    /// Waits until one of the nodes ends; it is none of them any more then.
    async fn one_ends(&mut self) -> (NodeId, String) {
        match self {
            Self::Here(nodes) => {
                let ends = nodes.iter().map(|node| Box::pin(node.stopped()));
                let (reason, index, _): (StopReason, _, _) = select_all(ends).await;
                (nodes.remove(index).member().node, reason.to_string())
            }
            Self::Processes(children) => {
                let ends = children.iter_mut().map(|child| Box::pin(child.ended()));
                let (how, index, _) = select_all(ends).await;
                (children.remove(index).node(), how)
            }
        }
    }

    /// Stops all nodes, the junior ones first: so the group is handed on until the last.
    async fn stop(self) {
        match self {
            Self::Here(nodes) => {
                for node in nodes.iter().rev() {
                    if tokio::time::timeout(STOP_WITHIN, node.stop()).await.is_err() {
                        tracing::warn!(node = %node.member(), "it did not stop in time");
                    }
                }
            }
            Self::Processes(mut children) => {
                children.iter_mut().for_each(Child::stop);
                join_all(children.iter_mut().map(Child::stopped)).await;
            }
        }
    }
}

fn introduce(layout: &Layout, nodes: &Nodes, output: &mut Output) -> Result<(), Failure> {
    let pids: Vec<_> = match nodes {
        Nodes::Here(_) => Vec::new(),
        Nodes::Processes(children) => children.iter().map(|child| (child.node(), child.pid())).collect(),
    };
    for node in layout.nodes() {
        let pid = pids.iter().find(|(of, _)| *of == node).and_then(|(_, pid)| *pid);
        let process = pid.map(|pid| format!("  process {pid}")).unwrap_or_default();
        let figures = layout.metrics(node).map(|addr| format!("  figures at {}", metrics::url(addr)));
        let figures = figures.unwrap_or_default();
        output.line(format!("{node}  {}{figures}{process}", layout.address(node)))?;
    }
    output.flush()
}

fn explain(args: &Args, took: Duration, layout: &Layout, output: &mut Output) -> Result<(), Failure> {
    let profile = match &args.profile {
        None => String::new(),
        Some(path) => format!(" --profile {}", path.display()),
    };
    output.line(format!("ready in {}; Ctrl-C stops it", span::show(took)))?;
    output.line(format!(
        "\nSubjects `{PATTERN}` are bound to the group `{GROUP}`: all subscribers get the same sequence, also\n\
         when nodes fail. Other subjects go straight to whoever subscribes. In another terminal, try\n\n  \
         quorate sub '{PATTERN}'{profile}\n  \
         quorate pub {GROUP}.app \"hello\"{profile}\n  \
         quorate status{profile}\n  \
         quorate why {GROUP}{profile}\n"
    ))?;
    if args.processes {
        output.line("and `kill -9` one of the processes above.\n")?;
    }
    if !layout.is_temporary() {
        output
            .line(format!("Certificates, configurations and data stay in {}\n", layout.folder().display()))?;
    }
    output.flush()
}
