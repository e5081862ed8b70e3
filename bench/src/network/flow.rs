//! Frames on one lane of a link of ours, as fast as it takes them.

use std::time::{Duration, Instant};

use quorate_transport::{LaneReceiver, LaneSender};

use super::{
    link::{Accepting, Dialled},
    words::Answer,
};
use crate::{
    BenchError,
    measure::Load,
    transport::{Framing, send_until},
};

/// Sends as fast as a lane takes it.
#[derive(Debug)]
pub(super) struct FlowSender {
    _link: Dialled,
    lane: Option<Box<dyn LaneSender>>,
    load: Load,
}

impl FlowSender {
    pub(super) async fn new(link: Dialled, message_bytes: usize) -> Result<Self, BenchError> {
        let lane = Some(link.lane(1).await?);
        Ok(Self { _link: link, lane, load: Load::new(message_bytes) })
    }

    pub(super) async fn round(&mut self, length: Duration) -> Result<Answer, BenchError> {
        let lane = self.lane.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let (lane, sent) =
            send_until(lane, self.load.clone(), Framing::Single, Instant::now() + length).await?;
        self.lane = Some(lane);
        Ok(Answer::Sent(sent))
    }
}

/// Counts what arrives, from the first to the last of a round.
#[derive(Debug)]
pub(super) struct FlowReceiver {
    link: Accepting,
    lane: Option<Box<dyn LaneReceiver>>,
    message_bytes: usize,
}

impl FlowReceiver {
    pub(super) const fn new(link: Accepting, message_bytes: usize) -> Self {
        Self { link, lane: None, message_bytes }
    }

    pub(super) async fn round(&mut self) -> Result<Answer, BenchError> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            none => none.insert(self.link.lane().await?),
        };
        let (mut frames, mut messages, mut over, mut first) = (Vec::new(), 0, false, None);
        while !over {
            if !lane.recv(&mut frames).await.map_err(BenchError::ours)? {
                return Err(BenchError::ours("the lane ended"));
            }
            first.get_or_insert_with(Instant::now);
            messages += frames.len() as u64;
            over = frames.drain(..).fold(over, |over, frame| over | Load::ends(&frame.into_body()));
        }
        let elapsed = first.map(|first| first.elapsed()).unwrap_or_default();
        Ok(Answer::Received { messages, message_bytes: self.message_bytes, elapsed })
    }
}
