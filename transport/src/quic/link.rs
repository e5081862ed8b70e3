//! A link: one connection.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quinn::{Connection, ReadError, RecvStream, SendDatagramError, SendStream};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    CLOSED, Inner, Traffic,
    congestion::CloseSignal,
    departures::Departures,
    endpoint::Attempt,
    error::link_error,
    lane::{QuicReceiver, QuicSender, priority},
};
use crate::{
    CloseReason, DatagramError, FrameConfig, Incoming, Lane, LaneSender, Link, LinkError, PeerInfo, Serial,
    codec::{LANE_BYTES, ReassemblyBudget, decode_lane, encode_close, encode_lane},
    net::Linked,
    tls::Holder,
};

/// What waits behind everything else of its connection.
const LAST: i32 = -1;

/// A handle of a link. Its lanes keep the connection alive as well.
#[derive(Debug)]
pub(super) struct QuicLink {
    shared: Arc<Shared>,
    /// The next lane of the peer, as far as its name has come.
    opening: AsyncMutex<Option<Opening>>,
}

/// What a link and its lanes share. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Shared {
    connection: Connection,
    closing: CloseSignal,
    departures: Departures,
    /// The stream of the hellos. Both halves stay open for [`Self::flush`], here and there.
    greeting: Mutex<Option<(SendStream, RecvStream)>>,
    peer: PeerInfo,
    serial: Serial,
    pub(super) frames: FrameConfig,
    pub(super) budget: ReassemblyBudget,
    /// Why this side closed it.
    closed_here: OnceLock<LinkError>,
}

#[derive(Debug)]
struct Opening {
    stream: RecvStream,
    name: [u8; LANE_BYTES],
    filled: usize,
}

impl Shared {
    pub(super) fn new(
        inner: &Inner,
        connection: Connection,
        greeting: (SendStream, RecvStream),
        peer: PeerInfo,
        attempt: &Attempt,
        holder: &Holder,
    ) -> Arc<Self> {
        // It fails only if the connection is lost already, which everybody is about to learn.
        let _ = greeting.0.set_priority(LAST);
        let greeting = Mutex::new(Some(greeting));
        let (closing, departures) = (attempt.closing.clone(), inner.departures.clone());
        let frames = *inner.base.config.frames();
        let (budget, closed_here) = (ReassemblyBudget::new(&frames), OnceLock::new());
        let serial = holder.serial.clone();
        Arc::new(Self {
            connection,
            closing,
            departures,
            greeting,
            peer,
            serial,
            frames,
            budget,
            closed_here,
        })
    }

    /// Closes the link for what the peer sent.
    pub(super) fn violated(&self, what: impl Into<LinkError>) -> LinkError {
        let error = what.into();
        let reason = CloseReason::Violation(match &error {
            LinkError::Violation(what) => what.clone(),
            other => other.to_string(),
        });
        if self.close_with(&reason, error.clone()) {
            metrics::counter!("quorate_links_violated_total").increment(1);
            tracing::warn!(peer = %self.peer.member, addr = %self.peer.addr, %error, "closed a link");
        }
        error
    }

    fn close_with(&self, reason: &CloseReason, error: LinkError) -> bool {
        let first = self.connection.close_reason().is_none() && self.closed_here.set(error).is_ok();
        if first {
            self.closing.give();
            self.connection.close(CLOSED, &encode_close(reason));
            self.departures.see_off(self.connection.clone());
        }
        first
    }

    /// Fails if this side has closed the link: then nothing is read or sent any more, although
    /// something may be there.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        self.closed_here.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Why the link is no more, given what quinn says.
    pub(super) fn error(&self, error: &quinn::ConnectionError) -> LinkError {
        match (error, self.closed_here.get()) {
            (quinn::ConnectionError::LocallyClosed, Some(error)) => error.clone(),
            _ => link_error(error),
        }
    }

    /// The same for a caller who does not know what quinn says.
    pub(super) async fn ended(&self) -> LinkError {
        let error = self.connection.closed().await;
        self.error(&error)
    }

    /// What this side has sent.
    pub(super) fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic { packets: stats.udp_tx.datagrams, bytes: stats.udp_tx.bytes, lost: stats.path.lost_packets }
    }

    /// Waits until the peer has what was sent before, as far as it goes through. Nothing overtakes
    /// what waits longest: the end of the stream of the hellos arrives when all the rest has left.
    pub(super) async fn flush(&self) {
        let greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut ours, _theirs)) = greeting
            && ours.finish().is_ok()
        {
            let _ = ours.stopped().await;
        }
    }
}

impl Linked for Shared {
    fn close(&self, reason: CloseReason) {
        self.close_with(&reason.clone(), LinkError::ClosedHere(reason));
    }

    fn serial(&self) -> &Serial {
        &self.serial
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(CloseReason::Stopping);
    }
}

impl QuicLink {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, opening: AsyncMutex::new(None) }
    }

    async fn open_lane(&self, lane: Lane) -> Result<Box<dyn LaneSender>, LinkError> {
        let shared = Arc::clone(&self.shared);
        shared.check()?;
        let lost = |error: quinn::ConnectionError| shared.error(&error);
        let mut stream = shared.connection.open_uni().await.map_err(lost)?;
        let name = encode_lane(lane);
        let named = match stream.set_priority(priority(lane)) {
            Ok(()) => stream.write_all(&name).await.is_ok(),
            Err(_) => false,
        };
        if named { Ok(Box::new(QuicSender::new(lane, stream, shared))) } else { Err(shared.ended().await) }
    }

    /// Waits for the next lane. What has come of it is kept when the wait is cancelled.
    async fn next_lane(&self) -> Result<Incoming, LinkError> {
        let mut slot = self.opening.lock().await;
        loop {
            self.shared.check()?;
            let opening = if let Some(opening) = &mut *slot {
                opening
            } else {
                let accepted = self.shared.connection.accept_uni().await;
                let stream = accepted.map_err(|error| self.shared.error(&error))?;
                slot.insert(Opening { stream, name: [0; LANE_BYTES], filled: 0 })
            };
            match opening.stream.read(&mut opening.name[opening.filled..]).await {
                Ok(Some(bytes)) => opening.filled += bytes,
                Err(ReadError::ConnectionLost(error)) => return Err(self.shared.error(&error)),
                Ok(None) if opening.filled > 0 => {
                    return Err(self.shared.violated(LinkError::Violation("a lane without a name".into())));
                }
                // Given up by the peer before it had a name.
                Ok(None) | Err(_) => *slot = None,
            }
            if let Some(opening) = slot.take_if(|opening| opening.filled == LANE_BYTES) {
                let lane = decode_lane(opening.name).map_err(|error| self.shared.violated(error))?;
                let receiver = QuicReceiver::new(opening.stream, Arc::clone(&self.shared));
                return Ok((lane, Box::new(receiver)));
            }
        }
    }
}

impl Link for QuicLink {
    fn peer(&self) -> &PeerInfo {
        &self.shared.peer
    }

    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>> {
        Box::pin(self.open_lane(lane))
    }

    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>> {
        Box::pin(self.next_lane())
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let bytes = datagram.len();
        self.shared.connection.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::ConnectionLost(error) => DatagramError::Link(self.shared.error(&error)),
            SendDatagramError::TooLarge
            | SendDatagramError::UnsupportedByPeer
            | SendDatagramError::Disabled => {
                let limit = self.shared.connection.max_datagram_size().unwrap_or(0);
                DatagramError::TooLarge { bytes, limit }
            }
        })
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(async {
            self.shared.check()?;
            let received = self.shared.connection.read_datagram().await;
            received.map_err(|error| self.shared.error(&error))
        })
    }

    fn close(&self, reason: CloseReason) {
        self.shared.close(reason);
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(self.shared.ended())
    }
}
