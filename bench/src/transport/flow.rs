//! Frames from one node to another as fast as a lane takes them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join};
use quorate_transport::{Frame, LaneReceiver, LaneSender};

use super::Pair;
use crate::{BenchError, harness::Side, load::Load, sample::Sample};

/// Frames from one node to another as fast as a lane takes them.
#[derive(Debug)]
pub(super) struct LinkFlow {
    pair: Pair,
    load: Load,
    lane: Option<(Box<dyn LaneSender>, Box<dyn LaneReceiver>)>,
}

impl LinkFlow {
    pub(super) async fn new(pair: Pair, load: Load) -> Result<Self, BenchError> {
        let lane = Some(pair.lane(0).await?);
        Ok(Self { pair, load, lane })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (sender, receiver) = self.lane.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let started = Instant::now();
        let sending = self.pair.stage.at(0, send_until(sender, self.load.clone(), started + length));
        let receiving = self.pair.stage.at(1, receive(receiver));
        let ((sender, sent), (receiver, received, over)) = try_join(sending, receiving).await?;
        self.lane = Some((sender, receiver));
        if sent != received {
            return Err(BenchError::Miscounted { sent, received });
        }
        Ok(Sample::Flow {
            messages: received,
            message_bytes: self.load.message_bytes,
            elapsed: over - started,
        })
    }
}

impl Side for LinkFlow {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// A frame with nothing but the payload: what the header costs is the business of who fills it.
pub(super) fn frame(payload: &Bytes) -> Frame {
    Frame { header: Bytes::new(), body: payload.clone().into() }
}

/// Sends batches of frames until the time is over; returns how many there were.
async fn send_until(
    mut sender: Box<dyn LaneSender>,
    load: Load,
    deadline: Instant,
) -> Result<(Box<dyn LaneSender>, u64), BenchError> {
    let mut frames = VecDeque::with_capacity(load.per_batch());
    let mut sent = 0;
    loop {
        let ends = Instant::now() >= deadline;
        frames.extend(load.batch(ends).map(frame));
        sent += load.per_batch() as u64;
        sender.send(&mut frames).await.map_err(BenchError::ours)?;
        if ends {
            return Ok((sender, sent));
        }
    }
}

/// Counts the frames of a round, and says when the last one came.
async fn receive(
    mut receiver: Box<dyn LaneReceiver>,
) -> Result<(Box<dyn LaneReceiver>, u64, Instant), BenchError> {
    let (mut frames, mut received, mut over) = (Vec::new(), 0, false);
    while !over {
        if !receiver.recv(&mut frames).await.map_err(BenchError::ours)? {
            return Err(BenchError::ours("the lane ended"));
        }
        received += frames.len() as u64;
        over = frames.drain(..).fold(over, |over, frame| over | Load::ends(&frame.into_body()));
    }
    Ok((receiver, received, Instant::now()))
}
