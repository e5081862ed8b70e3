//! What is counted, by lane.

use futures_util::future::BoxFuture;
use metrics::Counter;

use crate::{ConnectError, Frame, Lane, LaneReceiver, LinkError, Role};

fn label(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Data(_) => "data",
        Lane::Bulk => "bulk",
    }
}

/// Frames and their bytes in one direction of a lane.
#[derive(Clone)]
pub(super) struct Meter {
    frames: Counter,
    bytes: Counter,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Meter {
    pub(super) fn sent(lane: Lane) -> Self {
        Self {
            frames: metrics::counter!("quorate_frames_sent_total", "lane" => label(lane)),
            bytes: metrics::counter!("quorate_frame_bytes_sent_total", "lane" => label(lane)),
        }
    }

    fn received(lane: Lane) -> Self {
        Self {
            frames: metrics::counter!("quorate_frames_received_total", "lane" => label(lane)),
            bytes: metrics::counter!("quorate_frame_bytes_received_total", "lane" => label(lane)),
        }
    }

    pub(super) fn count(&self, frames: usize, bytes: usize) {
        self.frames.increment(frames as u64);
        self.bytes.increment(bytes as u64);
    }
}

/// Bytes of a frame, header and payload.
pub(super) fn length(frame: &Frame) -> usize {
    frame.header.len() + frame.body_bytes()
}

/// A lane whose frames are counted.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Box<dyn LaneReceiver>,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(lane: Lane, inner: Box<dyn LaneReceiver>) -> Self {
        Self { inner, meter: Meter::received(lane) }
    }
}

impl LaneReceiver for Metered {
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
        Box::pin(async {
            let before = frames.len();
            let more = self.inner.recv(frames).await?;
            let new = &frames[before..];
            self.meter.count(new.len(), new.iter().map(length).sum());
            Ok(more)
        })
    }
}

/// Frames that were handed in and not sent.
pub(super) fn count_dropped(frames: usize, why: &'static str) {
    if frames > 0 {
        metrics::counter!("quorate_outbox_dropped_frames_total", "why" => why).increment(frames as u64);
    }
}

pub(super) fn count_links(role: Role, change: f64) {
    let role = match role {
        Role::Node => "node",
        Role::Client => "client",
    };
    metrics::gauge!("quorate_links_up", "role" => role).increment(change);
}

pub(super) fn count_refused(why: &'static str) {
    metrics::counter!("quorate_peers_refused_total", "reason" => why).increment(1);
}

/// Counts a failed try and names its kind.
pub(super) fn count_failed(error: &ConnectError) -> &'static str {
    let reason = match error {
        ConnectError::Unreachable(_) => "unreachable",
        ConnectError::WrongNode { .. } => "wrong_node",
        ConnectError::Handshake { .. } => "handshake",
        ConnectError::Version { .. } => "version",
        ConnectError::Refused { .. } => "refused",
        ConnectError::Closed => "closed",
        ConnectError::Io { .. } => "io",
    };
    metrics::counter!("quorate_connects_failed_total", "reason" => reason).increment(1);
    reason
}
