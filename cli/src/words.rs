//! What people are told of peers and groups, in words.

use std::time::Duration;

use quorate::{
    GroupStatus, PeerStatus, Wait,
    membership::{Member, NodeId},
};
use serde::Serialize;

use crate::span;

/// What the failure detector says; a link says little, since it outlives its peer for a while.
pub(crate) fn state(peer: &PeerStatus) -> String {
    match (peer.reachable, peer.lost_for_ms, peer.linked, peer.in_cluster) {
        (true, ..) => "reachable".to_owned(),
        (_, Some(ms), ..) => format!("unreachable for {}", span::show(Duration::from_millis(ms))),
        (_, None, true, _) => "linked, not heard yet".to_owned(),
        (_, None, false, true) => "in the cluster, not linked yet".to_owned(),
        (_, None, false, false) => "not met yet".to_owned(),
    }
}

/// How a group stands at a node.
pub(crate) const fn standing(group: &GroupStatus) -> &'static str {
    match (&group.view, group.wedged, group.sealed) {
        (None, ..) => "outside",
        (_, true, _) => "stands still",
        (_, _, true) => "changes its view",
        _ if group.waits.is_empty() => "runs",
        _ => "waits",
    }
}

/// What a group waits for, in words.
#[derive(Debug, Serialize)]
pub(crate) struct Reason {
    pub(crate) waits_for: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) for_ms: Option<u64>,
    pub(crate) outlook: String,
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
