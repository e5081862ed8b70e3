//! What waits to be sent on one lane to one peer.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    MeshConfig,
    meter::{Meter, count_dropped, length},
};
use crate::{Frame, Lane, Link, SendError, codec::check_lengths};

/// Frames are taken from an outbox until a batch has this many bytes. What exceeds it waits in the
/// outbox, where it counts, and not with the transport.
const BATCH_BYTES: usize = 256 << 10;

/// Why a frame was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// As much waits as may. Here is the frame again: wait for room, or give it up.
    #[error("the outbox is full: the peer or the network takes less than is sent")]
    Full(Frame),
    /// The frame is larger than the configuration allows. Split it.
    #[error(transparent)]
    TooLarge(SendError),
    /// There is no link to the node, or it has just gone. What was queued on it is lost.
    #[error("there is no link to the node")]
    NotLinked,
}

/// Whether more than half of what may wait in an outbox does, as other threads may ask, too.
#[derive(Debug, Default)]
pub struct Crowd {
    is_crowded: AtomicBool,
    eased: Notify,
}

impl Crowd {
    /// Whether more than half of what may wait does.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Acquire)
    }

    /// Waits until it does not, or the link is gone.
    pub async fn eased(&self) {
        loop {
            let eased = self.eased.notified();
            if !self.is_crowded() {
                return;
            }
            eased.await;
        }
    }

    fn set(&self, crowded: bool) {
        if self.is_crowded.swap(crowded, Ordering::AcqRel) && !crowded {
            self.eased.notify_waiters();
        }
    }
}

/// The queue of frames for one lane of one peer, drained in batches by one writer.
///
/// Whoever hands in frames never waits for the network, unless they ask to. When the link ends,
/// what is still queued is dropped and counted.
#[derive(Debug)]
pub struct Outbox {
    config: MeshConfig,
    frames: RefCell<VecDeque<Frame>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    /// The writer is handing a batch to the link.
    writing: Cell<bool>,
    filled: Notify,
    drained: Notify,
    crowd: Arc<Crowd>,
}

impl Outbox {
    pub(super) fn new(config: MeshConfig) -> Self {
        Self {
            config,
            frames: RefCell::default(),
            bytes: Cell::new(0),
            closed: Cell::new(false),
            writing: Cell::new(false),
            filled: Notify::new(),
            drained: Notify::new(),
            crowd: Arc::default(),
        }
    }

    /// Takes a frame if there is room.
    ///
    /// # Errors
    /// [`OutboxError`]: the frame was not taken.
    pub fn push(&self, frame: Frame) -> Result<(), OutboxError> {
        let settings = self.config.settings();
        let (waiting, bytes) = (self.frames.borrow().len(), self.bytes.get() + length(&frame));
        let fits = bytes <= settings.outbox_bytes_max && waiting < settings.outbox_frames_max;
        if fits || waiting == 0 || self.closed.get() {
            self.push_over(frame)
        } else {
            Err(OutboxError::Full(frame))
        }
    }

    /// Takes a frame even if there is no room: for what is rare by construction, or whose sender
    /// waits until the outbox has [eased](Crowd::eased) before the next.
    ///
    /// # Errors
    /// [`OutboxError`], but never [`OutboxError::Full`].
    pub fn push_over(&self, frame: Frame) -> Result<(), OutboxError> {
        if self.closed.get() {
            return Err(OutboxError::NotLinked);
        }
        check_lengths(frame.header.len(), frame.body_bytes(), &self.config.settings().frames)
            .map_err(OutboxError::TooLarge)?;
        self.bytes.set(self.bytes.get() + length(&frame));
        self.frames.borrow_mut().push_back(frame);
        self.note_crowd();
        self.filled.notify_one();
        Ok(())
    }

    /// Takes a frame as soon as there is room. Those who wait are not served in any order.
    ///
    /// # Errors
    /// [`OutboxError`], but never [`OutboxError::Full`].
    pub async fn push_waiting(&self, mut frame: Frame) -> Result<(), OutboxError> {
        loop {
            let drained = self.drained.notified();
            match self.push(frame) {
                Err(OutboxError::Full(again)) => frame = again,
                other => return other,
            }
            drained.await;
        }
    }

    /// Whether more than half of what may wait does, for those who hand in frames and wait before the next.
    pub const fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    fn note_crowd(&self) {
        let settings = self.config.settings();
        let waiting = self.frames.borrow().len();
        let bytes_many = self.bytes.get() > settings.outbox_bytes_max / 2;
        self.crowd.set(bytes_many || waiting > settings.outbox_frames_max / 2);
    }

    /// Waits until all that was put in has been handed to the link, or the link is gone.
    pub async fn flushed(&self) {
        loop {
            let drained = self.drained.notified();
            if self.closed.get() || (!self.writing.get() && self.frames.borrow().is_empty()) {
                return;
            }
            drained.await;
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Takes nothing any more, and forgets what waits.
    pub(super) fn close(&self) {
        self.closed.set(true);
        count_dropped(self.frames.take().len(), "link_gone");
        self.bytes.set(0);
        self.crowd.set(false);
        self.drained.notify_waiters();
    }

    /// The next batch; waits until there is one. Returns its bytes.
    async fn batch(&self, batch: &mut VecDeque<Frame>) -> usize {
        loop {
            if self.writing.replace(false) {
                self.drained.notify_waiters();
            }
            let mut taken = 0;
            {
                let mut frames = self.frames.borrow_mut();
                while taken < BATCH_BYTES
                    && let Some(frame) = frames.pop_front()
                {
                    taken += length(&frame);
                    batch.push_back(frame);
                }
            }
            if !batch.is_empty() {
                self.bytes.set(self.bytes.get() - taken);
                self.writing.set(true);
                self.note_crowd();
                self.drained.notify_waiters();
                return taken;
            }
            self.filled.notified().await;
        }
    }
}

impl Drop for Outbox {
    /// Nobody waits for what is no more, be it that its writer was dropped with its thread's runtime.
    fn drop(&mut self) {
        self.crowd.set(false);
    }
}

/// Sends what is put into an outbox until the link is gone.
pub(super) async fn write(link: Arc<dyn Link>, lane: Lane, outbox: &Outbox) {
    let meter = Meter::sent(lane);
    let mut sender = None;
    let mut batch = VecDeque::new();
    loop {
        let (bytes, frames) = (outbox.batch(&mut batch).await, batch.len());
        while !batch.is_empty() {
            let open = match &mut sender {
                Some(open) => open,
                none => match link.open(lane).await {
                    Ok(opened) => none.insert(opened),
                    Err(_) => return count_dropped(batch.len(), "link_gone"),
                },
            };
            match open.send(&mut batch).await {
                Ok(()) => meter.count(frames, bytes),
                Err(SendError::Link(_)) => return count_dropped(batch.len(), "link_gone"),
                // What comes next goes on a new stream: the peer may want it.
                Err(SendError::Stopped(_)) => {
                    count_dropped(batch.len(), "not_wanted");
                    batch.clear();
                    sender = None;
                }
                Err(error) => {
                    count_dropped(1, "too_large");
                    tracing::error!(peer = %link.peer().member, %lane, %error, "a frame was not sent");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn nobody_waits_for_an_outbox_that_is_gone() {
        let outbox = Outbox::new(MeshConfig::default());
        let crowd = Arc::clone(outbox.crowd());
        let half = MeshConfig::default().settings().outbox_bytes_max / 2;
        outbox
            .push_over(Frame { header: "h".into(), body: bytes::Bytes::from(vec![0; half]).into() })
            .expect("it stands");
        let mut eased = Box::pin(crowd.eased());
        assert!(crowd.is_crowded() && (&mut eased).now_or_never().is_none());
        drop(outbox);
        assert!(!crowd.is_crowded() && eased.now_or_never().is_some());
    }
}
