//! Settings of bare quinn: those that were chosen, and others to compare them with.

use std::{
    any::Any,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    AckFrequencyConfig, MtuDiscoveryConfig, TransportConfig, VarInt,
    congestion::{BbrConfig, Controller, ControllerFactory, NewRenoConfig},
};

use super::Cipher;

/// Bytes of a packet that IPv4 and UDP need.
const UDP_HEADERS: u16 = 28;
/// A third of how long a connection may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How bare quinn is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(super) cipher: Cipher,
    /// The largest packet, on both sides.
    pub(super) mtu_bytes: u16,
    pub(super) socket_buffer_bytes: Option<usize>,
    /// One thing that differs from what was chosen.
    other: Option<Other>,
}

/// One setting that differs from what was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Other {
    /// MTU discovery up to so many bytes.
    Mtu(u16),
    /// The socket buffers that the system gives by itself.
    SystemBuffers,
    /// Socket buffers of so many bytes, where the system allows them.
    Buffers(usize),
    /// A system call for each packet.
    NoSegmentation,
    /// So many bytes of a stream on their way at most, and twice as many of a connection.
    StreamWindow(u32),
    /// Acknowledgements as seldom as the extension for it lets quinn ask for.
    AckFrequency,
    NewReno,
    Bbr,
    /// Neither congestion control nor pacing, which quinn lets go only together: windows alone bound what is on its way.
    Uncontrolled,
    /// Streams one after the other and not in turns.
    Unfair,
}

impl Other {
    /// All that are compared.
    pub(crate) const ALL: [Self; 13] = [
        Self::Mtu(1200),
        Self::Mtu(1452),
        Self::Mtu(6553),
        Self::SystemBuffers,
        Self::Buffers(16 << 20),
        Self::NoSegmentation,
        Self::StreamWindow(256 << 10),
        Self::StreamWindow(16 << 20),
        Self::AckFrequency,
        Self::NewReno,
        Self::Bbr,
        Self::Uncontrolled,
        Self::Unfair,
    ];
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(bytes) => write!(f, "MTU discovery up to {bytes}"),
            Self::SystemBuffers => f.write_str("socket buffers of the system"),
            Self::Buffers(bytes) => write!(f, "socket buffers of {} MiB", bytes >> 20),
            Self::NoSegmentation => f.write_str("no segmentation offload"),
            Self::StreamWindow(bytes) => write!(f, "stream window of {} KiB", bytes >> 10),
            Self::AckFrequency => f.write_str("acknowledgement frequency"),
            Self::NewReno => f.write_str("NewReno"),
            Self::Bbr => f.write_str("BBR"),
            Self::Uncontrolled => f.write_str("no congestion control and no pacing"),
            Self::Unfair => f.write_str("no fairness between streams"),
        }
    }
}

impl Tuning {
    /// The best settings found. Ten segments of a system call must fit into the 65,507 bytes of a UDP datagram,
    /// so no packet is above 6550; smaller buffers lose packets by the thousand at full speed.
    pub(crate) const CHOSEN: Self =
        Self { cipher: Cipher::CHOSEN, mtu_bytes: 6500, socket_buffer_bytes: Some(4 << 20), other: None };

    /// The same with another cipher.
    pub(crate) const fn ciphered(cipher: Cipher) -> Self {
        Self { cipher, ..Self::CHOSEN }
    }

    /// The same but for one thing.
    pub(crate) const fn but(other: Other) -> Self {
        let chosen = Self { other: Some(other), ..Self::CHOSEN };
        match other {
            Other::Mtu(mtu_bytes) => Self { mtu_bytes, ..chosen },
            Other::SystemBuffers => Self { socket_buffer_bytes: None, ..chosen },
            Other::Buffers(bytes) => Self { socket_buffer_bytes: Some(bytes), ..chosen },
            _ => chosen,
        }
    }

    /// The same on a link that carries packets of so many bytes: nothing longer is tried there.
    pub(crate) fn for_link(mtu: u16) -> Self {
        Self { mtu_bytes: Self::CHOSEN.mtu_bytes.min(mtu.saturating_sub(UDP_HEADERS)), ..Self::CHOSEN }
    }

    pub(super) fn transport(self) -> TransportConfig {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.mtu_bytes);
        let mut transport = TransportConfig::default();
        transport.mtu_discovery_config(Some(discovery));
        // While others have their turns a side is silent, maybe for longer than quinn bears with.
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        match self.other {
            None | Some(Other::Mtu(_) | Other::SystemBuffers | Other::Buffers(_)) => {}
            Some(Other::NoSegmentation) => drop(transport.enable_segmentation_offload(false)),
            Some(Other::StreamWindow(bytes)) => {
                transport.stream_receive_window(VarInt::from_u32(bytes)).send_window(u64::from(bytes) * 2);
            }
            Some(Other::AckFrequency) => {
                let mut frequency = AckFrequencyConfig::default();
                frequency.max_ack_delay(Some(Duration::from_millis(25)));
                transport.ack_frequency_config(Some(frequency));
            }
            Some(Other::NewReno) => {
                transport.congestion_controller_factory(Arc::new(NewRenoConfig::default()));
            }
            Some(Other::Bbr) => {
                transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
            }
            Some(Other::Uncontrolled) => {
                transport.congestion_controller_factory(Arc::new(Uncontrolled));
            }
            Some(Other::Unfair) => {
                transport.send_fairness(false);
            }
        }
        transport
    }
}

/// A congestion window so large that quinn does not pace either.
#[derive(Clone, Copy, Debug)]
struct Uncontrolled;

impl Uncontrolled {
    const WINDOW_BYTES: u64 = 1 << 40;
}

impl ControllerFactory for Uncontrolled {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

impl Controller for Uncontrolled {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        Self::WINDOW_BYTES
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }

    fn initial_window(&self) -> u64 {
        Self::WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_is_longer_than_the_link_carries_or_segments_of_a_call_may_be() {
        assert_eq!([1500, u16::MAX].map(|mtu| Tuning::for_link(mtu).mtu_bytes), [1472, 6500]);
    }
}
