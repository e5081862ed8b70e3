//! Credentials that are replaced, and revoked, while links stand.

use std::time::{Duration, SystemTime};

use quorate_membership::NodeId;
use quorate_transport::{
    CloseReason, ConnectError, CredentialError, Credentials, LinkError, RevocationList, Validity,
};

use super::{Kind, authority, bind, config, counters::Counters, hello, link, node, to};

fn bind_replaceable(
    kind: &dyn Kind,
    credentials: Credentials,
) -> (std::sync::Arc<dyn quorate_transport::Transport>, super::Replace) {
    let hello = hello(&credentials);
    kind.bind_replaceable(credentials, hello, config()).expect("any port")
}

pub(crate) async fn new_links_show_the_new_certificate_and_old_ones_stay(kind: &dyn Kind) {
    let ca = authority("prod");
    let (old, new) = (node(&ca, 1), node(&ca, 1));
    let without_old = ca.revoke(&RevocationList::default(), [old.serial()]).expect("they are numbers");
    let (renewed, replace) = bind_replaceable(kind, old);
    let patient = bind(kind, node(&ca, 2), config());
    let (ours, theirs) = link(&*renewed, &*patient).await;
    let strict = node(&ca, 3).with_revoked(without_old).expect("it is from the same authority");
    let strict = bind(kind, strict, config());
    // To neither side is the old certificate good enough any more.
    let refused = renewed.connect(&to(&*strict)).await;
    assert!(
        matches!(&refused, Err(ConnectError::Handshake { why, .. }) if why.contains("revoked")),
        "{refused:?}"
    );
    let refused = strict.connect(&to(&*renewed)).await;
    assert!(
        matches!(&refused, Err(ConnectError::Handshake { why, .. }) if why.contains("revoked")),
        "{refused:?}"
    );
    replace(new).expect("it is of the same node");
    link(&*renewed, &*strict).await;
    link(&*strict, &*renewed).await;
    ours.open(quorate_transport::Lane::Control).await.expect("the link stands");
    theirs.accept().await.expect("the link stands");
}

pub(crate) async fn a_revoked_peer_loses_its_link_and_gets_no_other(kind: &dyn Kind) {
    let (counters, _guard) = Counters::install();
    let ca = authority("prod");
    let (lost, stays) = (node(&ca, 1), node(&ca, 3));
    let credentials = node(&ca, 2);
    let (listener, replace) = bind_replaceable(kind, credentials.clone());
    let list = ca.revoke(&RevocationList::default(), [lost.serial()]).expect("they are numbers");
    let (lost, stays) = (bind(kind, lost, config()), bind(kind, stays, config()));
    let (of_lost, with_lost) = link(&*lost, &*listener).await;
    let (of_other, with_other) = link(&*stays, &*listener).await;

    replace(credentials.with_revoked(list).expect("it is from the same authority")).expect("the same holder");

    let revoked = CloseReason::Refused("your certificate was revoked".to_owned());
    assert_eq!(with_lost.closed().await, LinkError::ClosedHere(revoked.clone()));
    assert_eq!(of_lost.closed().await, LinkError::ClosedByPeer(revoked));
    assert_eq!(counters.get("quorate_links_revoked_total"), 1);
    let again = lost.connect(&to(&*listener)).await;
    assert!(matches!(again, Err(ConnectError::Handshake { .. })), "{again:?}");
    // The dialler may know of the refusal before the listener has counted it.
    let counted = async {
        while counters.refused("revoked") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), counted).await.expect("it was refused for this");
    of_other.open(quorate_transport::Lane::Control).await.expect("the link stands");
    with_other.accept().await.expect("the link stands");
}

pub(crate) async fn what_cannot_replace_the_credentials_is_said(kind: &dyn Kind) {
    let ca = authority("prod");
    let (renewed, replace) = bind_replaceable(kind, node(&ca, 1));
    let other = replace(node(&ca, 2));
    assert!(matches!(other, Err(CredentialError::OtherHolder { .. })), "{other:?}");
    let long_ago = SystemTime::now() - Duration::from_mins(10);
    let past = Validity { from: long_ago, until: long_ago + Duration::from_mins(1) };
    let expired = replace(ca.issue_node(NodeId::new(1), past).expect("it makes sense"));
    assert!(matches!(expired, Err(CredentialError::Expired { .. })), "{expired:?}");
    // And nothing has changed.
    link(&*bind(kind, node(&ca, 2), config()), &*renewed).await;
}
