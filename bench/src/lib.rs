//! Workloads and their baselines.
//!
//! Most benchmarks compare two sides, ours and a baseline, in the same run: both are set up and warmed up, then
//! measured in turns, so that whatever else the machine does meets both alike. Where nothing compares, a figure stands
//! beside what is set or wanted. A figure is the median of its rounds with their range, and a ratio is the median of
//! the ratios of neighbouring rounds.

mod bus;
mod busy;
mod cluster;
mod control;
mod crypto;
mod error;
mod folder;
mod harness;
#[cfg(target_os = "linux")]
mod hosts;
mod large;
mod limits;
mod load;
mod machine;
#[cfg(target_os = "linux")]
mod memory;
mod multicast;
#[cfg(target_os = "linux")]
mod network;
mod nodes;
mod pace;
mod page;
mod place;
mod progress;
mod quic;
mod raw;
mod record;
mod remote;
mod report;
#[cfg(any(target_os = "linux", feature = "zenoh"))]
mod rivals;
mod runs;
mod sample;
mod scale;
mod schedule;
mod series;
mod size;
mod soak;
mod stage;
mod summary;
mod thirds;
mod transport;
mod usage;
mod views;

pub use bus::{BusArgs, NotATarget, Target, bus};
pub use control::{ControlArgs, control};
pub use crypto::{CryptoArgs, crypto};
pub use error::BenchError;
pub use large::{LargeArgs, large};
pub use machine::Machine;
#[cfg(target_os = "linux")]
pub use memory::{MemoryArgs, memory, memory_host};
pub use multicast::{MulticastArgs, NotSenders, Senders, multicast};
#[cfg(target_os = "linux")]
pub use network::{NetworkArgs, network, network_host};
pub use page::{Page, PageError};
pub use progress::Progress;
pub use quic::{QuicArgs, quic};
pub use record::{Bound, Record, Unit};
pub use remote::{Peers, ServeArgs, bus_to, multicast_to, serve, transport_to};
pub use report::Report;
#[cfg(target_os = "linux")]
pub use rivals::corosync::{CorosyncArgs, corosync, corosync_host};
pub use runs::{OfRuns, RunCount};
pub use scale::{ScaleArgs, scale};
pub use schedule::Schedule;
pub use series::{Percentiles, Quantile, Round, Series, SideSeries, Timeline};
pub use soak::{Disturbance, NotADisturbance, SoakArgs, soak};
pub use transport::{NotATransport, TransportArgs, TransportKind, transport};
pub use usage::Usage;
pub use views::{ViewsArgs, views};
