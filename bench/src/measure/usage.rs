//! What a piece of work cost the processes that did it.

use std::{fs, time::Instant};

use serde::Serialize;

use super::{cpu_seconds, peak_resident_bytes};

/// What a piece of work cost the process that did it, or the processes of its members. Where both sides of a
/// comparison live in one process they stay set up while the other works, so memory is that of the whole process,
/// counted anew for each round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Processor time that all threads used together, in seconds and to a hundredth; `null` where the system
    /// does not tell.
    pub cpu_seconds: Option<f64>,
    /// The most memory that a process had resident meanwhile, in bytes; `null` where the system does not tell.
    pub peak_resident_bytes: Option<u64>,
}

impl Usage {
    /// Processor cores that were kept busy, on average.
    pub fn cores(&self) -> Option<f64> {
        self.cpu_seconds.map(|cpu| cpu / self.seconds)
    }
}

/// Looks at what some processes use from now on.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    /// Its number, or `self`.
    name: String,
    cpu: Option<f64>,
    peak_is_new: bool,
}

impl Meter {
    /// Looks at the processes with these numbers, or `self`. One that ends meanwhile must not be waited for until the
    /// meter was stopped: the system keeps its processor time, but not its peak, until then.
    pub(crate) fn start_of(names: impl IntoIterator<Item = String>) -> Self {
        let processes = names.into_iter().map(|name| {
            // Linux forgets the peak on this word, and counts from what is resident now.
            let peak_is_new = fs::write(format!("/proc/{name}/clear_refs"), "5").is_ok();
            Process { cpu: cpu_seconds(&name), name, peak_is_new }
        });
        let processes = processes.collect();
        Self { begun: Instant::now(), processes }
    }

    /// What they used together; memory is that of the one that had the most.
    pub(crate) fn stop(self) -> Usage {
        let seconds = self.begun.elapsed().as_secs_f64();
        // The system counts hundredths; their difference has no more digits.
        let hundredths = |seconds: f64| (seconds * 100.0).round() / 100.0;
        let cpu = |process: &Process| Some(cpu_seconds(&process.name)? - process.cpu?);
        let known = self.processes.iter().filter(|process| process.peak_is_new);
        Usage {
            seconds,
            // Of no process nothing is known, which is not the same as none.
            cpu_seconds: self
                .processes
                .iter()
                .map(cpu)
                .reduce(|sum, each| Some(sum? + each?))
                .flatten()
                .map(hundredths),
            peak_resident_bytes: known.filter_map(|process| peak_resident_bytes(&process.name)).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_peak_is_seen_after_its_memory_was_given_back_and_forgotten_by_the_next_meter() {
        const MUCH: u64 = 256 << 20;
        let peak = |work: fn()| {
            let meter = Meter::start_of(["self".to_owned()]);
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
    #[cfg(target_os = "linux")]
    fn a_process_that_has_ended_is_counted_until_it_is_waited_for() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let number = child.id().to_string();
        let meter = || Meter::start_of([number.clone()]);
        let (while_it_runs, afterwards) = (meter(), meter());
        let usage = while_it_runs.stop();
        assert!(usage.cpu_seconds.is_some() && usage.peak_resident_bytes > Some(0), "{usage:?}");
        child.kill().expect("it runs");
        assert!(afterwards.stop().cpu_seconds.is_some());
        let late = meter();
        child.wait().expect("it has ended");
        let usage = late.stop();
        assert_eq!((usage.cpu_seconds, usage.peak_resident_bytes), (None, None));
    }

    #[test]
    fn of_no_process_nothing_is_known() {
        let usage = Meter::start_of([]).stop();
        assert_eq!((usage.cpu_seconds, usage.peak_resident_bytes), (None, None));
    }

    #[test]
    fn cores_are_processor_time_over_time() {
        let usage = Usage { seconds: 2.0, cpu_seconds: Some(3.0), peak_resident_bytes: None };
        assert_eq!(usage.cores(), Some(1.5));
        assert_eq!(Usage { cpu_seconds: None, ..usage }.cores(), None);
    }
}
