//! Frames up to the limits, and beyond.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Factory, Pair, Profile, frame, numbered, pattern, receive, send};
use crate::{Frame, Lane, SendError};

pub(super) async fn a_large_payload_arrives_as_it_was(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Bulk).await;
    let limit = Profile::node(1).frames.payload_bytes_max();
    let payload = pattern(1, limit);
    let pieces = [payload.slice(..9), payload.slice(9..1 << 20), payload.slice(1 << 20..)];
    let large = Frame { header: "large".into(), body: pieces.to_vec().into() };
    let sent = [numbered(1, 5), large, numbered(2, 5)];
    let ((), got) = tokio::join!(send(&mut *sender, sent), receive(&mut *receiver, 3));
    assert_eq!((&got[0], &got[2]), (&numbered(1, 5), &numbered(2, 5)));
    assert!(
        got[1] == Frame { header: "large".into(), body: vec![payload].into() },
        "the payload was changed"
    );
}

pub(super) async fn a_frame_too_large_is_refused_alone(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Data(1)).await;
    let limits = Profile::node(1).frames;
    let (limit, most) = (limits.payload_bytes_max(), limits.header_bytes_max());
    let payload = Frame { header: Bytes::new(), body: vec![vec![0; limit].into(), "x".into()].into() };
    let header = Frame { header: vec![0; most + 1].into(), body: vec![].into() };
    let mut queue = [frame("before"), payload, frame("between"), header, frame("behind")].into();
    let refused = sender.send(&mut queue).await;
    assert_eq!(refused, Err(SendError::TooLarge { bytes: limit + 1, limit }));
    let refused = sender.send(&mut queue).await;
    assert_eq!(refused, Err(SendError::HeaderTooLarge { bytes: most + 1, limit: most }));
    assert_eq!(sender.send(&mut queue).await, Ok(()));
    let got = receive(&mut *receiver, 3).await;
    assert_eq!(got, [frame("before"), frame("between"), frame("behind")]);
}

pub(super) async fn large_payloads_beyond_the_budget_all_arrive(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let large = numbered(5, Profile::node(1).frames.payload_bytes_max());
    let mut lanes = Vec::new();
    for number in 0..4 {
        lanes.push(pair.lane(Lane::Data(number)).await); // twice the budget together
    }
    let transfers = lanes.iter_mut().map(|(sender, receiver)| async {
        let sent = send(&mut **sender, [large.clone()]);
        tokio::join!(sent, receive(&mut **receiver, 1)).1
    });
    let got = join_all(transfers).await;
    assert!(got.iter().flatten().all(|frame| *frame == large), "a payload was changed");
}
