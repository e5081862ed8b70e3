//! Chunks of bytes become frames.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::prefix::{PREFIX_BYTES, Prefix};
use crate::{Frame, FrameConfig, LinkError};

/// Bytes that no correct peer sends on a lane. Close the link: nothing behind them can be trusted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A record of a kind that this version does not have.
    #[error("a record of unknown kind {0}")]
    UnknownKind(u8),
    /// The header is longer than allowed.
    #[error("a header of {bytes} bytes exceeds the limit of {limit}; do all nodes have the same limits?")]
    HeaderTooLarge {
        /// Bytes announced.
        bytes: usize,
        /// The configured maximum.
        limit: usize,
    },
    /// The record is longer than allowed.
    #[error("a record of {bytes} bytes exceeds the limit of {limit}; do all nodes have the same limits?")]
    RecordTooLarge {
        /// Bytes announced.
        bytes: usize,
        /// The configured maximum.
        limit: usize,
    },
    /// The payload is longer than allowed.
    #[error("a payload of {bytes} bytes exceeds the limit of {limit}; do all nodes have the same limits?")]
    PayloadTooLarge {
        /// Bytes announced.
        bytes: usize,
        /// The configured maximum.
        limit: usize,
    },
    /// A part has no header.
    #[error("a part of a payload has a header of {0} bytes")]
    HeaderOfPart(usize),
    /// A part that belongs to no frame.
    #[error("a part of a payload without the record that announces it")]
    StrayPart,
    /// Another record where the next part of a payload must be.
    #[error("a record amid the parts of a payload that lacks {missing} bytes")]
    Interrupted {
        /// What the payload lacks.
        missing: usize,
    },
    /// A part that is empty, or longer than what the payload lacks.
    #[error("a part of {bytes} bytes of a payload that lacks {missing}")]
    PartLength {
        /// Bytes of the part.
        bytes: usize,
        /// What the payload lacks.
        missing: usize,
    },
    /// The stream ended amid a frame.
    #[error("the lane ended amid a frame")]
    Truncated,
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Violation(error.to_string())
    }
}

/// Bytes that the long frames of one link may take while they are put together; its lanes share it.
#[derive(Clone, Debug)]
pub struct ReassemblyBudget(Arc<Semaphore>);

impl ReassemblyBudget {
    /// The budget of a new link.
    pub fn new(config: &FrameConfig) -> Self {
        Self(Arc::new(Semaphore::new(config.reassembly_bytes_max())))
    }
}

/// What a decoder needs before it can go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Need {
    /// More bytes: [`FrameDecoder::push`].
    Bytes,
    /// Room for a long frame, while other lanes use it up: [`FrameDecoder::reserve`].
    Room,
}

/// Turns the bytes of one lane into frames, however they are chunked.
///
/// A frame that lies within one chunk is a slice of it; one that lies across chunks is copied once.
/// Chunks are held no longer than until the next call of [`Self::decode`] returns [`Need::Bytes`].
///
/// ```
/// # use quorate_transport::{FrameConfig, codec::{FrameDecoder, Need, ReassemblyBudget}};
/// let config = FrameConfig::default();
/// let mut decoder = FrameDecoder::new(config, ReassemblyBudget::new(&config));
/// let mut frames = Vec::new();
/// for chunk in [&b"\0\x01\0\0\x07\0"[..], &b"\0\0hpay"[..], &b"load"[..]] {
///     decoder.push(chunk.into());
///     assert_eq!(decoder.decode(&mut frames), Ok(Need::Bytes));
/// }
/// assert_eq!(frames[0].body, ["payload"]);
/// assert_eq!(decoder.finish(), Ok(())); // the stream may end here
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    config: FrameConfig,
    budget: ReassemblyBudget,
    chunks: VecDeque<Bytes>,
    /// The beginning of what is being read, if it lies across chunks.
    begun: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a record.
    Start,
    /// In a frame of one record.
    Whole { header: usize, payload: usize },
    /// In the header of a frame whose payload comes in parts.
    LargeHeader { header: usize, payload: usize },
    /// Before the first part, until there is room.
    Waiting { header: Bytes, payload: usize },
    /// Before or in a part, of which so much is to come.
    Parts { large: Large, left_of_part: usize },
    /// Nothing is read any more.
    Failed(FrameError),
}

/// A frame whose payload comes in parts.
#[derive(Debug)]
struct Large {
    header: Bytes,
    payload: BytesMut,
    missing: usize,
    /// Gives the bytes back to the budget when the frame is handed over or the lane is dropped.
    _room: OwnedSemaphorePermit,
}

impl FrameDecoder {
    /// Starts at the beginning of a stream of records.
    pub fn new(config: FrameConfig, budget: ReassemblyBudget) -> Self {
        Self { config, budget, chunks: VecDeque::new(), begun: BytesMut::new(), state: State::Start }
    }

    /// Takes in the next bytes of the stream. Call [`Self::decode`] before more are pushed: that
    /// bounds what is held.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Appends the frames that are complete, and says what it takes to go on.
    ///
    /// # Errors
    /// [`FrameError`], now and at every later call. The frames before it are appended.
    pub fn decode(&mut self, frames: &mut Vec<Frame>) -> Result<Need, FrameError> {
        loop {
            if matches!(self.state, State::Start) && self.begun.is_empty() {
                self.decode_within_chunks(frames);
            }
            let need = match mem::replace(&mut self.state, State::Start) {
                State::Start => self.on_start(),
                State::Whole { header, payload } => Ok(self.on_whole(header, payload, frames)),
                State::LargeHeader { header, payload } => Ok(self.on_large_header(header, payload)),
                State::Waiting { header, payload } => Ok(self.on_waiting(header, payload)),
                State::Parts { large, left_of_part } => self.on_parts(large, left_of_part, frames),
                State::Failed(error) => Err(error),
            };
            match need {
                Ok(None) => {}
                Ok(Some(need)) => return Ok(need),
                Err(error) => {
                    self.chunks.clear();
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Waits until there is room for the long frame that is about to come. Returns at once if
    /// none is. Cancelling the wait loses nothing but the place in the queue for room.
    pub async fn reserve(&mut self) {
        let State::Waiting { payload, .. } = self.state else { return };
        let room = Arc::clone(&self.budget.0).acquire_many_owned(payload as u32).await;
        let room = room.expect("a budget is never closed");
        if let State::Waiting { header, .. } = mem::replace(&mut self.state, State::Start) {
            self.state = State::Parts { large: Large::new(header, payload, room), left_of_part: 0 };
        }
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if a frame has begun, or the error that was found before.
    pub fn finish(&self) -> Result<(), FrameError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Start if self.begun.is_empty() && self.chunks.is_empty() => Ok(()),
            _ => Err(FrameError::Truncated),
        }
    }

    /// Appends the frames of one record that lie within a chunk: nearly all, if they are short. What
    /// is anything else, or wrong, is left to the states.
    fn decode_within_chunks(&mut self, frames: &mut Vec<Frame>) {
        let (header_most, frame_most) = (self.config.header_bytes_max(), self.config.frame_bytes_max());
        while let Some(chunk) = self.chunks.front_mut() {
            while let Some(prefix) = chunk.first_chunk()
                && let Ok(Prefix::Whole { header, payload }) = Prefix::decode(*prefix)
                && header <= header_most
                && header + payload <= frame_most
                && chunk.len() >= PREFIX_BYTES + header + payload
            {
                chunk.advance(PREFIX_BYTES);
                let header = if header == 0 { Bytes::new() } else { chunk.split_to(header) };
                frames.push(Frame { header, body: chunk.split_to(payload).into() });
            }
            if !chunk.is_empty() {
                return;
            }
            self.chunks.pop_front();
        }
    }

    fn on_start(&mut self) -> Result<Option<Need>, FrameError> {
        let Some(prefix) = self.take_prefix()? else { return Ok(Some(Need::Bytes)) };
        self.state = match prefix {
            Prefix::Whole { header, payload } => {
                self.check_header(header)?;
                let (bytes, limit) = (header + payload, self.config.frame_bytes_max());
                if bytes > limit {
                    return Err(FrameError::RecordTooLarge { bytes, limit });
                }
                State::Whole { header, payload }
            }
            Prefix::Large { header, payload } => {
                self.check_header(header)?;
                let limit = self.config.payload_bytes_max();
                if payload > limit {
                    return Err(FrameError::PayloadTooLarge { bytes: payload, limit });
                }
                if payload == 0 {
                    return Err(FrameError::PartLength { bytes: 0, missing: 0 });
                }
                State::LargeHeader { header, payload }
            }
            Prefix::Part { .. } => return Err(FrameError::StrayPart),
        };
        Ok(None)
    }

    fn on_whole(&mut self, header: usize, payload: usize, frames: &mut Vec<Frame>) -> Option<Need> {
        let Some(mut bytes) = self.take(header + payload) else {
            self.state = State::Whole { header, payload };
            return Some(Need::Bytes);
        };
        let header = bytes.split_to(header);
        frames.push(Frame { header, body: bytes.into() });
        None
    }

    fn on_large_header(&mut self, header: usize, payload: usize) -> Option<Need> {
        let Some(bytes) = self.take(header) else {
            self.state = State::LargeHeader { header, payload };
            return Some(Need::Bytes);
        };
        self.state = State::Waiting { header: bytes, payload };
        None
    }

    // All of it is reserved before any part is read: two lanes that each hold half of what both
    // need would wait for each other for ever.
    fn on_waiting(&mut self, header: Bytes, payload: usize) -> Option<Need> {
        let Ok(room) = Arc::clone(&self.budget.0).try_acquire_many_owned(payload as u32) else {
            self.state = State::Waiting { header, payload };
            return Some(Need::Room);
        };
        self.state = State::Parts { large: Large::new(header, payload, room), left_of_part: 0 };
        None
    }

    fn on_parts(
        &mut self,
        mut large: Large,
        mut left_of_part: usize,
        frames: &mut Vec<Frame>,
    ) -> Result<Option<Need>, FrameError> {
        let missing = large.missing;
        if missing == 0 {
            frames.push(Frame { header: large.header, body: large.payload.freeze().into() });
            return Ok(None);
        }
        if left_of_part == 0 {
            match self.take_prefix()? {
                Some(Prefix::Part { payload: bytes }) if bytes == 0 || bytes > missing => {
                    return Err(FrameError::PartLength { bytes, missing });
                }
                Some(Prefix::Part { payload }) => left_of_part = payload,
                Some(_) => return Err(FrameError::Interrupted { missing }),
                None => {}
            }
        }
        let mut taken = 0;
        while taken < left_of_part
            && let Some(first) = self.chunks.front_mut()
        {
            let part = first.len().min(left_of_part - taken);
            large.payload.extend_from_slice(&first[..part]);
            taken += part;
            self.advance(part);
        }
        left_of_part -= taken;
        large.missing -= taken;
        let more = (taken == 0 || left_of_part > 0) && large.missing > 0 && self.chunks.is_empty();
        self.state = State::Parts { large, left_of_part };
        Ok(more.then_some(Need::Bytes))
    }

    fn check_header(&self, bytes: usize) -> Result<(), FrameError> {
        let limit = self.config.header_bytes_max();
        if bytes > limit { Err(FrameError::HeaderTooLarge { bytes, limit }) } else { Ok(()) }
    }

    fn take_prefix(&mut self) -> Result<Option<Prefix>, FrameError> {
        if self.begun.is_empty()
            && let Some(bytes) = self.chunks.front().and_then(|first| first.first_chunk())
        {
            let prefix = Prefix::decode(*bytes)?;
            self.advance(PREFIX_BYTES);
            return Ok(Some(prefix));
        }
        let Some(bytes) = self.take(PREFIX_BYTES) else { return Ok(None) };
        Prefix::decode(*bytes.first_chunk().expect("as many were taken")).map(Some)
    }

    /// Takes so many bytes in one piece, or puts aside what there is of them.
    ///
    /// A piece across chunks is allocated at once in the announced length, which is at most
    /// `frame_bytes_max` for each lane: growing it step by step would copy it again and again.
    fn take(&mut self, bytes: usize) -> Option<Bytes> {
        if self.begun.is_empty() {
            if bytes == 0 {
                return Some(Bytes::new());
            }
            if let Some(first) = self.chunks.front_mut().filter(|first| first.len() >= bytes) {
                let piece = first.split_to(bytes);
                self.advance(0);
                return Some(piece);
            }
            if !self.chunks.is_empty() {
                self.begun = BytesMut::with_capacity(bytes);
            }
        }
        while self.begun.len() < bytes {
            let first = self.chunks.front()?;
            let part = first.len().min(bytes - self.begun.len());
            self.begun.extend_from_slice(&first[..part]);
            self.advance(part);
        }
        Some(mem::take(&mut self.begun).freeze())
    }

    /// Passes over bytes of the first chunk, and over the chunk once it is empty.
    fn advance(&mut self, bytes: usize) {
        if let Some(first) = self.chunks.front_mut() {
            first.advance(bytes);
            if first.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

impl Large {
    // The room is reserved, and memory that is not written to yet costs nothing.
    fn new(header: Bytes, payload: usize, room: OwnedSemaphorePermit) -> Self {
        Self { header, payload: BytesMut::with_capacity(payload), missing: payload, _room: room }
    }
}
