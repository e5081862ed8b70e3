//! What the tests of the transports over sockets share.

#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod by_hand;
pub(crate) mod counters;
pub(crate) mod lies;
pub(crate) mod links;
pub(crate) mod refused;
pub(crate) mod renewal;
pub(crate) mod strangers;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::future::{BoxFuture, ready};
use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{
    BindError, ClusterCa, ConnectionConfig, ConnectionSettings, CredentialError, Credentials, Endpoint,
    Frame, Hello, Link, Role, Transport, Validity,
    codec::Greeting,
    conformance::{Factory, Profile},
};

use self::by_hand::Insider;

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

/// And has the limits that everybody has.
pub(crate) fn greeting(credentials: &Credentials) -> Greeting {
    Greeting { hello: hello(credentials), limits: config().frames().into() }
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

/// Replaces the credentials of a transport.
pub(crate) type Replace = Box<dyn Fn(Credentials) -> Result<(), CredentialError>>;

/// A transport, and how its credentials are replaced.
pub(crate) fn replaceable<T: Transport>(
    transport: T,
    replace: fn(&T, Credentials) -> Result<(), CredentialError>,
) -> (Arc<dyn Transport>, Replace) {
    let transport = Arc::new(transport);
    let other = Arc::clone(&transport);
    (transport, Box::new(move |credentials| replace(&other, credentials)))
}

/// One of the transports over sockets.
pub(crate) trait Kind: Sync {
    fn bind_replaceable(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<(Arc<dyn Transport>, Replace), BindError>;

    fn bind(
        &self,
        credentials: Credentials,
        hello: Hello,
        config: ConnectionConfig,
    ) -> Result<Arc<dyn Transport>, BindError> {
        self.bind_replaceable(credentials, hello, config).map(|(transport, _)| transport)
    }

    /// Dials with any TLS, says something where the hello belongs, and returns once the other side
    /// has hung up or said something itself.
    fn dial_as_stranger(&self, tls: rustls::ClientConfig, to: SocketAddr, says: Vec<u8>)
    -> BoxFuture<'_, ()>;

    /// Throws bytes at a port.
    fn throw(&self, bytes: Vec<u8>, to: SocketAddr) -> BoxFuture<'_, ()>;

    /// Opens a link as n5, by hand.
    fn insider<'a>(&'a self, ca: &'a ClusterCa, to: SocketAddr) -> BoxFuture<'a, Box<dyn Insider>>;
}

/// A kind of transport as the suite of all transports wants it.
pub(crate) struct Conforming<'a>(&'a dyn Kind, Authorities);

impl<'a> Conforming<'a> {
    pub(crate) fn new(kind: &'a dyn Kind) -> Self {
        Self(kind, Authorities::default())
    }
}

impl Factory for Conforming<'_> {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let credentials = self.1.credentials(&profile);
        let config = settings(|settings| settings.handshake_timeout_ms = 1_000).with_frames(profile.frames);
        Box::pin(ready(self.0.bind(credentials, profile.hello, config).expect("any port")))
    }
}

/// Functions of a module of this one as tests of a kind of transport.
#[macro_export]
macro_rules! socket_tests {
    ($kind:expr; $module:ident: $($test:ident)*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::common::$module::$test(&$kind).await;
        })*
    };
}

/// All that holds of every kind of transport over sockets: who is not let in, how credentials are
/// renewed, what links promise beyond what all links do, and what becomes of a peer that lies.
#[macro_export]
macro_rules! kind_tests {
    ($kind:expr) => {
        $crate::socket_tests! { $kind; refused:
            a_node_of_another_cluster_is_refused
            an_expired_certificate_is_refused
            a_certificate_of_the_future_is_refused
            a_listener_with_an_expired_certificate_is_refused
            a_self_made_certificate_is_refused
            a_peer_without_a_certificate_is_refused
            another_protocol_is_refused
            a_client_is_refused_where_only_nodes_are_let_in
            a_number_that_was_given_twice_is_refused
            an_insider_that_says_nothing_is_given_up
            an_insider_that_babbles_is_refused
            a_hello_of_another_cluster_than_the_certificate_is_refused
            arbitrary_bytes_at_the_port_disturb_nobody
            silent_peers_keep_nobody_out
            what_cannot_be_bound_is_said
            a_node_with_other_limits_of_frames_is_refused
            an_insider_of_another_version_is_refused
        }
        $crate::socket_tests! { $kind; renewal:
            new_links_show_the_new_certificate_and_old_ones_stay
            a_revoked_peer_loses_its_link_and_gets_no_other
            what_cannot_replace_the_credentials_is_said
        }
        $crate::socket_tests! { $kind; lies:
            a_lie_on_a_lane_ends_its_link_alone
        }
        $crate::socket_tests! { $kind; links:
            all_promises_of_a_transport_are_kept
            a_link_outlives_the_runtime_that_dialled_it
            a_node_opens_lanes_to_a_client
            one_lane_more_than_allowed_waits_for_another_to_end
            lanes_given_up_while_they_are_opened_do_no_harm
            a_quiet_link_stays
            a_vanished_peer_is_noticed
            a_link_that_is_closed_amid_its_traffic_says_why
            what_was_sent_before_the_transport_closed_arrives
        }
    };
}

pub(crate) fn bind(
    kind: &dyn Kind,
    credentials: Credentials,
    config: ConnectionConfig,
) -> Arc<dyn Transport> {
    let hello = hello(&credentials);
    kind.bind(credentials, hello, config).expect("any port")
}

pub(crate) fn to(listener: &dyn Transport) -> Endpoint {
    Endpoint { node: None, addr: listener.local_addr() }
}

pub(crate) fn frame(payload: &'static str) -> Frame {
    Frame { header: "h".into(), body: vec![payload.into()].into() }
}

pub(crate) async fn link(dialer: &dyn Transport, listener: &dyn Transport) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let there = to(listener);
    let (ours, theirs) = tokio::join!(dialer.connect(&there), listener.accept());
    (ours.expect("it belongs here"), theirs.expect("it is open"))
}
