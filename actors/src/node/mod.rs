//! A node: its actors, and who supervises them.

mod actor;
mod canary;
mod directory;
mod error;
mod handle;
mod lanes;
mod links;
mod membership;
mod status;

pub use error::{JoinError, StartError, StopReason};
pub use handle::Node;
pub use status::{PeerStatus, Status};

pub(crate) use canary::Canary;
pub(crate) use directory::Directory;
pub(crate) use links::{Outbox, Outboxes};
