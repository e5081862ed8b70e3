//! One direction of a lane: a queue of frames, bounded by their bytes.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::{link::Side, lock};
use crate::{Frame, FrameConfig, Lane, LaneReceiver, LaneSender, LinkError, SendError, codec::check_lengths};

#[derive(Debug, Default)]
pub(super) struct Pipe {
    state: Mutex<State>,
    /// One waits for each, so the permit that `notify_one` leaves behind is never missed.
    readable: Notify,
    writable: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The sender has finished or was dropped.
    ended: bool,
    /// The receiver was dropped.
    stopped: bool,
}

#[derive(Debug)]
pub(super) struct PipeSender {
    pub(super) lane: Lane,
    pub(super) pipe: Arc<Pipe>,
    pub(super) side: Arc<Side>,
}

impl PipeSender {
    /// Hands over what there is room for.
    fn hand_over(&self, frames: &mut VecDeque<Frame>) -> Result<(), SendError> {
        let config = self.side.config();
        let mut state = lock(&self.pipe.state);
        if state.stopped {
            return Err(SendError::Stopped(self.lane));
        }
        let mut result = Ok(());
        while let Some(frame) = frames.front() {
            let bytes = frame.header.len() + frame.body_bytes();
            if let Err(error) = check(frame, &config.frames) {
                frames.pop_front();
                result = Err(error);
                break;
            }
            if state.bytes > 0 && state.bytes + bytes > config.lane_bytes_max {
                break;
            }
            state.bytes += bytes.max(1);
            state.frames.extend(frames.pop_front());
        }
        drop(state);
        self.pipe.readable.notify_one();
        result
    }

    fn end(&self) {
        lock(&self.pipe.state).ended = true;
        self.pipe.readable.notify_one();
    }
}

fn check(frame: &Frame, config: &FrameConfig) -> Result<(), SendError> {
    check_lengths(frame.header.len(), frame.body_bytes(), config)
}

impl LaneSender for PipeSender {
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            loop {
                self.side.check()?;
                self.hand_over(frames)?;
                if frames.is_empty() {
                    return Ok(());
                }
                tokio::select! {
                    error = self.side.ended() => return Err(error.into()),
                    () = self.pipe.writable.notified() => {}
                }
            }
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async {
            self.end();
            self.side.check()
        })
    }
}

impl Drop for PipeSender {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug)]
pub(super) struct PipeReceiver {
    pub(super) pipe: Arc<Pipe>,
    pub(super) side: Arc<Side>,
}

impl PipeReceiver {
    /// Takes what is there; `None` if nothing is.
    fn take(&self, frames: &mut Vec<Frame>) -> Option<bool> {
        let mut state = lock(&self.pipe.state);
        if state.frames.is_empty() {
            return state.ended.then_some(false);
        }
        state.bytes = 0;
        let taken = mem::take(&mut state.frames);
        drop(state);
        self.pipe.writable.notify_one();
        frames.extend(taken.into_iter().map(in_one_piece));
        Some(true)
    }
}

fn in_one_piece(mut frame: Frame) -> Frame {
    let header = mem::take(&mut frame.header);
    Frame { header, body: frame.into_body().into() }
}

impl LaneReceiver for PipeReceiver {
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
        Box::pin(async move {
            loop {
                self.side.check_here()?;
                if let Some(more) = self.take(frames) {
                    return Ok(more);
                }
                self.side.check()?;
                tokio::select! {
                    _ = self.side.ended() => {}
                    () = self.pipe.readable.notified() => {}
                }
            }
        })
    }
}

impl Drop for PipeReceiver {
    fn drop(&mut self) {
        let mut state = lock(&self.pipe.state);
        state.stopped = true;
        state.frames.clear();
        drop(state);
        self.pipe.writable.notify_one();
    }
}
