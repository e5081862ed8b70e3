//! How connections are made and kept.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::Congestion;
use crate::FrameConfig;

/// What a configuration file says about connections; becomes a [`ConnectionConfig`] once it makes
/// sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSettings {
    /// See [`ConnectionConfig::bind`].
    pub bind: Option<SocketAddr>,
    /// See [`ConnectionConfig::idle_timeout`], in milliseconds.
    pub idle_timeout_ms: u32,
    /// See [`ConnectionConfig::handshake_timeout`], in milliseconds.
    pub handshake_timeout_ms: u32,
    /// See [`ConnectionConfig::handshakes_max`].
    pub handshakes_max: usize,
    /// See [`ConnectionConfig::lanes_max`].
    pub lanes_max: u32,
    /// See [`ConnectionConfig::lane_window_bytes`].
    pub lane_window_bytes: u32,
    /// See [`ConnectionConfig::congestion`].
    pub congestion: Congestion,
    /// See [`ConnectionConfig::datagram_queue_bytes`].
    pub datagram_queue_bytes: usize,
    /// See [`ConnectionConfig::clients_welcome`].
    pub clients_welcome: bool,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            bind: None,
            idle_timeout_ms: 10_000,
            handshake_timeout_ms: 5_000,
            handshakes_max: 128,
            lanes_max: 512,
            lane_window_bytes: 25_000_000,
            congestion: Congestion::Bbr,
            datagram_queue_bytes: 256 << 10,
            clients_welcome: true,
        }
    }
}

/// How connections are made and kept. Each node may choose its own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectionConfig {
    settings: ConnectionSettings,
    frames: FrameConfig,
}

impl ConnectionConfig {
    /// With other limits of frames, which all nodes of a cluster must share.
    #[must_use]
    pub fn with_frames(self, frames: FrameConfig) -> Self {
        Self { frames, ..self }
    }

    /// The limits of frames.
    pub fn frames(&self) -> &FrameConfig {
        &self.frames
    }

    /// The local address of the socket, where that differs from the one that peers are told, such
    /// as `0.0.0.0:7000` or behind a translation of addresses. Default: the one that peers are told.
    pub fn bind(&self) -> Option<SocketAddr> {
        self.settings.bind
    }

    /// Silence after which a connection is given up. Default 10 s: it only cleans up, since failures
    /// are found sooner by those who suspect. Three signs of life are sent in this time. At least
    /// 300 ms.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.idle_timeout_ms.into())
    }

    /// How often a sign of life is sent when there is nothing else.
    pub(crate) fn keep_alive(&self) -> Duration {
        self.idle_timeout() / 3
    }

    /// Time from the first packet to the end of the hellos, after which the attempt is given up.
    /// Default 5 s: room for some lost packets on a long way. Not zero.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.handshake_timeout_ms.into())
    }

    /// Handshakes with peers that dial this node at one time. One more ends the one that has taken
    /// longest, so that slow or malicious peers keep nobody else out. Default 128, not zero.
    pub fn handshakes_max(&self) -> usize {
        self.settings.handshakes_max
    }

    /// The most lanes that a peer may have open towards this node at one time; opening one more
    /// waits. Default 512. Together with `lane_window_bytes` it bounds what a peer can make this
    /// node hold: lanes times window.
    pub fn lanes_max(&self) -> u32 {
        self.settings.lanes_max
    }

    /// Bytes of a lane that may be on the way or wait for its reader. Default 25 MB: eight round
    /// trips of 25 ms at 1 Gbit/s. Two of them may be on the way at one time, and what was lost
    /// takes that long to come again, with everything behind it waiting; if it is lost again, twice. Raise it for longer or faster ways; how much of it a link makes use of is
    /// left to congestion control, which puts no more than 1.25 MB onto a way of 1 ms. A higher
    /// value lets a peer make this node hold more. Between nodes on one machine it is 1.25 MB at most. At least
    /// 16 KiB.
    pub fn lane_window_bytes(&self) -> u32 {
        self.settings.lane_window_bytes
    }

    /// How a link over QUIC finds out how much the network carries. Default [`Congestion::Bbr`];
    /// beside others that must get their share of a full network, [`Congestion::Cubic`]. Each side
    /// chooses for what it sends; between nodes on one machine it is Cubic. Over TCP the kernel chooses.
    pub fn congestion(&self) -> Congestion {
        self.settings.congestion
    }

    /// Bytes of datagrams that wait to be sent, and as many that wait to be taken, before the
    /// oldest are dropped. Default 256 KiB. At least 2 KiB.
    pub fn datagram_queue_bytes(&self) -> usize {
        self.settings.datagram_queue_bytes
    }

    /// Whether clients are let in, or nodes only. Default true.
    pub fn clients_welcome(&self) -> bool {
        self.settings.clients_welcome
    }
}

/// Why settings of connections make no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{field}` is {found}: it must be at least {least}")]
pub struct ConnectionSettingsError {
    /// The setting.
    pub field: &'static str,
    /// Its value.
    pub found: u64,
    /// The least that works.
    pub least: u64,
}

impl TryFrom<ConnectionSettings> for ConnectionConfig {
    type Error = ConnectionSettingsError;

    fn try_from(settings: ConnectionSettings) -> Result<Self, Self::Error> {
        for (field, found, least) in [
            ("idle_timeout_ms", settings.idle_timeout_ms.into(), 300),
            ("handshake_timeout_ms", settings.handshake_timeout_ms.into(), 1),
            ("handshakes_max", settings.handshakes_max as u64, 1),
            ("lanes_max", settings.lanes_max.into(), 3),
            ("lane_window_bytes", settings.lane_window_bytes.into(), 16 << 10),
            ("datagram_queue_bytes", settings.datagram_queue_bytes as u64, 2 << 10),
        ] {
            if found < least {
                return Err(ConnectionSettingsError { field, found, least });
            }
        }
        Ok(Self { settings, frames: FrameConfig::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_make_sense() {
        assert_eq!(
            ConnectionConfig::try_from(ConnectionSettings::default()),
            Ok(ConnectionConfig::default())
        );
    }

    #[test]
    fn a_setting_that_is_too_small_is_named() {
        let settings = ConnectionSettings { idle_timeout_ms: 0, ..ConnectionSettings::default() };
        let error = ConnectionConfig::try_from(settings).unwrap_err();
        assert_eq!(error.to_string(), "`idle_timeout_ms` is 0: it must be at least 300");
    }
}
