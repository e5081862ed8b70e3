//! Agreement on the next view: one decree of single-decree Paxos per view.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), section 2; Lamport, Malkhi and Zhou, "Vertical
//! Paxos and Primary-Backup Replication" (2009) for deciding a configuration by the one before.
//! The acceptors are the data members and witnesses of the present view. What is added here is
//! that a decree also carries the cut of the present view, and that the cut is held by enough
//! members of the next view before the decree is put to the vote.

mod acceptor;
mod breach;
mod coordinator;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use acceptor::{Acceptor, Outbid};
#[doc(hidden)]
pub use breach::Breach;
pub use coordinator::{Agreement, Coordinator, Phase, Plan, Step};

use crate::{Decree, NodeId, Seq};

/// Number of an attempt to close a view; unique because it names the node that attempts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts the attempts.
    pub round: u64,
    /// Who attempts.
    pub by: NodeId,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, self.by)
    }
}

/// A member's answer to the request to seal its view.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The ballot that is answered.
    pub ballot: Ballot,
    /// The decree accepted before, with its ballot.
    pub accepted: Option<(Ballot, Decree)>,
    /// Whether the member had activated the view that is to be closed.
    pub activated: bool,
    /// What it holds of the view: per data member the last frame received without a gap. Empty
    /// for witnesses and for members that have not activated.
    pub holdings: Vec<Seq>,
}
