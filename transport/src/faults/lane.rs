//! Lanes over a network with faults: the sender passes on, the receiver holds back.

use std::{collections::VecDeque, sync::Arc};

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::{Instant, sleep_until};

use super::link::End;
use crate::{Frame, LaneReceiver, LaneSender, LinkError, SendError};

/// Bytes of a lane that are under way; the rest waits at the sender.
const UNDER_WAY_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct FaultySender {
    inner: Box<dyn LaneSender>,
    end: Arc<End>,
}

impl FaultySender {
    pub(super) fn new(inner: Box<dyn LaneSender>, end: Arc<End>) -> Self {
        Self { inner, end }
    }
}

impl LaneSender for FaultySender {
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async {
            let sent = tokio::select! {
                biased;
                error = self.end.ended() => return Err(error.into()),
                sent = self.inner.send(frames) => sent,
            };
            match sent {
                Err(SendError::Link(_)) => Err(self.end.ended().await.into()),
                other => other,
            }
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async {
            let finished = tokio::select! {
                biased;
                error = self.end.ended() => return Err(error),
                finished = self.inner.finish() => finished,
            };
            match finished {
                Ok(()) => Ok(()),
                Err(_) => Err(self.end.ended().await),
            }
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Over {
    Lane,
    Link,
}

#[derive(Debug)]
pub(super) struct FaultyReceiver {
    inner: Box<dyn LaneReceiver>,
    end: Arc<End>,
    /// What has come too early, by the time at which it arrives.
    under_way: VecDeque<(Instant, Frame)>,
    under_way_bytes: usize,
    came: Vec<Frame>,
    /// The lane has ended, or the link was closed by the peer, behind what is under way.
    over: Option<Over>,
}

impl FaultyReceiver {
    pub(super) fn new(inner: Box<dyn LaneReceiver>, end: Arc<End>) -> Self {
        let (under_way, came) = (VecDeque::new(), Vec::new());
        Self { inner, end, under_way, under_way_bytes: 0, came, over: None }
    }

    /// Takes what came from the wrapped lane. Nothing overtakes what is under way on the same lane.
    fn take_over(&mut self, frames: &mut Vec<Frame>) {
        for frame in self.came.drain(..) {
            let bytes = length(&frame);
            match (self.end.arrival(bytes), self.under_way.back()) {
                (None, None) => frames.push(frame),
                (at, last) => {
                    let last = last.map(|(at, _)| *at);
                    let at = at.max(last).expect("one of them is known");
                    self.under_way.push_back((at, frame));
                    self.under_way_bytes += bytes;
                }
            }
        }
    }

    fn release(&mut self, frames: &mut Vec<Frame>) {
        let now = Instant::now();
        while self.under_way.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, frame)) = self.under_way.pop_front() {
                self.under_way_bytes -= length(&frame);
                frames.push(frame);
            }
        }
    }
}

fn length(frame: &Frame) -> usize {
    frame.header.len() + frame.body_bytes()
}

impl LaneReceiver for FaultyReceiver {
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
        Box::pin(async {
            let before = frames.len();
            let mut changes = self.end.changes();
            loop {
                changes.mark_unchanged();
                let deaf = self.end.is_deaf();
                if !deaf {
                    self.release(frames);
                    if frames.len() > before {
                        return Ok(true);
                    }
                    match self.over.filter(|_| self.under_way.is_empty()) {
                        Some(Over::Lane) => return Ok(false),
                        Some(Over::Link) => return Err(self.end.ended().await),
                        None => {}
                    }
                }
                let next = self.under_way.front().filter(|_| !deaf).map(|(at, _)| sleep_until(*at));
                let may_come = !deaf && self.over.is_none() && self.under_way_bytes < UNDER_WAY_BYTES_MAX;
                tokio::select! {
                    biased;
                    error = self.end.cut_off() => return Err(error),
                    _ = changes.changed() => {}
                    Some(()) = OptionFuture::from(next) => {}
                    more = self.inner.recv(&mut self.came), if may_come => match more {
                        Ok(true) => self.take_over(frames),
                        Ok(false) => self.over = Some(Over::Lane),
                        Err(_) => self.over = Some(Over::Link),
                    },
                }
            }
        })
    }
}
