//! The halves of a lane: one stream for each direction.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use super::link::Shared;
use crate::{
    Frame, Lane, LaneReceiver, LaneSender, LinkError, SendError,
    codec::{FrameDecoder, FrameEncoder, Need},
};

/// Chunks that are read at one time. A chunk is what came in one packet.
const CHUNKS: usize = 32;

/// Bytes after which what was received is handed over although more is there.
const RECEIVE_BYTES: usize = 256 << 10;

/// The code with which a stream is broken off amid a frame.
const BROKEN_OFF: VarInt = VarInt::from_u32(1);

/// Which lanes go ahead of which, on their way out.
pub(super) fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 2,
        Lane::Data(_) => 1,
        Lane::Bulk => 0,
    }
}

#[derive(Debug)]
pub(super) struct QuicSender {
    lane: Lane,
    stream: SendStream,
    encoder: FrameEncoder,
    /// Whether a part of the encoder's chunks may have been written.
    amid_frame: bool,
    shared: Arc<Shared>,
}

impl QuicSender {
    pub(super) fn new(lane: Lane, stream: SendStream, shared: Arc<Shared>) -> Self {
        let encoder = FrameEncoder::new(shared.frames);
        Self { lane, stream, encoder, amid_frame: false, shared }
    }

    /// Writes what the encoder holds. After a cancelled wait, that is the rest of it.
    async fn write(&mut self) -> Result<(), SendError> {
        self.amid_frame = true;
        let written = self.stream.write_all_chunks(self.encoder.chunks()).await;
        match written {
            Ok(()) => {}
            Err(WriteError::ConnectionLost(error)) => return Err(self.shared.error(&error).into()),
            Err(_) => return Err(SendError::Stopped(self.lane)),
        }
        self.amid_frame = false;
        self.encoder.clear();
        Ok(())
    }

    async fn send_all(&mut self, frames: &mut VecDeque<Frame>) -> Result<(), SendError> {
        self.shared.check()?;
        if self.amid_frame {
            self.write().await?;
        }
        while !frames.is_empty() {
            let refused = self.encoder.fill(frames);
            if self.encoder.bytes() > 0 {
                self.write().await?;
            }
            refused?;
        }
        Ok(())
    }
}

impl LaneSender for QuicSender {
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.send_all(frames))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async {
            self.shared.check()?;
            // It fails only if it was done before.
            let _ = self.stream.finish();
            match self.stream.stopped().await {
                Ok(_) => Ok(()),
                Err(_) => Err(self.shared.ended().await),
            }
        })
    }
}

impl Drop for QuicSender {
    fn drop(&mut self) {
        // Otherwise dropping the stream ends it, and the receiver would find a piece of a frame.
        if self.amid_frame {
            let _ = self.stream.reset(BROKEN_OFF);
        }
    }
}

/// What was read at one time.
struct Read {
    bytes: usize,
    /// Whether there may be more already. To try for it costs as much as to read it: quinn locks the
    /// connection for both.
    more: bool,
}

#[derive(Debug)]
pub(super) struct QuicReceiver {
    stream: RecvStream,
    decoder: FrameDecoder,
    ended: bool,
    shared: Arc<Shared>,
}

impl QuicReceiver {
    pub(super) fn new(stream: RecvStream, shared: Arc<Shared>) -> Self {
        let decoder = FrameDecoder::new(shared.frames, shared.budget.clone());
        Self { stream, decoder, ended: false, shared }
    }

    async fn receive(&mut self, frames: &mut Vec<Frame>) -> Result<bool, LinkError> {
        let before = frames.len();
        let (mut bytes, mut more) = (0, true);
        loop {
            self.shared.check()?;
            let decoded = self.decoder.decode(frames).map_err(|error| self.shared.violated(error));
            let found = frames.len() > before;
            if self.ended || (found && decoded.is_err()) {
                return Ok(found); // An error that comes with frames is told at the next call.
            }
            let need = decoded?;
            match need {
                _ if found && (bytes >= RECEIVE_BYTES || !more) => return Ok(true),
                Need::Room if found => return Ok(true),
                Need::Room => tokio::select! {
                    error = self.shared.ended() => return Err(error),
                    () = self.decoder.reserve() => {}
                },
                // With something in hand, take what is there but do not wait for more.
                Need::Bytes if found => match self.read().now_or_never() {
                    Some(Ok(read)) => (bytes, more) = (bytes + read.bytes, read.more),
                    Some(Err(_)) | None => return Ok(true), // An error comes again.
                },
                Need::Bytes => {
                    let read = self.read().await?;
                    (bytes, more) = (bytes + read.bytes, read.more);
                }
            }
        }
    }

    /// Reads some chunks into the decoder, or notes the end. Cancelling it loses nothing.
    async fn read(&mut self) -> Result<Read, LinkError> {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let none = Read { bytes: 0, more: true };
        let read = match self.stream.read_chunks(&mut chunks).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.ended = true;
                self.decoder.finish().map_err(|error| self.shared.violated(error))?;
                return Ok(none);
            }
            // The sender was dropped amid a frame, which nobody is to see.
            Err(ReadError::Reset(_)) => {
                self.ended = true;
                return Ok(none);
            }
            Err(ReadError::ConnectionLost(error)) => return Err(self.shared.error(&error)),
            Err(error) => return Err(LinkError::Lost(error.to_string())),
        };
        let mut bytes = 0;
        for chunk in chunks.into_iter().take(read) {
            bytes += chunk.len();
            self.decoder.push(chunk);
        }
        Ok(Read { bytes, more: read == CHUNKS })
    }
}

impl LaneReceiver for QuicReceiver {
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
        Box::pin(self.receive(frames))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_goes_ahead_of_data_and_data_ahead_of_bulk() {
        let lanes = [Lane::Control, Lane::Data(1), Lane::Bulk];
        assert!(lanes.map(priority).is_sorted_by(|first, second| first > second));
    }
}
