//! Agreement on the next view: one decree of single-decree Paxos per view.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), section 2; Lamport, Malkhi and Zhou, "Vertical
//! Paxos and Primary-Backup Replication" (2009) for deciding a configuration by the one before.
//! The acceptors are the data members and witnesses of the present view. What is added here is
//! that a decree also carries the cut of the present view, and that the cut is held by enough
//! members of the next view before the decree is put to the vote.

mod acceptor;
mod coordinator;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use acceptor::{Acceptor, Outbid};
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

/// A rule of the view change that is broken on purpose, so that the simulator can be shown to
/// notice. Never set outside tests of the tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Breach {
    /// A member acts on a decree that it has only accepted.
    InstallUndecided,
    /// A minority of answers closes a view.
    CloseByMinority,
    /// A decree is put to the vote though nobody but the coordinator holds its cut.
    AcceptWithoutHolding,
    /// The cut is the minimum of what the answers hold.
    MinimumCut,
    /// The cut is not closed under causality.
    OpenCut,
    /// A message is called uniform as soon as its sender holds it.
    UniformTooEarly,
    /// Frames are freed once a majority has them.
    FreeTooEarly,
    /// A new coordinator ignores what was accepted before.
    ForgetAccepted,
    /// A sealed member goes on receiving, acknowledging and delivering.
    SealLeaks,
    /// A sealed member goes on sending.
    SealedSends,
    /// Heartbeats, frames and acknowledgements of an earlier life of a node are accepted.
    StaleIncarnation,
    /// The clock of a sender counts although frames before it are missing.
    ClockOverGap,
    /// Of messages with the same time stamp each member delivers its own first.
    TiesToOneself,
    /// An acceptor forgets what it has promised.
    BreakPromise,
    /// A member reports what it holds of an earlier view as holdings of one it has not entered.
    ContributeUnactivated,
    /// A newcomer counts as a holder of the cut before it has said so.
    CountLearners,
    /// A learner calls itself ready before it has its state.
    ReadyTooEarly,
    /// A member enters the next view without what it has not delivered yet of the one before.
    EnterWithoutCut,
    /// A coordinator never gives up an attempt that got stuck.
    NeverRetry,
    /// The transitional set has everybody in the new view, wherever they come from.
    TransitionalTooLarge,
    /// A member that stood still goes on without asking whether its view is still current.
    ServeAfterStall,
}
