//! Congestion control, which must not hold up the end of a connection.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use quinn::congestion::{Controller, ControllerFactory, CubicConfig};
use quinn_proto::RttEstimator;

use super::endpoint::UDP_PAYLOAD_BYTES_MAX;

/// Ten packets, as RFC 9002 recommends, but of the size that may be found out later. With the usual
/// 14,720 bytes two large packets fill the window, and one of them is the probe for that size:
/// control traffic would wait for it on every new link.
const INITIAL_WINDOW_BYTES: u64 = 10 * UDP_PAYLOAD_BYTES_MAX as u64;

/// Lets the last packet of one connection out whatever the window says.
///
/// quinn subjects the packet that says why a connection is closed to congestion control if other
/// data waits as well, and takes in no acknowledgements any more: it would never leave, and the peer
/// would not learn why, or only by a reset. Nothing but that packet is sent once this is given.
#[derive(Clone, Debug, Default)]
pub(super) struct CloseSignal(Arc<AtomicBool>);

impl CloseSignal {
    pub(super) fn give(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl ControllerFactory for CloseSignal {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(INITIAL_WINDOW_BYTES);
        let cubic = Arc::new(cubic).build(now, current_mtu);
        Box::new(UntilClosed { cubic, closing: (*self).clone() })
    }
}

/// Cubic until the signal is given.
struct UntilClosed {
    cubic: Box<dyn Controller>,
    closing: CloseSignal,
}

impl Controller for UntilClosed {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.cubic.on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.0.load(Ordering::Acquire) { u64::MAX } else { self.cubic.window() }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { cubic: self.cubic.clone_box(), closing: self.closing.clone() })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
