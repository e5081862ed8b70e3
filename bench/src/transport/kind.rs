//! The transports that can be measured.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A transport that can be measured.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TransportKind {
    /// QUIC.
    Quic,
    /// TCP, with the same TLS.
    Tcp,
    /// Within the process.
    Memory,
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quic, Self::Tcp, Self::Memory];
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::Memory => "memory",
        })
    }
}

/// A word that names no transport.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a transport: choose quic, tcp or memory")]
pub struct NotATransport(String);

impl FromStr for TransportKind {
    type Err = NotATransport;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == word).ok_or_else(|| NotATransport(word.into()))
    }
}
