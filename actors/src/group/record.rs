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
    },
    /// This node asks to be admitted.
    Admission,
    /// No majority of the view is in reach: nothing is delivered.
    Majority {
        /// Who is out of reach.
        unreachable: Vec<Member>,
    },
    /// The view is being closed: what is sent goes out in the next one.
    NextView,
    /// A member is out of reach.
    Member {
        /// The member's node.
        node: NodeId,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// The others wait for a member that lags.
    Slow {
        /// The member.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
        /// For how many milliseconds it has lagged.
        for_ms: u64,
        /// Whether the group's policy acts if it goes on.
        policy_acts: bool,
    },
    /// This member is a newcomer whose state is on its way.
    State {
        /// Who sends it.
        donor: Option<NodeId>,
        /// Bytes that have come.
        received_bytes: u64,
        /// Bytes of the whole, once that is known.
        length_bytes: Option<u64>,
    },
    /// A learner has to catch up before it counts.
    Learner {
        /// The learner.
        member: Member,
        /// Bytes that it lacks.
        bytes: usize,
    },
    /// So many submissions wait because the window is full: some member lacks what was sent.
    Window {
        /// Submissions that wait.
        submissions: usize,
    },
}

impl Wait {
    /// What will happen, in one sentence.
    pub fn outlook(&self) -> &'static str {
        match self {
            Self::Founders { .. } => {
                "the group is founded as soon as a majority of the declared nodes is here"
            }
            Self::Admission => "a member admits this node with the next view",
            Self::Majority { .. } => "deliveries go on when a majority is back; until then submissions wait",
            Self::Member { .. } => "it is removed once another member has lost it, too, or comes back",
            Self::Slow { policy_acts: true, .. } => "the group's policy for slow members acts if it goes on",
            Self::Slow { .. } => "the others wait on: the group has no policy for slow members",
            Self::State { .. } => {
                "deliveries begin when the state is here; it comes from another member if this one falls silent"
            }
            Self::Learner { .. } => "it becomes a data member once it has caught up",
            Self::NextView => "the members in reach agree on the next view, then all goes on",
            Self::Window { .. } => {
                "submissions go out as members acknowledge what they lack; one that falls silent is removed"
            }
        }
    }
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
    /// The subjects bound to it.
    pub subjects: Vec<String>,
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
