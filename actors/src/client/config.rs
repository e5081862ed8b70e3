//! What a client is told before it connects.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use quorate_membership::{Incarnation, Member, NodeId};
use quorate_protocols::bus::is_name;
use quorate_transport::Hello;
use serde::{Deserialize, Serialize};

use crate::config::{SettingsError, VERSIONS};

/// A client, as it is written into a profile.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// The number of the client; its certificate carries it too. Several processes may share it.
    pub client: u64,
    /// The name of the cluster; its certificates carry it too.
    pub cluster: String,
    /// Where nodes accept links. The first that answers is used, in this order of preference; the
    /// others are linked as well, so that the client goes on at once when that one is lost.
    pub endpoints: Vec<SocketAddr>,
    /// Milliseconds within which a node has to answer. Default 5000.
    #[serde(default)]
    pub connect_within_ms: Option<u64>,
}

/// What a client is told before it connects; made of [`ClientSettings`]. Each is a life of its own.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    member: Member,
    session: u64,
    cluster: String,
    endpoints: Vec<SocketAddr>,
    connect_within: Duration,
}

impl ClientSettings {
    /// A client with defaults for everything else.
    pub fn new(client: u64, cluster: impl Into<String>, endpoints: Vec<SocketAddr>) -> Self {
        Self { client, cluster: cluster.into(), endpoints, connect_within_ms: None }
    }
}

impl ClientConfig {
    /// The client in its present life.
    pub const fn member(&self) -> Member {
        self.member
    }

    /// Tells apart processes that share a number and began at the same instant.
    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Where nodes accept links.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    /// How long a node may take to answer.
    pub const fn connect_within(&self) -> Duration {
        self.connect_within
    }

    /// What the client says of itself on each link; transports want it.
    pub fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            features: 0,
            cluster: self.cluster.clone(),
            incarnation: self.member.incarnation,
            listens: None,
        }
    }
}

impl TryFrom<ClientSettings> for ClientConfig {
    type Error = SettingsError;

    fn try_from(raw: ClientSettings) -> Result<Self, SettingsError> {
        if !is_name(&raw.cluster) {
            return Err(SettingsError::Cluster(raw.cluster));
        }
        if raw.endpoints.is_empty() {
            return Err(SettingsError::NoEndpoints);
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // The process number tells apart clients that begin within the same nanosecond.
        let session = u64::from(since.subsec_nanos()) << 32 | u64::from(std::process::id());
        let life = Incarnation::new(u64::try_from(since.as_millis()).unwrap_or(1).max(1));
        Ok(Self {
            member: Member::new(NodeId::new(raw.client), life),
            session,
            cluster: raw.cluster,
            endpoints: raw.endpoints,
            connect_within: Duration::from_millis(raw.connect_within_ms.unwrap_or(5000)),
        })
    }
}
