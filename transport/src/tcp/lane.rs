//! The halves of a lane: one connection for each direction.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{
    LINGER, Stream,
    chunks::Chunks,
    link::{Handle, Shared},
    lost,
};
use crate::{
    Frame, Lane, LaneReceiver, LaneSender, LinkError, SendError,
    codec::{FrameDecoder, FrameEncoder, Need},
};

/// Room that is made for reading.
const READ_BYTES: usize = 64 << 10;

/// Bytes after which what was received is handed over although more is there.
const RECEIVE_BYTES: usize = 256 << 10;

/// How long the end of a lane may be ahead of the end of its link, which then is what it means.
const GRACE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct TcpSender {
    lane: Lane,
    /// There until it is dropped.
    stream: Option<Stream>,
    encoder: FrameEncoder,
    /// Whether a part of the encoder's chunks may have been written.
    amid_frame: bool,
    finished: bool,
    shared: Arc<Shared>,
    /// One of the lanes that may be open.
    permit: Option<OwnedSemaphorePermit>,
    /// Keeps the link while the application has the lane.
    handle: Option<Arc<Handle>>,
}

impl TcpSender {
    pub(super) fn new(
        lane: Lane,
        stream: Stream,
        shared: Arc<Shared>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let encoder = FrameEncoder::new(shared.frames);
        let (stream, amid_frame, finished) = (Some(stream), false, false);
        Self { lane, stream, encoder, amid_frame, finished, shared, permit, handle: None }
    }

    /// In the hands of the application, it keeps the link alive.
    pub(super) fn held_by(mut self, handle: Arc<Handle>) -> Self {
        self.handle = Some(handle);
        self
    }

    /// Writes what the encoder holds. After a cancelled wait, that is the rest of it.
    async fn write(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().expect("it is there until this is dropped");
        self.amid_frame = true;
        stream.write_all_buf(&mut Chunks(self.encoder.chunks())).await?;
        stream.flush().await?;
        self.amid_frame = false;
        self.encoder.clear();
        Ok(())
    }

    async fn write_or_end(&mut self) -> Result<(), SendError> {
        let shared = Arc::clone(&self.shared);
        let written = tokio::select! {
            biased;
            error = shared.ended() => return Err(error.into()),
            written = self.write() => written,
        };
        match written {
            Ok(()) => Ok(()),
            Err(_) => match timeout(GRACE, shared.ended()).await {
                Ok(error) => Err(error.into()),
                Err(_) => Err(SendError::Stopped(self.lane)),
            },
        }
    }

    async fn send_all(&mut self, frames: &mut VecDeque<Frame>) -> Result<(), SendError> {
        self.shared.check()?;
        if self.finished {
            return Err(SendError::Stopped(self.lane));
        }
        if self.amid_frame {
            self.write_or_end().await?;
        }
        while !frames.is_empty() {
            let refused = self.encoder.fill(frames);
            if self.encoder.bytes() > 0 {
                self.write_or_end().await?;
            }
            refused?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), LinkError> {
        self.finished = true;
        let stream = self.stream.as_mut().expect("it is there until this is dropped");
        tokio::select! {
            biased;
            error = self.shared.ended() => Err(error),
            // If it fails the receiver is gone, and needs no end.
            _ = stream.shutdown() => Ok(()),
        }
    }
}

impl LaneSender for TcpSender {
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.send_all(frames))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.end())
    }
}

impl Drop for TcpSender {
    /// Ends the lane in good order, in the background: a connection that just breaks is a lost one
    /// to the receiver. It counts as open until the receiver has let go of it.
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let (shared, permit) = (Arc::clone(&self.shared), self.permit.take());
        self.shared.spawn(async move {
            let ending = async {
                if stream.shutdown().await.is_ok() {
                    let _ = stream.read(&mut [0; 16]).await;
                }
            };
            tokio::select! {
                () = ending => {}
                // A moment more, so that what was handed over before can leave.
                () = async { shared.ended().await; tokio::time::sleep(LINGER).await } => {}
            }
            drop(permit);
        });
    }
}

#[derive(Debug)]
pub(super) struct TcpReceiver {
    reader: ReadHalf<Stream>,
    buffer: BytesMut,
    decoder: FrameDecoder,
    ended: bool,
    handle: Arc<Handle>,
    _permit: OwnedSemaphorePermit,
}

impl TcpReceiver {
    pub(super) fn new(reader: ReadHalf<Stream>, permit: OwnedSemaphorePermit, handle: Arc<Handle>) -> Self {
        let decoder = FrameDecoder::new(handle.0.frames, handle.0.budget.clone());
        Self { reader, buffer: BytesMut::new(), decoder, ended: false, handle, _permit: permit }
    }

    async fn receive(&mut self, frames: &mut Vec<Frame>) -> Result<bool, LinkError> {
        let shared = Arc::clone(&self.handle.0);
        let before = frames.len();
        let mut bytes = 0;
        loop {
            shared.check_here()?;
            let decoded = self.decoder.decode(frames).map_err(|error| shared.violated(error));
            let found = frames.len() > before;
            if self.ended || (found && decoded.is_err()) {
                return Ok(found); // An error that comes with frames is told at the next call.
            }
            match decoded? {
                _ if found && bytes >= RECEIVE_BYTES => return Ok(true),
                Need::Room if found => return Ok(true),
                Need::Room => tokio::select! {
                    error = shared.ended() => return Err(error),
                    () = self.decoder.reserve() => {}
                },
                // With something in hand, take what is there but do not wait for more.
                Need::Bytes if found => match self.read().now_or_never() {
                    Some(Ok(read)) => bytes += read,
                    Some(Err(_)) | None => return Ok(true), // An error comes again.
                },
                Need::Bytes => tokio::select! {
                    biased;
                    read = self.read() => match read {
                        Ok(read) => bytes += read,
                        Err(error) => return Err(broken(&shared, &error).await),
                    },
                    error = shared.ended() => return Err(error),
                },
            }
        }
    }

    /// Reads into the decoder, or notes the end. Cancelling it loses nothing.
    async fn read(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        let read = self.reader.read_buf(&mut self.buffer).await?;
        if read == 0 {
            // In good order, if perhaps amid a frame: then the sender was dropped, and nobody is to
            // see that frame.
            self.ended = true;
        }
        self.decoder.push(self.buffer.split().freeze());
        Ok(read)
    }
}

/// A lane that breaks off takes its link with it: what was on the way is lost, and nobody would
/// notice. Most often the link has ended, and that is on its way.
async fn broken(shared: &Shared, error: &io::Error) -> LinkError {
    if timeout(GRACE, shared.ended()).await.is_err() {
        shared.end(lost("a lane broke off", error), None);
    }
    shared.ended().await
}

impl LaneReceiver for TcpReceiver {
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
        Box::pin(self.receive(frames))
    }
}
