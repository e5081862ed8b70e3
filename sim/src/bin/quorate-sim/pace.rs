//! How fast runs are, by the time that the processor spent on them.

use std::{fmt, ops::AddAssign, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Simulated time, and what it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) simulated: Duration,
    /// What the processor spent on it, which other processes do not change.
    cpu: Duration,
}

/// Measures what this thread spends.
#[derive(Debug)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(spent())
    }

    /// The pace of what was simulated since the start.
    pub(crate) fn stop(&self, simulated: Duration) -> Pace {
        Pace { simulated, cpu: spent().saturating_sub(self.0) }
    }
}

/// What this thread has spent so far.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl AddAssign for Pace {
    fn add_assign(&mut self, other: Self) {
        self.simulated += other.simulated;
        self.cpu += other.cpu;
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (simulated, cpu) = (self.simulated.as_secs_f64(), self.cpu.as_secs_f64());
        let pace = if cpu > 0.0 { simulated * 60.0 / cpu } else { 0.0 };
        write!(f, "{simulated:.0} simulated seconds in {cpu:.1} s of CPU time: {pace:.0} per CPU minute")
    }
}
