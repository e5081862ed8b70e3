//! Actor-based group communication: nodes, groups and one message bus.

mod codec;
mod perform;
mod replication;
mod subject;

pub use codec::{DecodeError, EncodeError, Packet, decode, encode};
pub use replication::{BusyError, Clock, GroupHandle, Outgoing, SendError, Stopped};
pub use subject::{Pattern, Subject, SubjectError};

pub use quorate_membership as membership;
pub use quorate_protocols as protocols;
