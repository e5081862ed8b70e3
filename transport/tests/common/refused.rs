//! Peers that are not let in, of every kind, beside a link that goes on.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::LocalRecorderGuard;
use quorate_membership::NodeId;
use quorate_transport::{
    BindError, CloseReason, ClusterCa, ConnectError, ConnectionConfig, Credentials, FrameSettings, Hello,
    Lane, LaneReceiver, LaneSender, Link, Transport, Validity, codec::encode_hello,
};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{ClientConfig, pki_types::PrivateKeyDer};

use super::{
    Kind, authority, bind, config, counters::Counters, frame, greeting, hello, link, node, settings,
    strangers, to,
};

/// A node, n2 of "prod", with a link from n1.
struct World<'a> {
    kind: &'a dyn Kind,
    ca: ClusterCa,
    listener: Arc<dyn Transport>,
    links: (Arc<dyn Link>, Arc<dyn Link>),
    lane: (Box<dyn LaneSender>, Box<dyn LaneReceiver>),
    counters: &'static Counters,
    _guard: LocalRecorderGuard<'static>,
    _dialer: Arc<dyn Transport>,
}

impl<'a> World<'a> {
    async fn new(kind: &'a dyn Kind, config: ConnectionConfig) -> Self {
        let (counters, guard) = Counters::install();
        let ca = authority("prod");
        let listener = bind(kind, node(&ca, 2), config);
        let dialer = bind(kind, node(&ca, 1), super::config());
        let (ours, theirs) = link(&*dialer, &*listener).await;
        let mut sender = ours.open(Lane::Data(1)).await.expect("the link stands");
        sender.send(&mut [frame("first")].into()).await.expect("the link stands");
        let (_, receiver) = theirs.accept().await.expect("the link stands");
        let (links, lane) = ((ours, theirs), (sender, receiver));
        Self { kind, ca, listener, links, lane, counters, _guard: guard, _dialer: dialer }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    async fn dial_with(&self, credentials: Credentials) -> Result<Arc<dyn Link>, ConnectError> {
        bind(self.kind, credentials, config()).connect(&to(&*self.listener)).await
    }

    async fn stranger(&self, tls: ClientConfig, says: &[u8]) {
        self.kind.dial_as_stranger(tls, self.addr(), says.to_vec()).await;
    }

    /// Ends the world: the listener has refused one peer for this reason, has shown nobody to the
    /// application, and the good link has noticed nothing.
    async fn refused_for(mut self, reason: &str) {
        self.counted(reason).await;
        self.goes_on().await;
        let nobody = tokio::time::timeout(Duration::from_millis(20), self.listener.accept()).await;
        assert!(nobody.is_err(), "a refused peer was let in");
    }

    /// The stranger may know of the refusal before it is counted.
    async fn counted(&self, reason: &str) {
        let counted = async {
            while self.counters.refused(reason) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(5), counted).await;
        assert!(in_time.is_ok(), "nobody was refused for {reason}");
        assert_eq!(self.counters.refused(reason), 1);
    }

    async fn goes_on(&mut self) {
        let (sender, receiver) = &mut self.lane;
        sender.send(&mut [frame("still here")].into()).await.expect("the link stands");
        let mut got = Vec::new();
        while got.last() != Some(&frame("still here")) {
            assert!(receiver.recv(&mut got).await.expect("the link stands"));
        }
        assert!(self.links.1.peer().dialed_us);
    }
}

fn now_and(from_s: i64, until_s: i64) -> Validity {
    let at = |seconds: i64| {
        let duration = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { SystemTime::now() - duration } else { SystemTime::now() + duration }
    };
    Validity { from: at(from_s), until: at(until_s) }
}

fn handshake_error(result: Result<Arc<dyn Link>, ConnectError>) -> String {
    match result {
        Err(ConnectError::Handshake { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_node_of_another_cluster_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let why = handshake_error(world.dial_with(node(&authority("test"), 3)).await);
    assert!(why.contains("not issued by the authority") && why.contains("quorate://prod/node/2"), "{why}");
    assert_eq!(world.counters.refused("unknown_authority"), 1);
    world.refused_for("refused_by_peer").await;
}

pub(crate) async fn an_expired_certificate_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let expired = world.ca.issue_node(NodeId::new(3), now_and(-600, -60)).unwrap();
    let why = handshake_error(world.dial_with(expired).await);
    assert!(why.contains("not valid now"), "{why}");
    world.refused_for("expired").await;
}

pub(crate) async fn a_certificate_of_the_future_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let coming = world.ca.issue_node(NodeId::new(3), now_and(600, 1200)).unwrap();
    let why = handshake_error(world.dial_with(coming).await);
    assert!(why.contains("not valid now"), "{why}");
    world.refused_for("not_yet_valid").await;
}

pub(crate) async fn a_listener_with_an_expired_certificate_is_refused(kind: &dyn Kind) {
    let mut world = World::new(kind, config()).await;
    let expired = world.ca.issue_node(NodeId::new(3), now_and(-600, -60)).unwrap();
    let stale = bind(kind, expired, config());
    let dialer = bind(kind, node(&world.ca, 4), config());
    let why = handshake_error(dialer.connect(&to(&*stale)).await);
    assert!(why.contains("expired"), "{why}");
    assert_eq!(world.counters.refused("expired"), 1);
    world.goes_on().await;
}

pub(crate) async fn a_self_made_certificate_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("quorate://prod/node/1".try_into().unwrap())];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    world.stranger(strangers::tls(&world.ca, Some((vec![certificate], key))), b"").await;
    world.refused_for("unknown_authority").await;
}

pub(crate) async fn a_peer_without_a_certificate_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    world.stranger(strangers::tls(&world.ca, None), b"").await;
    world.refused_for("no_certificate").await;
}

pub(crate) async fn another_protocol_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let mut tls = strangers::tls_of_node(&world.ca, 5);
    tls.alpn_protocols = vec![b"h3".to_vec()];
    world.stranger(tls, b"").await;
    world.refused_for("other_protocol").await;
}

pub(crate) async fn a_client_is_refused_where_only_nodes_are_let_in(kind: &dyn Kind) {
    let world = World::new(kind, settings(|settings| settings.clients_welcome = false)).await;
    let client = world.ca.issue_client(NodeId::new(9), "reports", Validity::days(1)).unwrap();
    let refused = world.dial_with(client).await;
    let Err(ConnectError::Refused { why: CloseReason::Refused(why), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("only nodes"), "{why}");
    world.refused_for("clients_not_welcome").await;
}

pub(crate) async fn a_number_that_was_given_twice_is_refused(kind: &dyn Kind) {
    let mut world = World::new(kind, config()).await;
    let why = handshake_error(world.dial_with(node(&world.ca, 2)).await);
    assert!(why.contains("identity of this node"), "{why}");
    world.goes_on().await;
}

pub(crate) async fn an_insider_that_says_nothing_is_given_up(kind: &dyn Kind) {
    let world = World::new(kind, settings(|settings| settings.handshake_timeout_ms = 300)).await;
    world.stranger(strangers::tls_of_node(&world.ca, 5), b"").await;
    world.refused_for("too_slow").await;
}

pub(crate) async fn an_insider_that_babbles_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    world.stranger(strangers::tls_of_node(&world.ca, 5), b"GET / HTTP/1.1\r\n\r\n").await;
    world.refused_for("bad_hello").await;
}

pub(crate) async fn a_hello_of_another_cluster_than_the_certificate_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let mut lying = greeting(&node(&world.ca, 5));
    lying.hello.cluster = String::from("test");
    world.stranger(strangers::tls_of_node(&world.ca, 5), &encode_hello(&lying).unwrap()).await;
    world.refused_for("disagreement").await;
}

pub(crate) async fn arbitrary_bytes_at_the_port_disturb_nobody(kind: &dyn Kind) {
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    let mut world = World::new(kind, config()).await;
    let mut chance = StdRng::seed_from_u64(7);
    let mut text = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for _ in 0..40 {
        kind.throw(text, world.addr()).await;
        text = (0..chance.random_range(1..1400)).map(|_| chance.random()).collect();
    }
    world.goes_on().await;
    let (welcome, theirs) = tokio::join!(world.dial_with(node(&world.ca, 3)), world.listener.accept());
    assert_eq!(welcome.expect("it belongs here").peer().member.node, NodeId::new(2));
    assert_eq!(theirs.expect("it is open").peer().member.node, NodeId::new(3));
}

pub(crate) async fn silent_peers_keep_nobody_out(kind: &dyn Kind) {
    let world = World::new(kind, settings(|settings| settings.handshakes_max = 4)).await;
    let tls = strangers::tls_of_node(&world.ca, 5);
    let mut silent: Vec<_> = (0..8).map(|_| Box::pin(world.stranger(tls.clone(), b""))).collect();
    let all_silent = futures_util::future::join_all(silent.iter_mut());
    let welcome = async {
        // The first of the silent are given up for the others, then for the honest one.
        while world.counters.refused("too_slow") < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::join!(world.dial_with(node(&world.ca, 3)), world.listener.accept())
    };
    let (welcome, theirs) = tokio::select! {
        biased;
        met = welcome => met,
        _ = all_silent => panic!("they were to be silent for longer than this takes"),
    };
    assert_eq!(welcome.expect("it belongs here").peer().member.node, NodeId::new(2));
    assert_eq!(theirs.expect("it is open").peer().member.node, NodeId::new(3));
}

pub(crate) async fn what_cannot_be_bound_is_said(kind: &dyn Kind) {
    let ca = authority("prod");
    let at = |credentials: Credentials, listens: Option<SocketAddr>| {
        let hello = Hello { listens, ..hello(&credentials) };
        kind.bind(credentials, hello, config())
    };
    let taken = bind(kind, node(&ca, 1), config());
    let refused = at(node(&ca, 2), Some(taken.local_addr()));
    assert!(
        matches!(refused, Err(BindError::AddressInUse(addr)) if addr == taken.local_addr()),
        "{refused:?}"
    );
    let elsewhere: SocketAddr = "192.0.2.1:7000".parse().unwrap();
    let refused = at(node(&ca, 2), Some(elsewhere));
    assert!(matches!(refused, Err(BindError::AddressNotAvailable(addr)) if addr == elsewhere), "{refused:?}");
    let client = ca.issue_client(NodeId::new(9), "reports", Validity::days(1)).unwrap();
    let refused = at(client.clone(), Some("127.0.0.1:0".parse().unwrap()));
    assert!(matches!(refused, Err(BindError::ClientListens)), "{refused:?}");
    let foreign = Hello { cluster: "test".to_owned(), ..hello(&client) };
    let refused = kind.bind(client.clone(), foreign, config());
    assert!(matches!(refused, Err(BindError::Cluster { .. })), "{refused:?}");
    let long = Hello { listens: None, ..hello(&client) };
    let outside = std::thread::scope(|scope| {
        scope.spawn(|| kind.bind(client, long, config()).map(drop)).join().expect("it does not panic")
    });
    assert!(matches!(outside, Err(BindError::NoRuntime)), "{outside:?}");
}

pub(crate) async fn a_node_with_other_limits_of_frames_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let large = FrameSettings { payload_bytes_max: 100 << 20, ..FrameSettings::default() };
    let lenient = config().with_frames(large.try_into().unwrap());
    let refused = bind(kind, node(&world.ca, 3), lenient).connect(&to(&*world.listener)).await;
    let why = handshake_error(refused);
    assert!(why.contains("`payload_bytes_max` is 67174400 at the peer and 104857600 here"), "{why}");
    world.refused_for("other_limits").await;
}

pub(crate) async fn an_insider_of_another_version_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    let mut newer = greeting(&node(&world.ca, 5));
    newer.hello.versions = (1000, 1001);
    world.stranger(strangers::tls_of_node(&world.ca, 5), &encode_hello(&newer).unwrap()).await;
    world.refused_for("other_version").await;
}

/// Where a port takes connections before anything is encrypted.
pub(crate) async fn plain_text_is_refused(kind: &dyn Kind) {
    let world = World::new(kind, config()).await;
    kind.throw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), world.addr()).await;
    world.refused_for("not_tls").await;
}
