use std::time::{Duration, SystemTime};

use quorate_membership::NodeId;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{ClientConnection, ServerConnection, pki_types::PrivateKeyDer};

use super::*;
use crate::{ClusterCa, Role, Validity};

fn ca(cluster: &str) -> ClusterCa {
    ClusterCa::create(cluster, Validity::days(10)).unwrap()
}

fn node(ca: &ClusterCa, number: u64, validity: Validity) -> Credentials {
    ca.issue_node(NodeId::new(number), validity).unwrap()
}

fn day() -> Validity {
    Validity::days(1)
}

/// What the dialling and the accepting side make of each other.
type Finding = Result<Identity, Refusal>;

fn meet(dialler: Credentials, acceptor: Credentials) -> (Finding, Finding) {
    let (dialler, acceptor) = (Tls::new(dialler).unwrap(), Tls::new(acceptor).unwrap());
    let (at_dialler, at_acceptor) = (Verdict::new(), Verdict::new());
    let config = dialler.dialling(&at_dialler).unwrap();
    let name = dialler.server_name();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    shake(client, &at_dialler, acceptor.accepting(&at_acceptor).unwrap(), &at_acceptor)
}

/// Carries bytes between both until the handshake is over or one has failed.
fn shake(
    mut client: ClientConnection,
    at_dialler: &Verdict,
    server: ServerConfig,
    at_acceptor: &Verdict,
) -> (Finding, Finding) {
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut outcome: [Option<Refusal>; 2] = [None, None];
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        if let Err(error) = server.process_new_packets() {
            outcome[1].get_or_insert(Refusal::of_tls(&error));
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        if let Err(error) = client.process_new_packets() {
            outcome[0].get_or_insert(Refusal::of_tls(&error));
        }
    }
    let [dialler, acceptor] = outcome;
    let finding = |verdict: &Verdict, failed: Option<Refusal>| match (verdict.refusal(), failed) {
        (Some(refusal), _) => Err(refusal.clone()),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Ok(verdict.holder().expect("the handshake is over").identity.clone()),
    };
    (finding(at_dialler, dialler), finding(at_acceptor, acceptor))
}

#[test]
fn nodes_of_one_cluster_know_each_other_after_the_handshake() {
    let ca = ca("prod");
    let (dialler, acceptor) = meet(node(&ca, 1, day()), node(&ca, 2, day()));
    assert_eq!(dialler.unwrap().node, NodeId::new(2));
    assert_eq!(acceptor.unwrap().node, NodeId::new(1));
}

#[test]
fn a_client_may_dial_a_node() {
    let ca = ca("prod");
    let client = ca.issue_client(NodeId::new(9), "reports", day()).unwrap();
    assert_eq!(meet(client, node(&ca, 2, day())).1.unwrap().role, Role::Client);
}

#[test]
fn a_client_is_no_node_to_dial() {
    let ca = ca("prod");
    let client = ca.issue_client(NodeId::new(9), "reports", day()).unwrap();
    let (dialler, _) = meet(node(&ca, 1, day()), client);
    assert!(matches!(dialler, Err(Refusal::NotANode(_))), "{dialler:?}");
}

#[test]
fn a_peer_of_another_cluster_is_refused_by_both_sides() {
    let (dialler, acceptor) = meet(node(&ca("prod"), 1, day()), node(&ca("test"), 2, day()));
    let Err(Refusal::UnknownAuthority { claimed: Some(claimed) }) = dialler else { panic!("{dialler:?}") };
    assert_eq!(claimed.to_string(), "quorate://test/node/2");

    // Whoever does the refusing, the other side learns of it from the alert.
    assert!(matches!(acceptor, Err(Refusal::RefusedByPeer(_))), "{acceptor:?}");
}

#[test]
fn a_cluster_of_the_same_name_is_another_cluster() {
    let (dialler, _) = meet(node(&ca("prod"), 1, day()), node(&ca("prod"), 2, day()));
    assert!(matches!(dialler, Err(Refusal::UnknownAuthority { .. })), "{dialler:?}");
}

#[test]
fn an_expired_certificate_is_refused_wherever_it_is_shown() {
    let ca = ca("prod");
    let now = SystemTime::now();
    let old = Validity { from: now - Duration::from_mins(10), until: now - Duration::from_mins(1) };
    assert_eq!(meet(node(&ca, 1, day()), node(&ca, 2, old)).0, Err(Refusal::Expired));
    let (dialler, acceptor) = meet(node(&ca, 1, old), node(&ca, 2, day()));
    assert_eq!(acceptor, Err(Refusal::Expired));
    assert!(matches!(dialler, Err(Refusal::RefusedByPeer(why)) if why.contains("not valid now")));
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let ca = ca("prod");
    let now = SystemTime::now();
    let coming = Validity { from: now + Duration::from_mins(10), until: now + Duration::from_mins(100) };
    assert_eq!(meet(node(&ca, 1, day()), node(&ca, 2, coming)).0, Err(Refusal::NotYetValid));
}

/// Dials a node of "prod", whose authority it knows, and shows the certificate of its own making
/// that these parameters describe, or none.
fn dial_with(shown: Option<CertificateParams>, protocols: &[&[u8]]) -> Finding {
    let acceptor = Tls::new(node(&ca("prod"), 2, day())).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(Arc::clone(&acceptor.servers));
    let mut config = match shown {
        Some(params) => {
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let (at_dialler, at_acceptor) = (Verdict::new(), Verdict::new());
    let client = ClientConnection::new(Arc::new(config), acceptor.server_name()).unwrap();
    let server = acceptor.accepting(&at_acceptor).unwrap();
    let (_, acceptor) = shake(client, &at_dialler, server, &at_acceptor);
    acceptor
}

#[test]
fn a_self_made_certificate_is_refused_whatever_it_claims() {
    let mut params = CertificateParams::default();
    let claim = "quorate://prod/node/1".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(claim)];
    let refused = dial_with(Some(params), &[ALPN]).unwrap_err();
    let Refusal::UnknownAuthority { claimed: Some(claimed) } = refused else { panic!("{refused}") };
    assert_eq!(claimed.node, NodeId::new(1));

    let nameless = dial_with(Some(CertificateParams::default()), &[ALPN]);
    assert_eq!(nameless, Err(Refusal::UnknownAuthority { claimed: None }));
}

#[test]
fn a_peer_without_a_certificate_is_refused() {
    assert_eq!(dial_with(None, &[ALPN]), Err(Refusal::NoCertificate));
}

#[test]
fn another_protocol_is_refused() {
    assert_eq!(dial_with(None, &[b"h3"]), Err(Refusal::OtherProtocol));
}

#[test]
fn a_certificate_of_the_authority_without_an_identity_is_refused() {
    let verdict = Verdict::new();
    let ca = ca("prod");
    let tls = Tls::new(node(&ca, 1, day())).unwrap();
    let key = KeyPair::generate().unwrap();
    let nameless = CertificateParams::default().self_signed(&key).unwrap();
    // As if rustls had accepted it: what is judged here is the identity alone.
    let judged = verdict.judge(Ok(()), nameless.der(), tls.credentials(), false);
    assert!(judged.is_err());
    assert!(matches!(verdict.refusal(), Some(Refusal::NoIdentity(_))));
}

#[test]
fn a_certificate_for_another_cluster_of_the_same_authority_is_refused() {
    let verdict = Verdict::new();
    let shown = node(&ca("test"), 1, day());
    let ours = node(&ca("prod"), 1, day());
    assert!(verdict.judge(Ok(()), &shown.leaf(), &ours, false).is_err());
    assert!(
        matches!(verdict.refusal(), Some(Refusal::OtherCluster { theirs, .. }) if theirs.as_str() == "test")
    );
}
