//! `quorate why`: who waits for whom, since when, and what will happen.

use std::time::Duration;

use quorate::{GroupStatus, Status};
use serde::Serialize;

use crate::{
    Failure,
    output::{self, Output},
    session::{Reach, Session},
    span,
    words::{Reason, reason},
};

/// Say who or what a group waits for, since when, and what will happen.
///
/// It is the picture that one node has: the first of the profile that answers, or the one given by
/// --connect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate why log")]
pub(crate) struct Args {
    /// The group.
    name: String,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An explanation, for programs.
#[derive(Serialize)]
struct Why<'a> {
    group: &'a str,
    node: String,
    view: Option<String>,
    waits: Vec<Reason>,
}

/// Carries out `quorate why`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let status = Session::status_once(&args.reach).await?;
    let group = find(&status, &args.name)?;
    let why = Why {
        group: &group.name,
        node: status.member.node.to_string(),
        view: group.view.as_ref().map(ToString::to_string),
        waits: group.waits.iter().map(reason).collect(),
    };
    output::tell(args.json, &why, |output| show(&why, output))
}

/// The group of this name at a node.
pub(crate) fn find<'a>(status: &'a Status, name: &str) -> Result<&'a GroupStatus, Failure> {
    status.groups.iter().find(|group| group.name == name).ok_or_else(|| {
        let node = status.member.node;
        Failure::Failed(format!(
            "{node} has no group `{name}`: `quorate group ls` lists what it has, --connect asks another node"
        ))
    })
}

fn show(why: &Why<'_>, output: &mut Output) -> Result<(), Failure> {
    let (group, node) = (why.group, &why.node);
    let view =
        why.view.as_deref().map_or_else(|| "outside of it".to_owned(), |view| format!("in view {view}"));
    if why.waits.is_empty() {
        return output.line(format!("group {group} at {node}, {view}: waits for nobody"));
    }
    output.line(format!("group {group} at {node}, {view}:"))?;
    for reason in &why.waits {
        let since = reason.for_ms.map(|ms| format!(", for {}", span::show(Duration::from_millis(ms))));
        output.line(format!("  waits for {}{}", reason.waits_for, since.unwrap_or_default()))?;
        output.line(format!("    {}", reason.outlook))?;
    }
    Ok(())
}
