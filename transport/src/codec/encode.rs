//! Frames become chunks of bytes.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    prefix::{PREFIX_BYTES, Prefix},
    recycled::Recycled,
};
use crate::{Body, Frame, FrameConfig, SendError};

/// Frames are taken until the chunks hold this much: larger batches were measured to be no faster.
const BATCH_BYTES: usize = 64 << 10;

/// Turns frames into chunks of bytes, for vectored writes. Long payloads are shared, not copied.
///
/// ```
/// # use std::collections::VecDeque;
/// # use quorate_transport::{Frame, FrameConfig, codec::FrameEncoder};
/// let mut frames = VecDeque::from([Frame { header: "h".into(), body: vec!["payload".into()].into() }]);
/// let mut encoder = FrameEncoder::new(FrameConfig::default());
/// while !frames.is_empty() {
///     let refused = encoder.fill(&mut frames); // the chunks are to be written in any case
///     assert_eq!(encoder.chunks().concat(), b"\0\x01\0\0\x07\0\0\0hpayload");
///     encoder.clear();
///     refused.expect("it is small");
/// }
/// ```
#[derive(Debug)]
pub struct FrameEncoder {
    config: FrameConfig,
    /// What was copied since the last chunk.
    copied: Recycled,
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl FrameEncoder {
    /// Starts with nothing to write.
    pub fn new(config: FrameConfig) -> Self {
        Self { config, copied: Recycled::default(), chunks: Vec::new(), bytes: 0 }
    }

    /// Takes frames, oldest first, until there is a batch worth writing or none is left. A long
    /// frame is a batch alone: what is held is at most that batch and one frame.
    ///
    /// # Errors
    /// [`SendError`] for a frame that is too large. It was taken out; those before it are among the
    /// chunks, and those behind it still in the queue.
    pub fn fill(&mut self, frames: &mut VecDeque<Frame>) -> Result<(), SendError> {
        let mut result = Ok(());
        while self.bytes < BATCH_BYTES && result.is_ok() {
            let Some(frame) = frames.pop_front() else { break };
            result = self.encode(&frame);
        }
        self.cut();
        result
    }

    /// What is to be written, in order. Writers may shorten the chunks as they go along.
    pub fn chunks(&mut self) -> &mut [Bytes] {
        &mut self.chunks
    }

    /// Bytes that the chunks held when they were made.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the chunks: they have been written.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }

    fn encode(&mut self, frame: &Frame) -> Result<(), SendError> {
        let (header, payload) = (frame.header.len(), frame.body_bytes());
        check_lengths(header, payload, &self.config)?;
        if header + payload > self.config.frame_bytes_max() {
            self.prefix(Prefix::Large { header, payload });
            self.append(&frame.header);
            self.encode_parts(frame.body.joined(), payload);
        } else if header + payload < Body::COPIED_BELOW_BYTES {
            self.copy_short(frame, header, payload);
        } else {
            self.prefix(Prefix::Whole { header, payload });
            self.append(&frame.header);
            frame.body.joined().iter().for_each(|piece| self.append(piece));
        }
        Ok(())
    }

    fn encode_parts(&mut self, body: &[Bytes], mut missing: usize) {
        let mut left_of_part = 0;
        for mut piece in body.iter().cloned() {
            while !piece.is_empty() {
                if left_of_part == 0 {
                    left_of_part = missing.min(self.config.frame_bytes_max());
                    missing -= left_of_part;
                    self.prefix(Prefix::Part { payload: left_of_part });
                }
                let slice = piece.split_to(piece.len().min(left_of_part));
                left_of_part -= slice.len();
                self.append(&slice);
            }
        }
        debug_assert!(left_of_part == 0 && missing == 0, "the parts add up to the payload");
    }

    /// Copies a frame of which no piece is long. Room is looked for once, and not for each of its pieces.
    fn copy_short(&mut self, frame: &Frame, header: usize, payload: usize) {
        let bytes = PREFIX_BYTES + header + payload;
        self.bytes += bytes;
        self.make_room(bytes);
        self.copied.write(&Prefix::Whole { header, payload }.encode());
        if header > 0 {
            self.copied.write(&frame.header);
        }
        frame.body.joined().iter().for_each(|piece| self.copied.write(piece));
    }

    fn prefix(&mut self, prefix: Prefix) {
        self.bytes += PREFIX_BYTES;
        self.copy(&prefix.encode());
    }

    fn append(&mut self, piece: &Bytes) {
        self.bytes += piece.len();
        if piece.len() < Body::COPIED_BELOW_BYTES {
            self.copy(piece);
        } else {
            self.cut();
            self.chunks.push(piece.clone());
        }
    }

    /// Copies fewer than [`Body::COPIED_BELOW_BYTES`].
    /// A batch of many small frames thus becomes one chunk.
    fn copy(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.copied.write(bytes);
    }

    fn make_room(&mut self, bytes: usize) {
        if self.copied.room() < bytes {
            self.cut();
            self.copied.renew();
        }
    }

    /// Makes a chunk of what was copied.
    fn cut(&mut self) {
        self.chunks.extend(self.copied.cut());
    }
}

/// Checks that a frame is within the limits, as its sender has to.
///
/// # Errors
/// [`SendError`] if its header or its payload is too large.
pub fn check_lengths(header: usize, payload: usize, config: &FrameConfig) -> Result<(), SendError> {
    if payload > config.payload_bytes_max() {
        return Err(SendError::TooLarge { bytes: payload, limit: config.payload_bytes_max() });
    }
    if header > config.header_bytes_max() {
        return Err(SendError::HeaderTooLarge { bytes: header, limit: config.header_bytes_max() });
    }
    Ok(())
}
