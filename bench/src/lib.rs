//! Workloads and their baselines.
//!
//! Most benchmarks compare two sides, ours and a baseline, in the same run: both are set up and warmed up, then
//! measured in turns, so that whatever else the machine does meets both alike. Where nothing compares, a figure stands
//! beside what is set or wanted. A figure is the median of its rounds with their range, and a ratio is the median of
//! the ratios of neighbouring rounds.

mod bus;
mod control;
mod crypto;
mod error;
#[cfg(target_os = "linux")]
mod hosts;
mod large;
mod measure;
#[cfg(target_os = "linux")]
mod memory;
mod multicast;
#[cfg(target_os = "linux")]
mod network;
mod places;
mod quic;
mod raw;
mod remote;
mod results;
#[cfg(any(target_os = "linux", feature = "zenoh"))]
mod rivals;
mod scale;
mod soak;
mod transport;
mod views;

pub use bus::{BusArgs, NotATarget, Target, bus};
pub use control::{ControlArgs, control};
pub use crypto::{CryptoArgs, crypto};
pub use error::BenchError;
pub use large::{LargeArgs, large};
pub use measure::{Machine, Schedule, Usage};
#[cfg(target_os = "linux")]
pub use memory::{MemoryArgs, memory, memory_host};
pub use multicast::{MulticastArgs, NotSenders, Senders, multicast};
#[cfg(target_os = "linux")]
pub use network::{NetworkArgs, network, network_host};
pub use quic::{QuicArgs, quic};
pub use remote::{Peers, ServeArgs, bus_to, multicast_to, serve, transport_to};
pub use results::{
    Bound, OfRuns, Page, PageError, Percentiles, Progress, Quantile, Record, Report, Round, RunCount, Series,
    SideSeries, Timeline, Unit,
};
#[cfg(target_os = "linux")]
pub use rivals::corosync::{CorosyncArgs, corosync, corosync_host};
pub use scale::{ScaleArgs, scale};
pub use soak::{Disturbance, NotADisturbance, SoakArgs, soak};
pub use transport::{NotATransport, TransportArgs, TransportKind, transport};
pub use views::{ViewsArgs, views};
