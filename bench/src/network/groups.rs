//! Messages of several groups at a pace, each on a lane of its own or all on one.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use quorate_transport::{LaneReceiver, LaneSender};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    link::{Accepting, Dialled},
    words::{Answer, Arrival},
};
use crate::{
    BenchError,
    hosts::now,
    measure::{Load, Pace, STAMPED_BYTES_MIN},
    transport::frame,
};

/// Bytes of a message: it begins as all stamped messages do, and then names its group.
pub(super) const MESSAGE_BYTES: usize = 64;
const GROUP: std::ops::Range<usize> = STAMPED_BYTES_MIN..STAMPED_BYTES_MIN + 4;

type SharedLane = Arc<AsyncMutex<Box<dyn LaneSender>>>;

/// Sends for all groups.
#[derive(Debug)]
pub(super) struct GroupsSender {
    _link: Dialled,
    lanes: Vec<SharedLane>,
    groups: u32,
    every: Duration,
}

impl GroupsSender {
    pub(super) async fn new(
        link: Dialled,
        groups: u32,
        every: Duration,
        shared_lane: bool,
    ) -> Result<Self, BenchError> {
        let mut lanes = Vec::new();
        for lane in 0..if shared_lane { 1 } else { groups } {
            lanes.push(Arc::new(AsyncMutex::new(link.lane(lane + 1).await?)));
        }
        Ok(Self { _link: link, lanes, groups, every })
    }

    pub(super) async fn round(&mut self, length: Duration) -> Result<Answer, BenchError> {
        let begun = Instant::now();
        let sending = (0..self.groups).map(|group| {
            let lane = Arc::clone(&self.lanes[group as usize % self.lanes.len()]);
            // The groups take turns, so that no two messages share a packet for being sent together.
            let first = begun + self.every * group / self.groups;
            send_until(lane, group, (first, self.every), begun + length)
        });
        Ok(Answer::Sent(try_join_all(sending).await?.into_iter().sum()))
    }
}

async fn send_until(
    lane: SharedLane,
    group: u32,
    (first, every): (Instant, Duration),
    deadline: Instant,
) -> Result<u64, BenchError> {
    tokio::time::sleep_until(first.into()).await;
    let (mut pace, load, mut frames) = (Pace::new(every), Load::new(MESSAGE_BYTES), VecDeque::new());
    for sent in 1.. {
        let due = pace.turn().await;
        let ends = due >= deadline;
        frames.push_back(frame(&message(&load, group, now().saturating_sub(due.elapsed()), ends)));
        lane.lock().await.send(&mut frames).await.map_err(BenchError::ours)?;
        if ends {
            return Ok(sent);
        }
    }
    unreachable!("a round has an end")
}

fn message(load: &Load, group: u32, stamp: Duration, ends: bool) -> Bytes {
    let mut message = BytesMut::from(load.stamped(stamp, ends));
    message[GROUP].copy_from_slice(&group.to_be_bytes());
    message.freeze()
}

/// Takes the messages of all groups, and notes when each came.
#[derive(Debug)]
pub(super) struct GroupsReceiver {
    link: Accepting,
    lanes: Vec<Box<dyn LaneReceiver>>,
    groups: u32,
    shared_lane: bool,
}

impl GroupsReceiver {
    pub(super) const fn new(link: Accepting, groups: u32, shared_lane: bool) -> Self {
        Self { link, lanes: Vec::new(), groups, shared_lane }
    }

    pub(super) async fn round(&mut self) -> Result<Answer, BenchError> {
        let (lanes, per_lane) = if self.shared_lane { (1, self.groups) } else { (self.groups, 1) };
        while self.lanes.len() < lanes as usize {
            self.lanes.push(self.link.lane().await?);
        }
        let receiving = self.lanes.iter_mut().map(|lane| receive(lane.as_mut(), per_lane));
        Ok(Answer::Arrivals(try_join_all(receiving).await?.concat()))
    }
}

/// Takes what comes on a lane until as many groups have sent their last message.
async fn receive(lane: &mut dyn LaneReceiver, groups: u32) -> Result<Vec<Arrival>, BenchError> {
    let (mut frames, mut arrivals, mut ended) = (Vec::new(), Vec::new(), 0);
    while ended < groups {
        if !lane.recv(&mut frames).await.map_err(BenchError::ours)? {
            return Err(BenchError::ours("a lane ended"));
        }
        let received = now();
        for frame in frames.drain(..) {
            let payload = frame.into_body();
            ended += u32::from(Load::ends(&payload));
            let group = payload.get(GROUP).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
            let (Some(group), Some(sent)) = (group, Load::stamp(&payload)) else {
                return Err(BenchError::ours("a message is cut off"));
            };
            arrivals.push(Arrival { group, sent, received });
        }
    }
    Ok(arrivals)
}
