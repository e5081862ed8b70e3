//! A peer that lies on a lane, beside a link that goes on.

use std::sync::Arc;

use quorate_transport::{CloseReason, ClusterCa, Lane, Link, LinkError, Transport};

use super::{Kind, bind, config, counters::Counters, frame, link, node};

/// A record whose header is said to have 3 MiB, far above the limit.
pub(crate) const HEADER_BOMB: [u8; 8] = [0, 0, 0, 0x30, 0, 0, 0, 0];

/// Expects that a lane on which [`HEADER_BOMB`] was sent ends its own link for what it is, and no
/// other; `told` is what the liar learns.
pub(crate) async fn ends_its_link_alone(
    kind: &dyn Kind,
    (ca, listener): (&ClusterCa, &dyn Transport),
    liar: &Arc<dyn Link>,
    told: impl Future<Output = CloseReason>,
    counters: &Counters,
) {
    let honest = bind(kind, node(ca, 1), config());
    let (ours, theirs) = link(&*honest, listener).await;
    let (_, mut receiver) = liar.accept().await.expect("the link stands");
    let mut got = Vec::new();
    for _ in 0..2 {
        let refused = receiver.recv(&mut got).await;
        assert!(matches!(refused, Err(LinkError::Violation(_))), "{refused:?}");
    }
    assert!(got.is_empty());
    assert!(matches!(liar.closed().await, LinkError::Violation(_)));
    let CloseReason::Violation(why) = told.await else { panic!("it was a violation") };
    assert!(why.contains("header of 3145728 bytes"), "{why}");
    assert_eq!(counters.get("quorate_links_violated_total"), 1);

    let mut sender = ours.open(Lane::Data(1)).await.expect("the link stands");
    sender.send(&mut [frame("still here")].into()).await.expect("the link stands");
    let (_, mut receiver) = theirs.accept().await.expect("the link stands");
    assert!(receiver.recv(&mut got).await.expect("the link stands"));
    assert_eq!(got, [frame("still here")]);
}
