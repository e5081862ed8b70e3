//! What the transports over sockets have in common.

mod base;
mod bind;
mod config;
mod congestion;
mod greeting;
mod handshakes;
mod heap;
mod log_budget;
mod task;

pub(crate) use base::{Base, Linked};
pub use bind::BindError;
pub(crate) use bind::{checked_greeter, is_dual_stack, size_buffers};
pub use config::{ConnectionConfig, ConnectionSettings, ConnectionSettingsError};
pub use congestion::{Congestion, NotACongestion};
pub(crate) use greeting::{Greeter, read_hello};
pub(crate) use handshakes::Handshakes;
pub(crate) use log_budget::LogBudget;
pub(crate) use task::Task;

use std::net::SocketAddr;

/// An address as people write it: not as IPv6 where it is IPv4 in disguise.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
