//! How long the threads of a process have run, finer than in the hundredths of a second that the system counts for
//! whole processes.

use std::{collections::BTreeMap, ffi::OsString, fs, time::Duration};

/// How long each thread of a process has run. What has ended is not among them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Busy(BTreeMap<OsString, Duration>);

impl Busy {
    /// Looks at a process, which is named by its number, or `self`. `None` where the system does not tell.
    pub(crate) fn of(process: &str) -> Option<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task")).ok()? {
            let entry = entry.ok()?;
            // One that ends between the two looks is not among them either.
            let Ok(said) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let nanos = said.split_whitespace().next()?.parse().ok()?;
            threads.insert(entry.file_name(), Duration::from_nanos(nanos));
        }
        (!threads.is_empty()).then_some(Self(threads))
    }

    /// How long they have run since an earlier look, together; those that are new, as long as they live.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let ran = self
            .0
            .iter()
            .map(|(thread, now)| now.saturating_sub(before.0.get(thread).copied().unwrap_or_default()));
        ran.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(threads: &[(&str, u64)]) -> Busy {
        let each = |&(name, millis): &(&str, u64)| (name.into(), Duration::from_millis(millis));
        Busy(threads.iter().map(each).collect())
    }

    #[test]
    fn threads_that_begin_are_counted_and_those_that_ended_take_nothing_back() {
        let ran = busy(&[("2", 25), ("3", 5)]).since(&busy(&[("1", 90), ("2", 20)]));
        assert_eq!(ran, Duration::from_millis(10));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_of_less_than_a_hundredth_of_a_second_is_seen() {
        let before = Busy::of("self").expect("Linux tells");
        let begun = std::time::Instant::now();
        loop {
            let ran = Busy::of("self").expect("Linux tells").since(&before);
            if ran > Duration::ZERO {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "it works all the time");
        }
        assert_eq!(Busy::of("no process"), None);
    }
}
