//! Counters that a test can look at.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString, Unit,
};

/// The counters of what happens on this thread, by name and label.
#[derive(Default)]
pub(crate) struct Counters(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Counters {
    pub(crate) fn install() -> (&'static Self, LocalRecorderGuard<'static>) {
        let counters: &'static Self = Box::leak(Box::default());
        (counters, metrics::set_default_local_recorder(counters))
    }

    /// How many peers were refused for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.get(&format!("quorate_peers_refused_total {reason}"))
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        let all = self.0.lock().expect("nobody panics while holding it");
        all.get(name).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        let name = key.name().to_owned() + &labels.collect::<String>();
        let mut all = self.0.lock().expect("nobody panics while holding it");
        Counter::from_arc(Arc::clone(all.entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
