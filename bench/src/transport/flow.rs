//! Frames from one node to another as fast as a lane takes them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join};
use quorate_transport::{Bundle, Frame, LaneReceiver, LaneSender};

use super::Pair;
use crate::{
    BenchError,
    measure::{Load, Sample, Side},
};

/// How messages are put into frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// Each has a frame of its own.
    Single,
    /// As many as fit into a bundle.
    Bundles,
}

/// Frames from one node to another as fast as a lane takes them.
#[derive(Debug)]
pub(super) struct LinkFlow {
    pair: Pair,
    load: Load,
    framing: Framing,
    lane: Option<(Box<dyn LaneSender>, Box<dyn LaneReceiver>)>,
}

impl LinkFlow {
    pub(super) async fn new(pair: Pair, load: Load, framing: Framing) -> Result<Self, BenchError> {
        let lane = Some(pair.lane(0).await?);
        Ok(Self { pair, load, framing, lane })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (sender, receiver) = self.lane.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let started = Instant::now();
        let sending = send_until(sender, self.load.clone(), self.framing, started + length);
        let sending = self.pair.stage.at(0, sending);
        let receiving = self.pair.stage.at(1, receive(receiver, self.framing));
        let ((sender, sent), (receiver, received, over)) = try_join(sending, receiving).await?;
        self.lane = Some((sender, receiver));
        BenchError::unless_all_came(sent, received)?;
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
pub(crate) fn frame(payload: &Bytes) -> Frame {
    Frame { header: Bytes::new(), body: payload.clone().into() }
}

fn bundle(payloads: &[Bytes]) -> Frame {
    Frame { header: Bytes::new(), body: Bundle::join(payloads) }
}

/// Sends batches of frames until the time is over; returns how many there were.
pub(crate) async fn send_until(
    mut sender: Box<dyn LaneSender>,
    load: Load,
    framing: Framing,
    deadline: Instant,
) -> Result<(Box<dyn LaneSender>, u64), BenchError> {
    let batch = |ends| load.batch(ends).cloned().collect::<Vec<Bytes>>();
    let (usual, last) = (batch(false), batch(true));
    let mut frames = VecDeque::with_capacity(load.per_batch());
    let mut sent = 0;
    loop {
        let ends = Instant::now() >= deadline;
        let batch = if ends { &last } else { &usual };
        match framing {
            Framing::Single => frames.extend(batch.iter().map(frame)),
            Framing::Bundles => frames.extend(Bundle::runs(batch).map(bundle)),
        }
        sent += load.per_batch() as u64;
        sender.send(&mut frames).await.map_err(BenchError::ours)?;
        if ends {
            return Ok((sender, sent));
        }
    }
}

/// Counts the messages of a round, and says when the last one came.
async fn receive(
    mut receiver: Box<dyn LaneReceiver>,
    framing: Framing,
) -> Result<(Box<dyn LaneReceiver>, u64, Instant), BenchError> {
    let received = count(&mut *receiver, framing).await?;
    Ok((receiver, received, Instant::now()))
}

/// Counts the messages of a round.
pub(crate) async fn count(receiver: &mut dyn LaneReceiver, framing: Framing) -> Result<u64, BenchError> {
    let (mut frames, mut received, mut over) = (Vec::new(), 0, false);
    while !over {
        if !receiver.recv(&mut frames).await.map_err(BenchError::ours)? {
            return Err(BenchError::ours("the lane ended"));
        }
        for frame in frames.drain(..) {
            let body = frame.into_body();
            if framing == Framing::Single {
                received += 1;
                over |= Load::ends(&body);
                continue;
            }
            let bundle = Bundle::read(body).map_err(BenchError::ours)?;
            received += bundle.len() as u64;
            over |= bundle.iter().fold(false, |over, payload| over | Load::ends(payload));
        }
    }
    Ok(received)
}
