//! Lanes: order, independence, their ends.

use std::{collections::VecDeque, iter};

use futures_util::{FutureExt, future::join_all};
use tokio::time::timeout;

use super::{Factory, LOOKED_FOR, Pair, frame, numbered, receive, receive_all, send};
use crate::{Frame, Lane, SendError};

pub(super) async fn frames_of_a_lane_keep_their_order(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Data(7)).await;
    let lengths = [0, 1, 64, 3000, 0, 70_000];
    let frames: Vec<_> = (0..1000).map(|n| numbered(n, lengths[n % lengths.len()])).collect();
    let pieces = Frame { header: "pieces".into(), body: vec!["a".into(), "".into(), "bc".into()].into() };
    let empty = Frame::default();
    let sent = frames.iter().cloned().chain([pieces, empty.clone()]);
    let ((), mut got) = tokio::join!(send(&mut *sender, sent), receive(&mut *receiver, 1002));
    assert_eq!(got.pop(), Some(empty));
    assert_eq!(got.pop(), Some(Frame { header: "pieces".into(), body: vec!["abc".into()].into() }));
    assert!(got == frames, "frames were changed or reordered");
}

pub(super) async fn both_directions_of_a_lane_are_two(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut there, _receiver) = pair.lane(Lane::Data(1)).await;
    let mut back = pair.theirs.open(Lane::Data(1)).await.expect("the link stands");
    send(&mut *back, [frame("back")]).await;
    there.finish().await.expect("the link stands");
    let (lane, mut receiver) = pair.ours.accept().await.expect("the link stands");
    assert_eq!(lane, Lane::Data(1));
    assert_eq!(receive(&mut *receiver, 1).await, [frame("back")]);
    send(&mut *back, [frame("still open")]).await;
    assert_eq!(receive(&mut *receiver, 1).await, [frame("still open")]);
}

pub(super) async fn lanes_that_nobody_reads_hold_up_no_other(factory: &dyn Factory) {
    const FRAMES: usize = 96;
    let pair = Pair::new(factory).await;
    let (mut stuck, mut unread) = (Vec::new(), Vec::new());
    for lane in [Lane::Data(1), Lane::Data(2), Lane::Bulk] {
        let (sender, receiver) = pair.lane(lane).await;
        stuck.push(sender);
        unread.push(receiver);
    }
    let long = numbered(0, 256 << 10).body; // 24 MiB per lane: more than any window
    let long = Frame { header: "long".into(), body: vec![long[0].slice(..200 << 10); 1].into() };
    let mut sending = Box::pin(join_all(stuck.iter_mut().map(|sender| {
        let frames = iter::repeat_n(long.clone(), FRAMES);
        send(&mut **sender, frames)
    })));
    assert!(timeout(LOOKED_FOR, &mut sending).await.is_err(), "nobody reads, and yet all was taken");
    for lane in [Lane::Control, Lane::Data(3)] {
        let beside = async {
            let (mut sender, mut receiver) = pair.lane(lane).await;
            for number in 0..200 {
                send(&mut *sender, [numbered(number, 1000)]).await;
                assert_eq!(receive(&mut *receiver, 1).await, [numbered(number, 1000)]);
            }
        };
        tokio::select! {
            () = beside => {}
            _ = &mut sending => panic!("nobody reads, and yet all was taken"),
        }
    }
    let reading = join_all(unread.iter_mut().map(|receiver| receive(&mut **receiver, FRAMES)));
    let (_, got) = tokio::join!(sending, reading);
    assert!(got.iter().flatten().all(|frame| *frame == long), "what waited was changed");
}

pub(super) async fn finish_gives_all_then_the_end(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Data(1)).await;
    let frames: Vec<_> = (0..100).map(|n| numbered(n, 30_000)).collect();
    let sending = async {
        send(&mut *sender, frames.clone()).await;
        sender.finish().await.expect("the link stands");
    };
    let ((), got) = tokio::join!(sending, receive_all(&mut *receiver));
    assert!(got == frames, "the end came before all that was sent");
    assert!(!receiver.recv(&mut Vec::new()).await.expect("the link stands"), "the end does not last");
}

pub(super) async fn a_dropped_sender_ends_its_lane(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (sender, mut receiver) = pair.lane(Lane::Data(1)).await;
    drop(sender);
    assert_eq!(receive_all(&mut *receiver).await, []);
    // The same amid a frame: the frame is lost, the link is not.
    let (mut sender, mut receiver) = pair.lane(Lane::Data(2)).await;
    let mut frames: VecDeque<_> = (0..8).map(|n| numbered(n, 4 << 20)).collect();
    let sent = timeout(LOOKED_FOR, sender.send(&mut frames)).await;
    assert!(sent.is_err(), "nobody reads, and yet all was taken");
    drop(sender);
    let got = receive_all(&mut *receiver).await;
    assert!(got.len() < 8 && got.iter().enumerate().all(|(n, frame)| *frame == numbered(n, 4 << 20)));
    pair.lane(Lane::Data(3)).await;
}

pub(super) async fn a_dropped_receiver_stops_its_sender(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, receiver) = pair.lane(Lane::Data(1)).await;
    drop(receiver);
    let refused = loop {
        let sent = sender.send(&mut [frame("for nobody")].into()).await;
        tokio::task::yield_now().await;
        if let Err(error) = sent {
            break error;
        }
    };
    assert_eq!(refused, SendError::Stopped(Lane::Data(1)));
    pair.lane(Lane::Data(1)).await;
}

pub(super) async fn a_lane_opened_again_continues(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    for (first, second) in [("a", "b"), ("c", "d")] {
        for text in [first, second] {
            let mut sender = pair.ours.open(Lane::Data(1)).await.expect("the link stands");
            send(&mut *sender, [frame(text)]).await;
            sender.finish().await.expect("the link stands");
        }
        for text in [first, second] {
            let (lane, mut receiver) = pair.theirs.accept().await.expect("the link stands");
            assert_eq!(lane, Lane::Data(1));
            assert_eq!(receive_all(&mut *receiver).await, [frame(text)]);
        }
    }
}

pub(super) async fn a_cancelled_receive_loses_nothing(factory: &dyn Factory) {
    let pair = Pair::new(factory).await;
    let (mut sender, mut receiver) = pair.lane(Lane::Data(1)).await;
    let (mut got, mut cancelled) = (Vec::new(), 0);
    assert!(receiver.recv(&mut got).now_or_never().is_none(), "nothing was sent yet");
    let frames: Vec<_> = (0..40).map(|n| numbered(n, if n % 8 == 7 { 2 << 20 } else { 5000 })).collect();
    let receiving = async {
        while got.len() < frames.len() {
            if let Some(more) = receiver.recv(&mut got).now_or_never() {
                assert!(more.expect("the link stands"), "the lane ended too early");
            } else {
                cancelled += 1;
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(send(&mut *sender, frames.clone()), receiving);
    assert!(got == frames, "a cancelled receive lost or doubled something");
    assert!(cancelled > 0, "nothing was cancelled, and nothing shown");
}
