//! Groups at a node.

#[cfg(test)]
pub(crate) mod alone;
mod asking;
mod bound;
mod codec;
mod events;
mod figures;
mod handle;
mod intake;
mod outlet;
mod perform;
mod publish;
mod record;
mod replication;
mod returned;
mod sent;
mod state;
mod status;
mod tail;
mod waiting;
mod withheld;

pub use asking::{Answers, Ended};
pub use events::{Behind, EventOptions, GroupEvent, GroupEvents};
pub use handle::{Group, Stopped};
pub use record::{GroupStatus, MemberFrontier, ViewRecord, Wait};
pub use sent::{SendAllError, SendError, Sent, SentAll};
pub use state::{GroupState, SnapshotError, SnapshotRequest, StateOptions};

#[cfg(test)]
pub(crate) use codec::encode;
pub(crate) use codec::{Packet, decode};
pub(crate) use intake::Intake;
pub(crate) use outlet::{Outgoing, Outlet};
pub(crate) use publish::{
    Begins, Covers, Done, Outcome, Publication, PublishBound, Resubscribe, Strays, Untail,
};
pub(crate) use replication::{Feed, Host, Marked, MarksWanted, Received, Replication, Stop};
pub(crate) use returned::{GiveBack, Retire, Returned};
pub(crate) use state::{Keeper, keeper};
pub(crate) use status::AskStatus;
pub(crate) use waiting::Asker;
