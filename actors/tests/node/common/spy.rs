//! A transport that remembers the payloads it was given.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quorate::transport::{
    CloseReason, ConnectError, DatagramError, Endpoint, Frame, Incoming, Lane, LaneSender, Link, LinkError,
    PeerInfo, SendError, Transport,
};

/// Payloads that nodes have handed to their links, in the pieces in which they did.
#[derive(Clone, Default)]
pub(crate) struct Handed(Arc<Mutex<Vec<Bytes>>>);

impl Handed {
    /// Whether all of `payload` was handed over in place: no byte of it from a copy.
    pub(crate) fn has(&self, payload: &Bytes) -> bool {
        let whole = payload.as_ptr_range();
        let pieces = self.0.lock().unwrap();
        let mut ranges: Vec<_> = pieces.iter().map(|piece| piece.as_ptr_range()).collect();
        ranges.retain(|range| whole.start <= range.start && range.end <= whole.end);
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.iter().fold(whole.start, |end, it| if it.start <= end { end.max(it.end) } else { end })
            == whole.end
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payloads handed over")
    }
}

#[derive(Debug)]
pub(crate) struct Spying<T>(pub(crate) T, pub(crate) Handed);

#[derive(Debug)]
struct SpyingLink(Arc<dyn Link>, Handed);

#[derive(Debug)]
struct SpyingSender(Box<dyn LaneSender>, Handed);

impl<T: Transport> Transport for Spying<T> {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        Box::pin(async { Ok(Arc::new(SpyingLink(self.0.connect(to).await?, self.1.clone())) as _) })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async { Some(Arc::new(SpyingLink(self.0.accept().await?, self.1.clone())) as _) })
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()> {
        self.0.close(reason)
    }
}

impl Link for SpyingLink {
    fn peer(&self) -> &PeerInfo {
        self.0.peer()
    }

    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>> {
        Box::pin(async move { Ok(Box::new(SpyingSender(self.0.open(lane).await?, self.1.clone())) as _) })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>> {
        self.0.accept()
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.send_datagram(datagram)
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        self.0.recv_datagram()
    }

    fn close(&self, reason: CloseReason) {
        self.0.close(reason);
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        self.0.closed()
    }
}

impl LaneSender for SpyingSender {
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>> {
        self.1.0.lock().unwrap().extend(frames.iter().flat_map(|frame| frame.body.iter().cloned()));
        self.0.send(frames)
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.0.finish()
    }
}
