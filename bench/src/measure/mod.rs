//! How two sides are measured: what is sent, at which pace and how often, and what a round of it gives and costs.

mod busy;
mod harness;
mod limits;
mod load;
mod machine;
mod pace;
mod sample;
mod schedule;
mod usage;

pub use machine::Machine;
pub use schedule::Schedule;
pub use usage::Usage;

pub(crate) use busy::Busy;
pub(crate) use harness::{Case, Harness, Side};
#[cfg(target_os = "linux")]
pub(crate) use limits::check_mtus;
pub(crate) use limits::{MESSAGE_BYTES_MAX, check_latency_sizes, check_lost, check_pace, check_sizes};
pub(crate) use load::{BATCH_BYTES, Load, STAMPED_BYTES_MIN, Walker, frame_batch};
pub(crate) use machine::{cpu_seconds, machine_cpu_seconds, peak_resident_bytes, resident_bytes};
pub(crate) use pace::{Pace, Turns};
pub(crate) use sample::{Latencies, Reading, Sample};
pub(crate) use usage::Meter;
