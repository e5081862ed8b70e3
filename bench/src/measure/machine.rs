//! On what a figure was measured.

use std::{fmt, fs, thread};

use serde::Serialize;

/// On what a figure was measured. Figures of different machines do not compare.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Machine {
    /// Processor cores that this process may use.
    pub cores: usize,
    /// What the processor calls itself; empty if it does not say.
    pub cpu: String,
    /// Release of the kernel; empty if it does not say.
    pub kernel: String,
    /// How the benchmark was compiled: `release` or `debug`.
    pub profile: &'static str,
    /// Processes that wanted to run in the minute before: above zero others disturb the figures.
    pub load_before: String,
}

impl Machine {
    /// Looks at the machine that this runs on.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| {
                line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
            })
            .unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            cpu,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores ({}), kernel {}, {} build, load before {}",
            self.cores, self.cpu, self.kernel, self.profile, self.load_before
        )?;
        if self.profile == "debug" {
            f.write_str("\na debug build: its figures mean nothing, measure with --release")?;
        }
        Ok(())
    }
}

/// Processor seconds that a process has used, where the system tells; it is named by its number, or `self`.
pub(crate) fn cpu_seconds(process: &str) -> Option<f64> {
    // Fields 14 and 15, counted after the name in parentheses, which may contain blanks. Linux
    // counts them in hundredths of a second towards programs, whatever its own tick is.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(f64::from(user + system) / 100.0)
}

/// Processor seconds that all that ran on this machine has used since it was started, where the system tells.
pub(crate) fn machine_cpu_seconds() -> Option<f64> {
    used(&fs::read_to_string("/proc/stat").ok()?)
}

/// Of the first line of what Linux says of all processors, in hundredths of a second: user, nice, system, idle, waiting
/// for a disk, interrupts of both kinds. What follows was another machine's, or is counted among these.
fn used(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(7);
    let fields = fields.map(|field| field.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let &[user, nice, system, _, _, hard, soft] = &fields[..] else { return None };
    Some((user + nice + system + hard + soft) as f64 / 100.0)
}

/// Bytes of memory that a process (`self` for this one) has resident, where the system tells.
pub(crate) fn resident_bytes(process: &str) -> Option<u64> {
    memory(process, "VmRSS:")
}

/// The most bytes of memory that a process has had resident since the peak was forgotten.
pub(crate) fn peak_resident_bytes(process: &str) -> Option<u64> {
    memory(process, "VmHWM:")
}

fn memory(process: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?;
    kib.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_its_cores() {
        assert!(Machine::here().cores >= 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn used_processor_time_grows() {
        let before = cpu_seconds("self").expect("Linux tells");
        let begun = std::time::Instant::now();
        while cpu_seconds("self").expect("Linux tells") <= before {
            assert!(begun.elapsed() < std::time::Duration::from_mins(1), "it works all the time");
        }
    }

    #[test]
    fn time_in_which_no_processor_worked_is_not_used() {
        let stat = "cpu  100 20 30 9000 8000 4 6 7000 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!((used(stat), used("cpu  1 2"), used("intr 1")), (Some(1.6), None, None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_written_to_is_resident() {
        // Other tests of this process give memory back meanwhile.
        let written = std::hint::black_box(vec![7_u8; 64 << 20]);
        let (now, peak) = (resident_bytes("self"), peak_resident_bytes("self"));
        assert!(now >= Some(written.len() as u64) && peak >= now, "{now:?} {peak:?}");
        assert_eq!(resident_bytes("no process"), None);
    }
}
