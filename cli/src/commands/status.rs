//! `quorate status`: members, reachability, groups, views, ranks.

use std::{io::IsTerminal, time::Duration};

use quorate::{GroupStatus, Status};

use crate::{
    Failure,
    output::{self, Output},
    session::{Reach, Session},
    span,
    words::{standing, state},
};

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Show the members of the cluster, whom they reach, and the groups with their views.
///
/// It is the picture that one node has: the first of the profile that answers, or the one given by
/// --connect.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate status
  quorate status --watch --every 500ms
  quorate status --json --connect 127.0.0.1:4611")]
pub(crate) struct Args {
    /// Keep it on screen, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// How often to look again, such as 500ms or 2s.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span::parse, requires = "watch")]
    every: Duration,
    /// Print it as JSON, one object per look.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Carries out `quorate status`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.reach).await?;
    let mut output = Output::new();
    let mut ticks = tokio::time::interval(args.every);
    loop {
        ticks.tick().await;
        let status = session.status().await?;
        if args.json {
            output.json(&status)?;
        } else {
            if args.watch && std::io::stdout().is_terminal() {
                output.raw(CLEAR)?;
            }
            show(&status, &mut output)?;
        }
        output.flush()?;
        if !args.watch {
            session.close().await;
            return Ok(());
        }
    }
}

fn show(status: &Status, output: &mut Output) -> Result<(), Failure> {
    let me = status.member.node;
    output.line(format!("cluster {}, as {me} sees it", status.cluster))?;
    let mut rows = vec![["", "node", "address", "state"].map(str::to_owned)];
    let own = match status.clients {
        1 => "answers, 1 client".to_owned(),
        clients => format!("answers, {clients} clients"),
    };
    let mut nodes = vec![(me, [String::new(), me.to_string(), status.addr.to_string(), own])];
    nodes.extend(status.peers.iter().map(|peer| {
        let addr = peer.addr.map_or_else(|| "unknown".to_owned(), |addr| addr.to_string());
        (peer.node, [String::new(), peer.node.to_string(), addr, state(peer)])
    }));
    nodes.sort_by_key(|(node, _)| *node);
    rows.extend(nodes.into_iter().map(|(_, row)| row));
    output.lines(output::table(&rows))?;
    output.line("")?;
    if status.groups.is_empty() {
        return output.line("no groups at this node");
    }
    output.lines(groups(&status.groups))
}

/// Groups as a table.
pub(crate) fn groups(groups: &[GroupStatus]) -> Vec<String> {
    let mut rows =
        vec![["", "group", "order", "view, by rank", "subjects", "delivered", "state"].map(str::to_owned)];
    rows.extend(groups.iter().map(|group| {
        let view = group.view.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let subjects = if group.subjects.is_empty() { "-".to_owned() } else { group.subjects.join(", ") };
        let delivered = group.delivered_total.to_string();
        [String::new(), group.name.clone(), group.order.clone(), view, subjects, delivered, state_of(group)]
    }));
    output::table(&rows)
}

fn state_of(group: &GroupStatus) -> String {
    match standing(group) {
        "runs" => "runs".to_owned(),
        other => format!("{other}: `quorate why {}`", group.name),
    }
}
