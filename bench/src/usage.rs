//! What a piece of work cost the process that did it.

use std::{fs, time::Instant};

use serde::Serialize;

use crate::machine::cpu_seconds;

/// What a piece of work cost the process that did it. Both sides of a comparison live in one process and stay
/// set up while the other works, so memory is that of the whole process, counted anew for each round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Processor time that all threads used together, in seconds and to a hundredth; `null` where the system
    /// does not tell.
    pub cpu_seconds: Option<f64>,
    /// The most memory that was resident meanwhile, in bytes; `null` where the system does not tell.
    pub peak_resident_bytes: Option<u64>,
}

impl Usage {
    /// Processor cores that were kept busy, on average.
    pub fn cores(&self) -> Option<f64> {
        self.cpu_seconds.map(|cpu| cpu / self.seconds)
    }
}

/// Looks at what this process uses from now on.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    cpu: Option<f64>,
    peak_is_new: bool,
}

impl Meter {
    pub(crate) fn start() -> Self {
        // Linux forgets the peak on this word, and counts from what is resident now.
        let peak_is_new = fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { begun: Instant::now(), cpu: cpu_seconds(), peak_is_new }
    }

    pub(crate) fn stop(self) -> Usage {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu_seconds = self.cpu.zip(cpu_seconds()).map(|(before, now)| now - before);
        let peak_resident_bytes = self.peak_is_new.then(peak_resident).flatten();
        Usage { seconds, cpu_seconds, peak_resident_bytes }
    }
}

/// The most memory that this process has had resident since the peak was forgotten, in bytes.
fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    kib.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_peak_is_seen_after_its_memory_was_given_back_and_forgotten_by_the_next_meter() {
        const MUCH: u64 = 256 << 20;
        let peak = |work: fn()| {
            let meter = Meter::start();
            work();
            meter.stop().peak_resident_bytes.expect("Linux tells")
        };
        let begun = Instant::now();
        // Tests beside this one use memory and forget the peak, too; they come to an end.
        loop {
            let with = peak(|| drop(std::hint::black_box(vec![1_u8; MUCH as usize])));
            let without = peak(|| ());
            if with >= MUCH && without + MUCH / 2 < with {
                break;
            }
            assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{without} without, {with} with");
        }
    }

    #[test]
    fn cores_are_processor_time_over_time() {
        let usage = Usage { seconds: 2.0, cpu_seconds: Some(3.0), peak_resident_bytes: None };
        assert_eq!(usage.cores(), Some(1.5));
        assert_eq!(Usage { cpu_seconds: None, ..usage }.cores(), None);
    }
}
