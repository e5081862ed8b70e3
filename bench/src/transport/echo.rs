//! A frame to another node and back.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join};
use quorate_transport::{Frame, LaneReceiver, LaneSender};

use super::{Pair, flow::frame};
use crate::{
    BenchError,
    measure::{Latencies, Load, Sample, Side},
};

/// A frame to another node and back, one after the other.
#[derive(Debug)]
pub(super) struct LinkEcho {
    pair: Pair,
    load: Load,
    near: Option<Ends>,
    far: Option<Ends>,
}

/// What one node sends on and receives from.
#[derive(Debug)]
pub(crate) struct Ends {
    sender: Box<dyn LaneSender>,
    receiver: Box<dyn LaneReceiver>,
    outgoing: VecDeque<Frame>,
    incoming: Vec<Frame>,
}

impl Ends {
    pub(crate) fn new(sender: Box<dyn LaneSender>, receiver: Box<dyn LaneReceiver>) -> Self {
        Self { sender, receiver, outgoing: VecDeque::new(), incoming: Vec::new() }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), BenchError> {
        self.outgoing.push_back(frame);
        self.sender.send(&mut self.outgoing).await.map_err(BenchError::ours)
    }

    /// The next frame; there is never more than one on the way.
    async fn recv(&mut self) -> Result<Frame, BenchError> {
        self.receiver.recv(&mut self.incoming).await.map_err(BenchError::ours)?;
        self.incoming.pop().ok_or_else(|| BenchError::ours("the lane ended"))
    }
}

impl LinkEcho {
    pub(super) async fn new(pair: Pair, load: Load) -> Result<Self, BenchError> {
        let (there, arriving) = pair.lane(0).await?;
        let (back, returning) = pair.lane(1).await?;
        let (near, far) = (Ends::new(there, returning), Ends::new(back, arriving));
        Ok(Self { pair, load, near: Some(near), far: Some(far) })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let gone = || BenchError::ours("a round failed before");
        let (near, far) = (self.near.take().ok_or_else(gone)?, self.far.take().ok_or_else(gone)?);
        let asking = self.pair.stage.at(0, ask_until(near, self.load.clone(), Instant::now() + length));
        let answering = self.pair.stage.at(1, answer(far));
        let ((near, latencies), far) = try_join(asking, answering).await?;
        (self.near, self.far) = (Some(near), Some(far));
        Ok(latencies.into_sample())
    }
}

impl Side for LinkEcho {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends one frame after the other and times its way there and back.
pub(crate) async fn ask_until(
    mut ends: Ends,
    load: Load,
    deadline: Instant,
) -> Result<(Ends, Latencies), BenchError> {
    let mut latencies = Latencies::new();
    loop {
        let asked = Instant::now();
        let last = asked >= deadline;
        ends.send(frame(load.message(last))).await?;
        ends.recv().await?;
        latencies.record(asked.elapsed());
        if last {
            return Ok((ends, latencies));
        }
    }
}

/// Sends back what comes, until the last frame of the round.
async fn answer(mut ends: Ends) -> Result<Ends, BenchError> {
    loop {
        let frame = ends.recv().await?;
        let last = frame.body.first().is_some_and(|payload| Load::ends(payload));
        ends.send(frame).await?;
        if last {
            return Ok(ends);
        }
    }
}
