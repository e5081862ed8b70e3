//! `quorate why`: who waits for whom, since when, and what will happen.

use std::time::Duration;

use quorate::{
    GroupStatus, Status, Wait,
    membership::{Member, NodeId},
};
use serde::Serialize;

use crate::{
    Failure,
    output::{self, Output},
    session::{Reach, Session},
    span,
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

/// What a group waits for, in words.
#[derive(Debug, Serialize)]
pub(crate) struct Reason {
    waits_for: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
    outlook: String,
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

/// Says what a group waits for.
pub(crate) fn reason(wait: &Wait) -> Reason {
    let list = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let names = |members: &[Member]| list(&members.iter().map(|member| member.node).collect::<Vec<_>>());
    let waits_for = match wait {
        Wait::Founders { missing, .. } => format!("founders that are not here: {}", names(missing)),
        Wait::Admission { .. } => "a member that admits this node".to_owned(),
        Wait::Majority { unreachable, .. } => format!("a majority; out of reach: {}", names(unreachable)),
        Wait::NextView { coordinator: Some(node), .. } => {
            format!("agreement on the next view, led by {node}")
        }
        Wait::NextView { .. } => "the next view".to_owned(),
        Wait::Member { node, .. } => format!("{node}, which is out of reach"),
        Wait::Slow { member, bytes, .. } => format!("{}, which lags by {bytes} bytes", member.node),
        Wait::State { donor, received_bytes, length_bytes, silent, refused, .. } => {
            let of = length_bytes.map(|length| format!(" of {length}")).unwrap_or_default();
            let from = donor.map(|node| format!(" from {node}")).unwrap_or_default();
            let nodes = |what: &str, nodes: &[NodeId]| match nodes {
                [] => String::new(),
                _ => format!("; {what} {}", list(nodes)),
            };
            let (silent, refused) = (nodes("no answer from", silent), nodes("refused by", refused));
            format!("its state{from}: {received_bytes}{of} bytes are here{silent}{refused}")
        }
        Wait::Stranger { node, differs } => {
            format!("{node}, which takes the group for another one: {differs}")
        }
        Wait::Learner { member, bytes, .. } => {
            format!("the learner {}, which lags by {bytes} bytes", member.node)
        }
        Wait::Window { submissions, .. } => {
            format!("room: {submissions} submissions wait for members that lag")
        }
        other => format!("{other:?}"),
    };
    Reason { waits_for, for_ms: wait.for_ms(), outlook: wait.outlook() }
}

#[cfg(test)]
mod tests {
    use quorate::membership::Incarnation;

    use super::*;

    fn told(wait: &Wait) -> (String, Option<u64>, String) {
        let Reason { waits_for, for_ms, outlook } = reason(wait);
        (waits_for, for_ms, outlook)
    }

    #[test]
    fn a_newcomer_says_since_when_it_waits_for_its_state_and_who_gives_none() {
        let node = NodeId::new;
        let state = |donor: Option<u64>, silent: &[u64], refused: &[u64], asks_in_ms| Wait::State {
            donor: donor.map(node),
            received_bytes: 0,
            length_bytes: None,
            for_ms: 4000,
            silent: silent.iter().copied().map(node).collect(),
            refused: refused.iter().copied().map(node).collect(),
            asks_in_ms,
        };
        let (what, for_ms, outlook) = told(&state(Some(2), &[3, 2], &[1], Some(900)));
        assert_eq!(what, "its state from n2: 0 bytes are here; no answer from n3, n2; refused by n1");
        assert_eq!(for_ms, Some(4000));
        assert!(outlook.starts_with("it is asked for again in 900 ms"), "{outlook}");
        let (what, _, outlook) = told(&state(None, &[], &[1, 2], Some(8000)));
        assert_eq!(what, "its state: 0 bytes are here; refused by n1, n2");
        assert!(outlook.ends_with("asks to be admitted with a later one in 8000 ms"), "{outlook}");
    }

    #[test]
    fn a_learner_is_said_to_learn_since_then() {
        let member = Member::new(NodeId::new(4), Incarnation::new(1));
        let learner = Wait::Learner { member, bytes: 12, for_ms: 2500, barred_for_ms: None };
        let (what, for_ms, _) = told(&learner);
        assert_eq!((what.as_str(), for_ms), ("the learner n4, which lags by 12 bytes", Some(2500)));
    }
}
