//! A peer that lies on a lane, beside a link that goes on.

use quorate_transport::{CloseReason, Lane, LinkError};

use super::{Kind, bind, by_hand::ByHand, config, counters::Counters, frame, link, node};

/// A record whose header is said to have 3 MiB, far above the limit.
const HEADER_BOMB: [u8; 8] = [0, 0, 0, 0x30, 0, 0, 0, 0];

pub(crate) async fn a_lie_on_a_lane_ends_its_link_alone(kind: &dyn Kind) {
    let (counters, _guard) = Counters::install();
    let by_hand = ByHand::new(kind, async |ca, to| kind.insider(ca, to).await).await;
    let ByHand { insider: mut liar, link: of_liar, ca, listener } = by_hand;
    liar.lane(&HEADER_BOMB).await;
    let honest = bind(kind, node(&ca, 1), config());
    let (ours, theirs) = link(&*honest, &*listener).await;
    let (_, mut receiver) = of_liar.accept().await.expect("the link stands");
    let mut got = Vec::new();
    for _ in 0..2 {
        let refused = receiver.recv(&mut got).await;
        assert!(matches!(refused, Err(LinkError::Violation(_))), "{refused:?}");
    }
    assert!(got.is_empty());
    assert!(matches!(of_liar.closed().await, LinkError::Violation(_)));
    let CloseReason::Violation(why) = liar.told().await else { panic!("it was a violation") };
    assert!(why.contains("header of 3145728 bytes"), "{why}");
    assert_eq!(counters.get("quorate_links_violated_total"), 1);

    let mut sender = ours.open(Lane::Data(1)).await.expect("the link stands");
    sender.send(&mut [frame("still here")].into()).await.expect("the link stands");
    let (_, mut receiver) = theirs.accept().await.expect("the link stands");
    assert!(receiver.recv(&mut got).await.expect("the link stands"));
    assert_eq!(got, [frame("still here")]);
}
