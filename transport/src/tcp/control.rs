//! The first connection of a link: datagrams, signs of life, requests for lanes, and why it ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Notify,
    time::timeout,
};

use super::{
    LINGER, Stream,
    chunks::Chunks,
    datagrams::{DATAGRAM_BYTES_MAX, DatagramQueue},
    link::Shared,
};
use crate::{
    CloseReason, Frame, FrameConfig, FrameSettings, Lane, LinkError,
    codec::{
        FrameDecoder, FrameEncoder, LANE_BYTES, Need, ReassemblyBudget, decode_close, decode_lane,
        encode_close, encode_lane,
    },
};

/// Datagrams that are taken at one time.
const BATCH: usize = 64;

/// What a record says; a datagram's bytes are its payload.
#[derive(Debug, Serialize, Deserialize)]
enum Header {
    /// Nothing but that its sender lives.
    Alive,
    /// A datagram.
    Datagram,
    /// The accepting side wants to send on a lane: the other is to dial, and to bring this number.
    WantLane { request: u64, name: [u8; LANE_BYTES] },
    /// The link is closed; the payload says why. Nothing follows.
    Close,
}

impl Header {
    fn with(&self, payload: Bytes) -> Frame {
        let header = rmp_serde::to_vec(self).expect("numbers and bytes can be encoded").into();
        Frame { header, body: payload.into() }
    }
}

/// Limits of the records on this connection.
fn limits() -> FrameConfig {
    let settings = FrameSettings {
        header_bytes_max: 64,
        frame_bytes_max: 4 << 10,
        payload_bytes_max: 4 << 10,
        reassembly_bytes_max: 4 << 10,
    };
    settings.try_into().expect("these limits make sense")
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Outbox {
    datagrams: DatagramQueue,
    urgent: Mutex<Urgent>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Urgent {
    /// At most one for each lane that may be open.
    wanted: VecDeque<(u64, Lane)>,
    close: Option<CloseReason>,
    ended: bool,
}

impl Outbox {
    pub(super) fn new(datagram_bytes_max: usize) -> Self {
        let datagrams = DatagramQueue::new(datagram_bytes_max);
        Self { datagrams, urgent: Mutex::default(), filled: Notify::new() }
    }

    pub(super) fn push_datagram(&self, datagram: Bytes) {
        self.datagrams.push(datagram);
        self.filled.notify_one();
    }

    pub(super) fn want_lane(&self, request: u64, lane: Lane) {
        self.lock().wanted.push_back((request, lane));
        self.filled.notify_one();
    }

    /// Nothing is taken any more. With a reason, that is the last record.
    pub(super) fn end(&self, reason: Option<CloseReason>) {
        let mut urgent = self.lock();
        urgent.ended = true;
        urgent.close = reason;
        drop(urgent);
        self.filled.notify_one();
    }

    /// Takes what waits, and whether it is the last.
    fn take(&self) -> (VecDeque<Frame>, bool) {
        let mut frames = VecDeque::new();
        let mut urgent = self.lock();
        for (request, lane) in urgent.wanted.drain(..) {
            let name = encode_lane(lane);
            frames.push_back(Header::WantLane { request, name }.with(Bytes::new()));
        }
        let datagrams = std::iter::from_fn(|| self.datagrams.pop()).take(BATCH);
        frames.extend(datagrams.map(|datagram| Header::Datagram.with(datagram)));
        let last = urgent.ended && frames.len() < BATCH;
        if last && let Some(reason) = urgent.close.take() {
            frames.push_back(Header::Close.with(encode_close(&reason).into()));
        }
        (frames, last)
    }

    /// Waits for what is to be written.
    async fn next(&self) -> (VecDeque<Frame>, bool) {
        loop {
            let filled = self.filled.notified();
            let (frames, last) = self.take();
            if last || !frames.is_empty() {
                return (frames, last);
            }
            filled.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Urgent> {
        self.urgent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drives the connection until the link is closed and both sides know.
pub(super) async fn drive(shared: &Arc<Shared>, stream: Stream, idle: Duration, keep_alive: Duration) {
    let (reader, writer) = tokio::io::split(stream);
    let reading = async {
        let error = read(shared, reader, idle).await;
        shared.end(error, None);
    };
    let writing = async {
        tokio::select! {
            written = write(shared, writer, keep_alive) => if let Err(error) = written {
                shared.end(LinkError::Lost(error.to_string()), None);
            },
            // A peer that reads nothing keeps nobody waiting for ever.
            () = async { shared.ended().await; tokio::time::sleep(LINGER).await } => {}
        }
    };
    tokio::join!(reading, writing);
}

async fn write(shared: &Shared, mut stream: WriteHalf<Stream>, keep_alive: Duration) -> std::io::Result<()> {
    let mut encoder = FrameEncoder::new(limits());
    loop {
        let nothing = || (VecDeque::from([Header::Alive.with(Bytes::new())]), false);
        let next = timeout(keep_alive, shared.outbox.next()).await;
        let (mut frames, last) = next.unwrap_or_else(|_| nothing());
        while !frames.is_empty() {
            encoder.fill(&mut frames).expect("what is put here is within the limits");
            stream.write_all_buf(&mut Chunks(encoder.chunks())).await?;
            encoder.clear();
        }
        stream.flush().await?;
        if last {
            return stream.shutdown().await;
        }
    }
}

/// Reads until the link ends, and then what still comes for a while: a connection that is closed
/// while something waits to be read is reset, and the last record with it.
async fn read(shared: &Arc<Shared>, mut stream: ReadHalf<Stream>, idle: Duration) -> LinkError {
    let error = tokio::select! {
        error = shared.ended() => error,
        error = read_records(shared, &mut stream, idle) => error,
    };
    shared.end(error.clone(), None);
    let mut rest = [0; 4096];
    let drained = async { while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} };
    let _ = timeout(LINGER, drained).await;
    error
}

async fn read_records(shared: &Arc<Shared>, stream: &mut ReadHalf<Stream>, idle: Duration) -> LinkError {
    let limits = limits();
    let mut decoder = FrameDecoder::new(limits, ReassemblyBudget::new(&limits));
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    loop {
        buffer.reserve(16 << 10);
        match timeout(idle, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => return LinkError::Lost("the peer hung up".to_owned()),
            Ok(Ok(_)) => decoder.push(buffer.split().freeze()),
            Ok(Err(error)) => return LinkError::Lost(error.to_string()),
            Err(_) => return LinkError::Lost("nothing was heard for too long".to_owned()),
        }
        let decoded = decoder.decode(&mut frames);
        for frame in frames.drain(..) {
            if let Err(error) = on_record(shared, frame) {
                return error;
            }
        }
        match decoded {
            Ok(Need::Bytes) => {}
            Ok(Need::Room) => decoder.reserve().await,
            Err(error) => return shared.violated(error),
        }
    }
}

fn on_record(shared: &Arc<Shared>, frame: Frame) -> Result<(), LinkError> {
    match understand(frame).map_err(|error| shared.violated(error))? {
        Said::Alive => Ok(()),
        Said::Datagram(datagram) => {
            shared.datagrams.push(datagram);
            Ok(())
        }
        Said::WantLane { request, lane } => shared.on_wanted(request, lane),
        Said::Close(reason) => Err(LinkError::ClosedByPeer(reason)),
    }
}

/// What a peer has said in a record.
#[derive(Debug, PartialEq)]
enum Said {
    Alive,
    Datagram(Bytes),
    WantLane { request: u64, lane: Lane },
    Close(CloseReason),
}

fn understand(frame: Frame) -> Result<Said, LinkError> {
    let violation = |what: &str| Err(LinkError::Violation(what.to_owned()));
    match rmp_serde::from_slice(&frame.header) {
        Ok(Header::Alive) => Ok(Said::Alive),
        Ok(Header::Datagram) if frame.body_bytes() > DATAGRAM_BYTES_MAX => violation("a datagram too large"),
        Ok(Header::Datagram) => Ok(Said::Datagram(frame.into_body())),
        Ok(Header::WantLane { request, name }) => {
            Ok(Said::WantLane { request, lane: decode_lane(name).map_err(LinkError::from)? })
        }
        Ok(Header::Close) => Ok(Said::Close(decode_close(&frame.into_body()))),
        Err(_) => violation("a record that says nothing known"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_into_a_record_is_understood(request: u64, number: u64, payload: Vec<u8>, why: String) {
            let payload = Bytes::from(payload);
            let datagram = Header::Datagram.with(payload.clone());
            prop_assert_eq!(understand(datagram), Ok(Said::Datagram(payload)));
            for lane in [Lane::Control, Lane::Bulk, Lane::Data(number)] {
                let wanted = Header::WantLane { request, name: encode_lane(lane) };
                prop_assert_eq!(understand(wanted.with(Bytes::new())), Ok(Said::WantLane { request, lane }));
            }
            let reason = encode_close(&CloseReason::Violation(why));
            let known = decode_close(&reason);
            prop_assert_eq!(understand(Header::Close.with(reason.into())), Ok(Said::Close(known)));
        }

        #[test]
        fn arbitrary_records_are_understood_or_breaches_of_the_protocol(
            header: Vec<u8>, known in 0..4_u8, body in prop::collection::vec(any::<u8>(), 0..4000),
        ) {
            let names = ["Alive", "Datagram", "WantLane", "Close"];
            let named = rmp_serde::to_vec(names[usize::from(known)]).unwrap();
            for header in [header.clone(), named.clone(), [named, header].concat()] {
                let frame = Frame { header: header.into(), body: Bytes::from(body.clone()).into() };
                match understand(frame) {
                    Ok(Said::Datagram(datagram)) => {
                        prop_assert!(datagram == body && body.len() <= DATAGRAM_BYTES_MAX);
                    }
                    Ok(_) => {}
                    Err(error) => prop_assert!(matches!(error, LinkError::Violation(_)), "{error}"),
                }
            }
        }
    }
}
