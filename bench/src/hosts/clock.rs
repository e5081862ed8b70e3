//! The clock that the processes of a system share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The system's monotonic clock.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    now.try_into().expect("it counts from when the system started")
}
