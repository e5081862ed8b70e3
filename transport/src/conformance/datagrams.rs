//! Datagrams, which may be lost, but not changed.

use bytes::Bytes;
use tokio::time::timeout;

use super::{Factory, LOOKED_FOR, Pair, pattern};
use crate::{DatagramError, Link};

/// Sends a datagram until one like it has come: any of them may be lost.
async fn exchange(from: &dyn Link, to: &dyn Link, datagram: &Bytes) {
    loop {
        from.send_datagram(datagram.clone()).expect("it is short");
        let arrived = async { while to.recv_datagram().await.expect("the link stands") != datagram {} };
        if timeout(LOOKED_FOR, arrived).await.is_ok() {
            return;
        }
    }
}

pub(super) async fn datagrams_arrive_as_they_were(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    for bytes in [0, 1, 500, 1000] {
        exchange(&*pair.ours, &*pair.theirs, &pattern(1, bytes)).await;
        exchange(&*pair.theirs, &*pair.ours, &pattern(2, bytes)).await;
    }
}

pub(super) async fn a_datagram_too_large_is_refused(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let huge = Bytes::from(vec![0; 70_000]);
    let refused = pair.ours.send_datagram(huge);
    assert!(
        matches!(refused, Err(DatagramError::TooLarge { bytes: 70_000, limit }) if limit >= 1000),
        "70,000 bytes fit into no packet, 1,000 into any: {refused:?}"
    );
    exchange(&*pair.ours, &*pair.theirs, &Bytes::from_static(b"the link goes on")).await;
}

pub(super) async fn datagrams_that_nobody_takes_make_room(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    for number in 0..20_000 {
        pair.ours.send_datagram(pattern(number, 1000)).expect("it never waits, and nothing is full");
    }
    exchange(&*pair.ours, &*pair.theirs, &Bytes::from_static(b"newer than all others")).await;
}
