//! A link over a network with faults.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, OptionFuture};
use quorate_membership::NodeId;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    Faults,
    lane::{FaultyReceiver, FaultySender},
};
use crate::{CloseReason, DatagramError, Incoming, Lane, LaneSender, Link, LinkError, PeerInfo};

/// Late datagrams that are under way on a link; more are lost.
const LATE_DATAGRAMS_MAX: usize = 4096;

/// The handle of one end. Its lanes keep the end alive as well.
#[derive(Debug)]
pub(super) struct FaultyLink(pub(super) Arc<End>);

/// One end of a link. Dropping it closes the link.
#[derive(Debug)]
pub(super) struct End {
    path: Arc<Path>,
    watchdog: JoinHandle<()>,
}

/// What is known of the network between both ends, here at one of them.
pub(super) struct Path {
    me: NodeId,
    peer: NodeId,
    faults: Faults,
    inner: Arc<dyn Link>,
    ended: watch::Sender<Option<LinkError>>,
    late_datagrams: AtomicUsize,
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} over {:?}", self.me, self.peer, self.inner)
    }
}

impl End {
    pub(super) fn new(me: NodeId, inner: Arc<dyn Link>, faults: Faults) -> Arc<Self> {
        let peer = inner.peer().member.node;
        let ended = watch::Sender::new(None);
        let path = Path { me, peer, faults, inner, ended, late_datagrams: AtomicUsize::new(0) };
        let path = Arc::new(path);
        path.faults.remember(&path);
        let watchdog = tokio::spawn(watch_over(Arc::clone(&path)));
        Arc::new(Self { path, watchdog })
    }

    /// Whether what the peer sends does not arrive.
    pub(super) fn is_deaf(&self) -> bool {
        self.path.is_deaf()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.path.faults.changes()
    }

    /// When something that has just come should have come; `None`: now.
    pub(super) fn arrival(&self, bytes: usize) -> Option<Instant> {
        self.path.faults.arrival(self.path.peer, self.path.me, bytes)
    }

    /// Waits until nothing arrives any more. What a peer had sent before it closed the link does.
    pub(super) async fn cut_off(&self) -> LinkError {
        let mut ended = self.path.ended.subscribe();
        let for_good = |ended: &Option<LinkError>| {
            ended.as_ref().is_some_and(|error| !matches!(error, LinkError::ClosedByPeer(_)))
        };
        let error = ended.wait_for(for_good).await.expect("the sender is held").clone();
        error.expect("it was waited for")
    }

    /// Waits until the link is no more, as far as this end can know.
    pub(super) async fn ended(&self) -> LinkError {
        let mut ended = self.path.ended.subscribe();
        let error = ended.wait_for(Option::is_some).await.expect("the sender is held").clone();
        error.expect("it was waited for")
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.watchdog.abort();
        self.path.end(LinkError::ClosedHere(CloseReason::Stopping));
        self.path.inner.close(CloseReason::Stopping);
    }
}

/// Finds out that the link is no more: lost to a cut, or closed by whomever can be heard.
async fn watch_over(path: Arc<Path>) {
    let mut changes = path.faults.changes();
    let mut closed = None;
    loop {
        changes.mark_unchanged();
        if let Some(error) = &closed
            && !path.is_deaf()
        {
            return path.end(LinkError::clone(error));
        }
        let lost_at = path.cut_since().map(|since| since + path.faults.timing().lost_after);
        tokio::select! {
            error = path.inner.closed(), if closed.is_none() => closed = Some(error),
            _ = changes.changed() => {}
            Some(()) = OptionFuture::from(lost_at.map(sleep_until)) => {
                return path.faults.lose(path.me, path.peer, "nothing was heard for too long");
            }
        }
    }
}

impl Path {
    /// Who is here and who is there.
    pub(super) fn ends(&self) -> (NodeId, NodeId) {
        (self.me, self.peer)
    }

    /// Gives the first reason to all who wait.
    pub(super) fn end(&self, error: LinkError) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(error);
            }
            first
        });
    }

    pub(super) fn close_inner(&self) {
        self.inner.close(CloseReason::Stopping);
    }

    fn is_deaf(&self) -> bool {
        self.faults.cut_since(self.peer, self.me).is_some()
    }

    fn cut_since(&self) -> Option<Instant> {
        let ways = [(self.peer, self.me), (self.me, self.peer)];
        ways.into_iter().filter_map(|(from, to)| self.faults.cut_since(from, to)).min()
    }

    fn send_datagram(self: &Arc<Self>, datagram: &Bytes) -> Result<(), DatagramError> {
        if let Some(error) = &*self.ended.borrow() {
            return Err(error.clone().into());
        }
        if self.faults.cut_since(self.me, self.peer).is_some() {
            return Ok(());
        }
        for _ in 0..self.faults.copies(self.me, self.peer) {
            match self.faults.datagram_arrival(self.me, self.peer, datagram.len()) {
                Some(at) => self.send_datagram_at(at, datagram.clone()),
                None => self.inner.send_datagram(datagram.clone())?,
            }
        }
        Ok(())
    }

    fn send_datagram_at(self: &Arc<Self>, at: Instant, datagram: Bytes) {
        if self.late_datagrams.fetch_add(1, Ordering::Relaxed) >= LATE_DATAGRAMS_MAX {
            self.late_datagrams.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let path = Arc::clone(self);
        tokio::spawn(async move {
            sleep_until(at).await;
            path.late_datagrams.fetch_sub(1, Ordering::Relaxed);
            if path.faults.cut_since(path.me, path.peer).is_none() {
                // The link may be gone, or the datagram too large: it is lost in either case.
                let _ = path.inner.send_datagram(datagram);
            }
        });
    }
}

impl Link for FaultyLink {
    fn peer(&self) -> &PeerInfo {
        self.0.path.inner.peer()
    }

    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>> {
        Box::pin(async move {
            let opened = tokio::select! {
                biased;
                error = self.0.ended() => return Err(error),
                opened = self.0.path.inner.open(lane) => opened,
            };
            match opened {
                Ok(sender) => Ok(Box::new(FaultySender::new(sender, Arc::clone(&self.0))) as _),
                Err(_) => Err(self.0.ended().await),
            }
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>> {
        Box::pin(async {
            let mut changes = self.0.changes();
            loop {
                changes.mark_unchanged();
                tokio::select! {
                    biased;
                    error = self.0.cut_off() => return Err(error),
                    _ = changes.changed() => {}
                    incoming = self.0.path.inner.accept(), if !self.0.is_deaf() => {
                        let Ok((lane, receiver)) = incoming else { return Err(self.0.ended().await) };
                        let receiver = FaultyReceiver::new(receiver, Arc::clone(&self.0));
                        return Ok((lane, Box::new(receiver) as _));
                    }
                }
            }
        })
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.path.send_datagram(&datagram)
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(async {
            tokio::select! {
                biased;
                error = self.0.cut_off() => Err(error),
                datagram = self.0.path.inner.recv_datagram() => match datagram {
                    Ok(datagram) => Ok(datagram),
                    Err(_) => Err(self.0.ended().await),
                },
            }
        })
    }

    fn close(&self, reason: CloseReason) {
        self.0.path.end(LinkError::ClosedHere(reason.clone()));
        self.0.path.inner.close(reason);
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(self.0.ended())
    }
}
