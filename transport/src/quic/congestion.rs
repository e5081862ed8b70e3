//! Congestion control: what quinn has, and what links need beside it.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, CubicConfig, NewRenoConfig};
use quinn_proto::RttEstimator;

use super::{carried::Carried, endpoint::UDP_PAYLOAD_BYTES_MAX};
use crate::Congestion;

/// Ten packets, as RFC 9002 recommends, but of the size that may be found out later. With the usual
/// 14,720 bytes two large packets fill the window, and one of them is the probe for that size:
/// control traffic would wait for it on every new link.
const INITIAL_WINDOW_BYTES: u64 = 10 * UDP_PAYLOAD_BYTES_MAX as u64;

/// The window never falls below so many packets, with which any connection begins (RFC 6928). The two of RFC 9002
/// would be left after some chance losses to a link that sends little and so never grows its window again; and since
/// quinn takes each packet for a full one, a few short messages on a long way would wait for each other.
const PACKETS_LEAST: u64 = 10;

/// So much may be on the way over a way however short: more was measured to cost throughput on loopback.
const FLIGHT_BYTES_LEAST: u64 = 1_250_000;
/// On a longer way it is what fits onto one of 10 Gbit/s.
const FLIGHT_BYTES_PER_MS: u64 = 1_250_000;

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

/// Makes the congestion control of one connection.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) congestion: Congestion,
    pub(super) closing: CloseSignal,
}

impl ControllerFactory for Control {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let chosen = match self.congestion {
            Congestion::Cubic => {
                let mut cubic = CubicConfig::default();
                cubic.initial_window(INITIAL_WINDOW_BYTES);
                Arc::new(cubic).build(now, current_mtu)
            }
            Congestion::Bbr => {
                let mut bbr = BbrConfig::default();
                bbr.initial_window(INITIAL_WINDOW_BYTES);
                Arc::new(bbr).build(now, current_mtu)
            }
            Congestion::NewReno => {
                let mut reno = NewRenoConfig::default();
                reno.initial_window(INITIAL_WINDOW_BYTES);
                Arc::new(reno).build(now, current_mtu)
            }
        };
        Box::new(Bounded {
            chosen,
            bounds: Bounds { mtu: current_mtu.into(), shortest: None },
            carried: (self.congestion == Congestion::Bbr).then(Carried::default),
            closing: self.closing.clone(),
        })
    }
}

/// Between what a window lies.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    mtu: u64,
    /// The shortest round trip so far.
    shortest: Option<Duration>,
}

impl Bounds {
    fn least(self) -> u64 {
        PACKETS_LEAST * self.mtu
    }

    fn most(self) -> u64 {
        let round_trip = self.shortest.unwrap_or_default().as_micros();
        (u128::from(FLIGHT_BYTES_PER_MS) * round_trip / 1_000)
            .try_into()
            .unwrap_or(u64::MAX)
            .max(FLIGHT_BYTES_LEAST)
    }
}

/// A congestion control of quinn within bounds, until the signal is given.
struct Bounded {
    chosen: Box<dyn Controller>,
    bounds: Bounds,
    /// Of BBR alone. The others let the window grow until there is a loss.
    carried: Option<Carried>,
    closing: CloseSignal,
}

impl Bounded {
    /// So much quinn's BBR may have on the way, however much it takes the way for: twice what that has carried lately,
    /// which is what BBR wants (section 4.2.3.2 of the draft).
    ///
    /// It takes a rate from each packet and the one before, keeps the largest, and forgets it never. Where
    /// acknowledgements come in bunches, or a way becomes narrower, about half of what it sent would be lost.
    fn most_of_bbr(&self) -> u64 {
        let carried = self.carried.as_ref().and_then(Carried::in_a_round_trip);
        carried.map_or(u64::MAX, |bytes| bytes.saturating_mul(2).max(INITIAL_WINDOW_BYTES))
    }
}

impl Controller for Bounded {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.chosen.on_sent(now, bytes, last_packet_number);
        if let Some(carried) = &mut self.carried {
            carried.on_sent(now);
        }
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.bounds.shortest = Some(rtt.min());
        if let Some(carried) = &mut self.carried {
            carried.on_ack(now, sent, bytes, !app_limited);
        }
        // To one that says that it has no more to send the window does not grow.
        // Else the window grows on behind its bound, and a loss would take nothing of what is on the way.
        let bounded = self.carried.is_none() && self.chosen.window() >= self.bounds.most();
        self.chosen.on_ack(now, sent, bytes, app_limited || bounded, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        self.chosen.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.chosen.on_congestion_event(now, sent, persistent, lost_bytes);
        if let Some(carried) = &mut self.carried {
            carried.on_loss();
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bounds.mtu = new_mtu.into();
        self.chosen.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.0.load(Ordering::Acquire) {
            return u64::MAX;
        }
        self.chosen.window().min(self.most_of_bbr()).clamp(self.bounds.least(), self.bounds.most())
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let chosen = self.chosen.clone_box();
        Box::new(Self { chosen, closing: self.closing.clone(), carried: self.carried.clone(), ..*self })
    }

    fn initial_window(&self) -> u64 {
        self.chosen.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1_452;

    fn bounds(round_trip: Duration) -> Bounds {
        Bounds { mtu: MTU.into(), shortest: Some(round_trip) }
    }

    fn control(congestion: Congestion) -> Box<dyn Controller> {
        let control = Control { congestion, closing: CloseSignal::default() };
        Arc::new(control).build(Instant::now(), MTU)
    }

    #[test]
    fn a_long_way_may_hold_more_than_a_short_one() {
        assert_eq!(bounds(Duration::from_micros(50)).most(), 1_250_000);
        assert_eq!(bounds(Duration::from_millis(1)).most(), 1_250_000);
        assert_eq!(bounds(Duration::from_millis(25)).most(), 31_250_000);
        assert_eq!(Bounds { mtu: 1, shortest: None }.most(), 1_250_000);
        assert_eq!(bounds(Duration::MAX).most(), u64::MAX);
    }

    #[test]
    fn after_any_losses_as_much_may_be_on_the_way_as_at_a_beginning() {
        for congestion in [Congestion::Cubic, Congestion::NewReno] {
            let mut control = control(congestion);
            assert_eq!(control.window(), INITIAL_WINDOW_BYTES);
            let begun = Instant::now();
            for lost in 1..100 {
                let now = begun + Duration::from_secs(lost);
                control.on_congestion_event(now, now, false, MTU.into());
            }
            assert_eq!(control.window(), 10 * u64::from(MTU), "{congestion}");
            control.on_mtu_update(6_500);
            assert_eq!(control.window(), 65_000, "{congestion}");
        }
    }

    #[test]
    fn the_last_packet_leaves_whatever_was_lost() {
        let closing = CloseSignal::default();
        let control = Control { congestion: Congestion::Bbr, closing: closing.clone() };
        let control = Arc::new(control).build(Instant::now(), MTU);
        assert!(control.window() < u64::MAX);
        closing.give();
        assert_eq!([control.window(), control.clone_box().window()], [u64::MAX; 2]);
    }
}
