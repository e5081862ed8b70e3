//! A bound on what strangers can make this side write into its log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets so many lines through per second, and counts the rest.
#[derive(Debug)]
pub(crate) struct LogBudget {
    lines_per_second: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogBudget {
    pub(crate) const fn new(lines_per_second: u32) -> Self {
        let state = State { since: None, lines: 0, left_out: 0 };
        Self { lines_per_second, state: Mutex::new(state) }
    }

    /// Whether one more line may be written now, and how many were left out since the last.
    pub(crate) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (state.since, state.lines) = (Some(now), 0);
        }
        if state.lines >= self.lines_per_second {
            state.left_out += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_second_is_counted_and_told_later() {
        let budget = LogBudget::new(2);
        let start = Instant::now();
        let taken = [0, 100, 200, 999].map(|ms| budget.take(start + Duration::from_millis(ms)));
        assert_eq!(taken, [Some(0), Some(0), None, None]);
        assert_eq!(budget.take(start + Duration::from_secs(1)), Some(2));
        assert_eq!(budget.take(start + Duration::from_millis(1500)), Some(0));
        assert_eq!(budget.take(start + Duration::from_millis(1900)), None);
    }
}
