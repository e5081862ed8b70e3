//! Faults on demand: wraps any transport and lets a network be as bad as a test needs it.
//!
//! Wrap the transports of all nodes with one [`Faults`](crate::faults::Faults), and change it while they run. Datagrams
//! meet their fate where they are sent, streams where they are received, hence both ends have to be
//! wrapped. What is not ruled on passes as if there were no wrapper.

mod lane;
mod link;
mod packets;
mod rules;
mod transport;

pub(crate) use packets::Losses;
pub use packets::PacketLoss;
pub use rules::{FaultTiming, Faults, Rule};
pub use transport::FaultyTransport;
