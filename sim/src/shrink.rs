//! The search for the smallest schedule that still fails.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{Schedule, Violation};

/// Drops fault after fault, then halves the spans of those left, as long as the same property stays
/// broken; ends when a whole pass has made nothing smaller.
pub fn shrink(schedule: &Schedule, property: &str, run: impl Fn(&Schedule) -> Option<Violation>) -> Schedule {
    let fails = |fewer: &Schedule| {
        // A variant in which the core trips over its own assertion fails in another way.
        let tried = catch_unwind(AssertUnwindSafe(|| run(fewer)));
        tried.ok().flatten().is_some_and(|violation| violation.property == property)
    };
    let mut smallest = schedule.clone();
    loop {
        let before = smallest.clone();
        drop_faults(&mut smallest, &fails);
        shorten_spans(&mut smallest, &fails);
        if smallest == before {
            return smallest;
        }
    }
}

fn drop_faults(smallest: &mut Schedule, fails: &impl Fn(&Schedule) -> bool) {
    let mut many = smallest.0.len() / 2;
    while many > 0 {
        let mut index = 0;
        while index < smallest.0.len() {
            let mut fewer = smallest.clone();
            fewer.0.drain(index..(index + many).min(fewer.0.len()));
            if fails(&fewer) {
                *smallest = fewer;
            } else {
                index += many;
            }
        }
        many /= 2;
    }
}

fn shorten_spans(smallest: &mut Schedule, fails: &impl Fn(&Schedule) -> bool) {
    for index in 0..smallest.0.len() {
        let (begin, end) = (smallest.0[index].0, smallest.0[index].1);
        let half = end.since(begin) / 2;
        let mut shorter = smallest.clone();
        shorter.0[index].1 = begin + half;
        if half >= Duration::from_millis(10) && fails(&shorter) {
            *smallest = shorter;
        }
    }
}
