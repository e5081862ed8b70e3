//! What a node counts for those who watch it from outside.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

pub(super) const MESSAGES: &str = "quorate_group_messages_delivered_total";
pub(super) const BYTES: &str = "quorate_group_payload_bytes_delivered_total";

/// The exported counters of what groups deliver on the thread where this is the recorder: those of one node, since each
/// has a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Exported {
    messages: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Exported {
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Recorder for Exported {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            MESSAGES => Counter::from_arc(Arc::clone(&self.messages)),
            BYTES => Counter::from_arc(Arc::clone(&self.bytes)),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_groups_deliver_is_counted_and_nothing_else() {
        let exported = Exported::default();
        metrics::with_local_recorder(&exported, || {
            metrics::counter!(MESSAGES).increment(2);
            metrics::counter!(BYTES).increment(30);
            metrics::counter!("quorate_stalls_total").increment(5);
        });
        metrics::counter!(MESSAGES).increment(7);
        assert_eq!((exported.messages(), exported.bytes()), (2, 30));
    }
}
