//! The choice of congestion control.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How a link over QUIC finds out how much the network carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC (RFC 9438), which takes lost packets for a sign that the network is full, and shares it with what
    /// else uses it. On a long way it needs many seconds to recover from one burst of losses, and where packets are
    /// lost by chance it takes next to nothing.
    Cubic,
    /// BBR (version 1), which measures what arrives. The default: it fills long ways, also where packets are lost
    /// without the network being full, or because a machine is busy. Beside others that back off at losses it takes
    /// more than its share, and quinn calls its implementation experimental.
    #[default]
    Bbr,
    /// `NewReno` (RFC 9002), the plainest. It needs the longest to fill a long and fast way again.
    NewReno,
}

impl Congestion {
    const ALL: [Self; 3] = [Self::Cubic, Self::Bbr, Self::NewReno];
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::NewReno => "new-reno",
        })
    }
}

/// A word that names no congestion control.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no congestion control: choose cubic, bbr or new-reno")]
pub struct NotACongestion(String);

impl FromStr for Congestion {
    type Err = NotACongestion;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|congestion| congestion.to_string() == word);
        named.ok_or_else(|| NotACongestion(word.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_by_its_word() {
        for congestion in Congestion::ALL {
            assert_eq!(congestion.to_string().parse(), Ok(congestion));
        }
        let error = "vegas".parse::<Congestion>().expect_err("none of them");
        assert_eq!(error.to_string(), "`vegas` is no congestion control: choose cubic, bbr or new-reno");
    }
}
