//! What a group looks like from outside.

use std::{collections::VecDeque, time::SystemTime};

use quorate_membership::{Member, NodeId, View};
use serde::{Deserialize, Serialize};

/// Views that are kept for people to look at.
const RECORDS_MAX: usize = 256;

/// A view that was installed here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ViewRecord {
    /// The view; its changes say why it came.
    pub view: View,
    /// When it was installed here, in milliseconds since 1970 by this node's clock.
    pub installed_unix_ms: u64,
}

/// Somebody or something that a group waits for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Wait {
    /// Not enough of the declared nodes are here to found the group.
    Founders {
        /// Who is missing.
        missing: Vec<Member>,
        /// For how many milliseconds.
        for_ms: u64,
        /// In how many milliseconds a majority goes on without the rest; 0 if it would at once.
        majority_in_ms: u64,
    },
    /// This node asks to be admitted.
    Admission {
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// No majority of the view is in reach: nothing is delivered.
    Majority {
        /// Who is out of reach.
        unreachable: Vec<Member>,
        /// Data members and witnesses of the view.
        voters: usize,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// The view is being closed: what is sent goes out in the next one.
    NextView {
        /// Who drives it, as far as this member can tell; `None` once the next view is decided and
        /// only messages before it are missing here.
        coordinator: Option<NodeId>,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// A member is out of reach.
    Member {
        /// The member's node.
        node: NodeId,
        /// For how many milliseconds.
        for_ms: u64,
        /// In how many milliseconds one of the two has to go, even if all others hear both.
        broken_link_in_ms: u64,
    },
    /// The others wait for a member that lags.
    Slow {
        /// The member.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
        /// For how many milliseconds it has lagged.
        for_ms: u64,
        /// What the group does about it: `block`, `demote` or `evict`.
        policy: String,
        /// In how many milliseconds it does so, if it does anything.
        acts_in_ms: Option<u64>,
    },
    /// This member is a newcomer whose state is on its way.
    State {
        /// Who sends it.
        donor: Option<NodeId>,
        /// Bytes that have come.
        received_bytes: u64,
        /// Bytes of the whole, once that is known.
        length_bytes: Option<u64>,
        /// For how many milliseconds this member has been without a state.
        for_ms: u64,
        /// Members that were asked and have sent nothing so far.
        silent: Vec<NodeId>,
        /// Members that have said that they have none, or sent one that was not intact.
        refused: Vec<NodeId>,
        /// In how many milliseconds it asks again, or, if nobody is left to ask, asks to be admitted with
        /// a later state.
        asks_in_ms: Option<u64>,
    },
    /// A node takes the group for another one, so it stays out.
    Stranger {
        /// The node.
        node: NodeId,
        /// What differs, in words.
        differs: String,
    },
    /// A learner has to catch up before it counts.
    Learner {
        /// The learner.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
        /// For how many milliseconds it has learned, as seen here.
        for_ms: u64,
        /// If it was too slow: in how many milliseconds it may count again at the earliest.
        barred_for_ms: Option<u64>,
    },
    /// So many submissions wait because the window is full: some member lacks what was sent.
    Window {
        /// Submissions that wait.
        submissions: usize,
        /// For how many milliseconds some have waited without a pause.
        for_ms: u64,
    },
}

impl Wait {
    /// For how many milliseconds it has lasted, where that is known.
    pub const fn for_ms(&self) -> Option<u64> {
        match self {
            Self::Founders { for_ms, .. }
            | Self::Admission { for_ms }
            | Self::Majority { for_ms, .. }
            | Self::NextView { for_ms, .. }
            | Self::Member { for_ms, .. }
            | Self::Slow { for_ms, .. }
            | Self::State { for_ms, .. }
            | Self::Learner { for_ms, .. }
            | Self::Window { for_ms, .. } => Some(*for_ms),
            Self::Stranger { .. } => None,
        }
    }

    /// What will happen and when, in one sentence.
    pub fn outlook(&self) -> String {
        match self {
            Self::Founders { majority_in_ms: 0, .. } => {
                "the group is founded as soon as a majority of the declared nodes is here".to_owned()
            }
            Self::Founders { majority_in_ms, .. } => format!(
                "the group is founded when all declared nodes are here, or in {majority_in_ms} ms by a majority"
            ),
            Self::Admission { .. } => "a member admits this node with the next view".to_owned(),
            Self::Majority { unreachable, voters: 2, .. } if unreachable.len() == 1 => {
                "deliveries go on when it is back; until then submissions wait, for neither of two can know that \
                 the other is not alone: a third node as a witness would let the survivor go on"
                    .to_owned()
            }
            Self::Majority { .. } => {
                "deliveries go on when a majority is back; until then submissions wait".to_owned()
            }
            Self::Member { broken_link_in_ms: 0, .. } => {
                "one of the two is removed as soon as a majority agrees, unless it comes back".to_owned()
            }
            Self::Member { broken_link_in_ms, .. } => format!(
                "it is removed once another member has lost it, too; if only this link is broken, one of the two \
                 is removed in {broken_link_in_ms} ms"
            ),
            Self::Slow { policy, acts_in_ms: Some(in_ms), .. } => {
                let becomes = if policy == "demote" { "becomes a learner" } else { "is removed" };
                format!("by the policy `{policy}` it {becomes} in {in_ms} ms if it goes on")
            }
            Self::Slow { policy, .. } => format!("the others wait on, by the policy `{policy}`"),
            Self::State { donor: None, asks_in_ms, .. } => {
                let later = "nobody has this state, so this node asks to be admitted with a later one";
                asks_in_ms.map_or_else(|| later.to_owned(), |in_ms| format!("{later} in {in_ms} ms"))
            }
            Self::State { silent, asks_in_ms: Some(in_ms), .. } if !silent.is_empty() => format!(
                "it is asked for again in {in_ms} ms, of another member in turn; deliveries begin when it is here"
            ),
            Self::State { .. } => {
                "deliveries begin when the state is here; it comes from another member if this one falls silent"
                    .to_owned()
            }
            Self::Stranger { .. } => {
                "it is taken in once both are set up alike and one of them was restarted".to_owned()
            }
            Self::Learner { barred_for_ms: Some(in_ms), .. } => {
                format!("it becomes a data member once it has caught up, not before {in_ms} ms have passed")
            }
            Self::Learner { .. } => "it becomes a data member once it has caught up".to_owned(),
            Self::NextView { coordinator: None, .. } => {
                "the next view begins here once the messages before it have been fetched".to_owned()
            }
            Self::NextView { .. } => {
                "the members in reach agree on the next view, then all goes on".to_owned()
            }
            Self::Window { .. } => {
                "submissions go out as members acknowledge what they lack; one that falls silent is removed"
                    .to_owned()
            }
        }
    }
}

/// How far a member of a group is, as one node knows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MemberFrontier {
    /// The member.
    pub member: Member,
    /// Frames of the view that it has received, of all senders together.
    pub received_frames: u64,
    /// Bytes that it lacks of what a majority of the others has; `None` for this node's own, of which the others
    /// judge.
    pub behind_bytes: Option<usize>,
    /// For how many milliseconds it has lagged.
    pub behind_for_ms: Option<u64>,
}

/// A group as one node sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its order of delivery, as in the configuration.
    pub order: String,
    /// Whether each side of a partition goes on, and sides merge.
    pub partitionable: bool,
    /// What happens to a member that lags, as in the configuration.
    pub slow: String,
    /// For how many milliseconds it may.
    pub lag_for_ms: u64,
    /// By how many bytes it may be behind before it lags.
    pub lag_bytes: usize,
    /// The subjects bound to it.
    pub subjects: Vec<String>,
    /// The nodes that found it.
    pub founders: Vec<NodeId>,
    /// Founding nodes that vote and hold nothing.
    pub witnesses: Vec<NodeId>,
    /// The present view; `None` while this node is outside.
    pub view: Option<View>,
    /// This node's rank in it; `None` for a witness or an outsider.
    pub rank: Option<usize>,
    /// Whether deliveries stand still for want of a majority.
    pub wedged: bool,
    /// Whether the view is being closed.
    pub sealed: bool,
    /// Bytes that may still be submitted before the window is full.
    pub room_bytes: usize,
    /// Messages delivered here since the group was started.
    pub delivered_total: u64,
    /// How far its members are, by rank, and after them the learners. Empty at a witness.
    pub frontiers: Vec<MemberFrontier>,
    /// What it waits for.
    pub waits: Vec<Wait>,
}

/// The latest views.
#[derive(Debug, Default)]
pub(crate) struct Records(VecDeque<ViewRecord>);

impl Records {
    pub(crate) fn note(&mut self, view: &View) {
        if self.0.len() == RECORDS_MAX {
            self.0.pop_front();
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let installed_unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.push_back(ViewRecord { view: view.clone(), installed_unix_ms });
    }

    pub(crate) fn all(&self) -> Vec<ViewRecord> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::Incarnation;

    use super::*;

    #[test]
    fn the_survivor_of_two_is_told_that_a_witness_would_help_and_others_are_not() {
        let waits = |nodes: &[u64], voters| {
            let unreachable =
                nodes.iter().map(|node| Member::new(NodeId::new(*node), Incarnation::new(1))).collect();
            Wait::Majority { unreachable, voters, for_ms: 1 }.outlook()
        };
        assert!(waits(&[2], 2).contains("as a witness"));
        assert!(!waits(&[2], 3).contains("witness"), "it is not known yet whether the view still stands");
        assert!(!waits(&[2, 3], 3).contains("witness"));
    }
}
