//! What the tests of the transports over sockets share.

#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod counters;
pub(crate) mod refused;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{
    BindError, ClusterCa, ConnectionConfig, ConnectionSettings, Credentials, Hello, Role, Transport,
    Validity, conformance::Profile,
};

/// Authorities by the names of their clusters.
#[derive(Default)]
pub(crate) struct Authorities(Mutex<HashMap<String, ClusterCa>>);

impl Authorities {
    pub(crate) fn credentials(&self, profile: &Profile) -> Credentials {
        let mut all = self.0.lock().expect("no test panics while it holds this");
        let ca =
            all.entry(profile.hello.cluster.clone()).or_insert_with(|| authority(&profile.hello.cluster));
        match profile.role {
            Role::Client => ca.issue_client(profile.node, "a client", Validity::days(1)),
            _ => ca.issue_node(profile.node, Validity::days(1)),
        }
        .expect("the validity makes sense")
    }
}

pub(crate) fn authority(cluster: &str) -> ClusterCa {
    ClusterCa::create(cluster, Validity::days(2)).expect("the name is one of a cluster")
}

pub(crate) fn node(ca: &ClusterCa, number: u64) -> Credentials {
    ca.issue_node(NodeId::new(number), Validity::days(1)).expect("the validity makes sense")
}

/// Says no more than what everybody says.
pub(crate) fn hello(credentials: &Credentials) -> Hello {
    let identity = credentials.identity();
    Hello {
        versions: (1, 1),
        features: 0,
        cluster: identity.cluster.to_string(),
        incarnation: Incarnation::new(1),
        listens: (identity.role == Role::Node).then(|| SocketAddr::from(([127, 0, 0, 1], 0))),
    }
}

/// Patient with a busy machine, but not where an answer never comes.
pub(crate) fn config() -> ConnectionConfig {
    settings(|_| {})
}

pub(crate) fn settings(change: impl FnOnce(&mut ConnectionSettings)) -> ConnectionConfig {
    let mut settings = ConnectionSettings { handshake_timeout_ms: 2_000, ..ConnectionSettings::default() };
    change(&mut settings);
    settings.try_into().expect("the settings make sense")
}

/// One of the transports over sockets.
pub(crate) trait Kind: Sync {
    fn bind(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<Arc<dyn Transport>, BindError>;

    /// Dials with any TLS, says something where the hello belongs, and returns once the other side
    /// has hung up or said something itself.
    fn dial_as_stranger(&self, tls: rustls::ClientConfig, to: SocketAddr, says: Vec<u8>)
    -> BoxFuture<'_, ()>;

    /// Throws bytes at a port.
    fn throw(&self, bytes: Vec<u8>, to: SocketAddr) -> BoxFuture<'_, ()>;
}

/// What is expected of each of them, as tests.
#[macro_export]
macro_rules! socket_tests {
    ($kind:expr; $($test:ident)*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::common::refused::$test(&$kind).await;
        })*
    };
}
