//! What machines tell each other about a measurement: frames of JSON on the control lane of a link, which is trusted.

use std::net::SocketAddr;

use bytes::Bytes;
use quorate::protocols::Order;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::BenchError;

/// Counts on whenever these words change. Before there were any, a machine said at once where its baseline is.
const VERSION: u32 = 1;

/// What a machine is asked that serves others. It answers each with what it [`Said`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Ask {
    /// Where is the baseline?
    Baseline,
    /// Run a node that is a member of a group, and say where it listens.
    Join { members: Vec<u64>, seeds: Vec<SocketAddr>, order: Order },
    /// Wait until all members are in one view.
    Await,
    /// Subscribe to this subject, and answer what comes if it is requests.
    Subscribe { subject: String, requests: bool },
    /// Count what the group delivers until the last message of a round.
    CountGroup,
    /// Count what comes on the subject until the last message of a round.
    CountSubject,
    /// Stop the node.
    Leave,
}

/// What it answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Said {
    /// The baseline is there.
    Baseline(RawAt),
    /// The node listens on this port.
    Joined { port: u16 },
    /// It is done.
    Done,
    /// So many messages came.
    Counted(u64),
    /// It cannot be done.
    Refused(String),
}

/// Where the baseline of a peer listens, and the certificate that it shows: told over a link that is trusted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RawAt {
    pub(super) port: u16,
    pub(super) certificate: Vec<u8>,
    /// What a stream has to begin with: bare connections prove nothing themselves.
    pub(super) token: [u8; TOKEN_BYTES],
}

pub(super) const TOKEN_BYTES: usize = 16;

#[derive(Deserialize, Serialize)]
struct Versioned<T> {
    version: u32,
    words: T,
}

/// What every version says.
#[derive(Default, Deserialize)]
struct Version {
    #[serde(default)]
    version: u32,
}

/// Writes words with their version.
pub(super) fn encode(words: &impl Serialize) -> Result<Bytes, BenchError> {
    serde_json::to_vec(&Versioned { version: VERSION, words }).map(Bytes::from).map_err(BenchError::ours)
}

/// Reads words of the present version.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BenchError> {
    let Version { version } = serde_json::from_slice(body).unwrap_or_default();
    if version != VERSION {
        return Err(BenchError::Ours(format!(
            "the other machine speaks version {version} of the words of this benchmark, and this one version \
             {VERSION}: run the same release of quorate on both"
        )));
    }
    serde_json::from_slice(body).map(|Versioned { words, .. }| words).map_err(BenchError::ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written_and_those_of_other_versions_are_refused() {
        let body = encode(&Said::Counted(7)).expect("JSON");
        assert!(matches!(decode(&body), Ok(Said::Counted(7))));
        for (other, named) in
            [(&br#"{"version":2,"sung":1}"#[..], "version 2"), (b"{\"port\":1}", "version 0")]
        {
            let refused = decode::<Said>(other).expect_err("other words").to_string();
            assert!(refused.contains(named) && refused.contains("the same release"), "{refused}");
        }
    }
}
