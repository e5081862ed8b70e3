//! A node: its actors, and who supervises them.

mod actor;
mod canary;
mod directory;
mod error;
mod handle;
mod joining;
mod lanes;
mod membership;
mod outlet;
mod pulse;
mod round_trip;
mod signs;
mod status;
mod telling;
#[cfg(test)]
mod tests;

pub use error::{JoinError, StartError, StopReason};
pub use handle::Node;
pub use round_trip::RoundTripError;
pub use status::{PeerStatus, Status};

pub(crate) use actor::{AskNodeStatus, NodeActor};
pub(crate) use canary::Canary;
pub(crate) use directory::Directory;
pub(crate) use joining::{AskGroup, GroupLeft};
pub(crate) use pulse::Pulse;
pub(crate) use signs::Signs;
