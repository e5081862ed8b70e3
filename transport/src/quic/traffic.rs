//! What goes out on a network.

use std::ops::Add;

use super::QuicTransport;

/// What the links of a transport have sent since each began, with everything that QUIC and TLS add and all that
/// was sent again. The headers of IP and UDP are not counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// Packets of UDP.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Packets that did not arrive, as far as QUIC took them for lost, and whose content was sent again.
    pub lost: u64,
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            lost: self.lost + other.lost,
        }
    }
}

impl QuicTransport {
    /// What the links that stand have sent so far. A link that ends takes its share with it.
    pub fn traffic(&self) -> Traffic {
        let links = self.inner.base.links();
        links.iter().map(|link| link.traffic()).fold(Traffic::default(), Traffic::add)
    }
}
