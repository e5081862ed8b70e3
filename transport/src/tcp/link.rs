//! A link: a first connection, and those of its lanes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    io::ReadHalf,
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc, watch},
};

use super::{
    Inner, Stream,
    control::{self, Outbox},
    datagrams::{DATAGRAM_BYTES_MAX, DatagramQueue},
    lane::TcpReceiver,
    opening::Way,
};
use crate::{
    CloseReason, DatagramError, FrameConfig, Identity, Incoming, Lane, LaneSender, Link, LinkError, PeerInfo,
    Serial, codec::ReassemblyBudget, net::Linked, tls::Holder,
};

/// What the ends of a link, its lanes and its tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inner: Arc<Inner>,
    peer: PeerInfo,
    pub(super) holder: Holder,
    pub(super) way: Way,
    pub(super) frames: FrameConfig,
    pub(super) budget: ReassemblyBudget,
    pub(super) outbox: Outbox,
    pub(super) datagrams: DatagramQueue,
    /// Why the link is no more.
    fate: watch::Sender<Option<LinkError>>,
    /// Whether the peer was told, as far as possible.
    told: watch::Sender<bool>,
    /// Lanes that this side may still open.
    pub(super) lanes_out: Arc<Semaphore>,
    /// Lanes that the peer may still open.
    pub(super) lanes_in: Arc<Semaphore>,
    pub(super) arrived: mpsc::Sender<Arrival>,
    arrivals: AsyncMutex<mpsc::Receiver<Arrival>>,
}

/// A lane of the peer that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) lane: Lane,
    pub(super) reader: ReadHalf<Stream>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Shared {
    /// `lanes_max` is what the peer allows.
    pub(super) fn new(
        inner: &Arc<Inner>,
        peer: PeerInfo,
        holder: Holder,
        lanes_max: u32,
        way: Way,
    ) -> Arc<Self> {
        let config = &inner.base.config;
        let frames = *config.frames();
        // The peer may let go of a lane before this side has noticed that it is gone.
        let lanes_in = 2 * config.lanes_max() as usize;
        let (arrived, arrivals) = mpsc::channel(lanes_in);
        Arc::new(Self {
            inner: Arc::clone(inner),
            peer,
            holder,
            way,
            frames,
            budget: ReassemblyBudget::new(&frames),
            outbox: Outbox::new(config.datagram_queue_bytes()),
            datagrams: DatagramQueue::new(config.datagram_queue_bytes()),
            fate: watch::Sender::new(None),
            told: watch::Sender::new(false),
            lanes_out: Arc::new(Semaphore::new(lanes_max as usize)),
            lanes_in: Arc::new(Semaphore::new(lanes_in)),
            arrived,
            arrivals: AsyncMutex::new(arrivals),
        })
    }

    pub(super) fn is_with(&self, identity: &Identity) -> bool {
        self.holder.identity == *identity
    }

    /// Closes the link for what the peer sent.
    pub(super) fn violated(&self, what: impl Into<LinkError>) -> LinkError {
        let error = what.into();
        let reason = CloseReason::Violation(match &error {
            LinkError::Violation(what) => what.clone(),
            other => other.to_string(),
        });
        if self.end(error.clone(), Some(reason)) {
            metrics::counter!("quorate_links_violated_total").increment(1);
            tracing::warn!(peer = %self.peer.member, addr = %self.peer.addr, %error, "closed a link");
        }
        error
    }

    /// Ends the link, unless it has ended, and says whether it had not. The reason is for the peer.
    pub(super) fn end(&self, error: LinkError, reason: Option<CloseReason>) -> bool {
        let first = self.fate.send_if_modified(|fate| {
            let first = fate.is_none();
            if first {
                *fate = Some(error);
            }
            first
        });
        if first {
            self.outbox.end(reason);
        }
        first
    }

    /// Fails if the link has ended.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        self.fate.borrow().clone().map_or(Ok(()), Err)
    }

    /// Fails if this side has ended the link: then nothing is read any more, although something may
    /// be there.
    pub(super) fn check_here(&self) -> Result<(), LinkError> {
        match &*self.fate.borrow() {
            Some(error @ (LinkError::ClosedHere(_) | LinkError::Violation(_))) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Waits until the link has ended.
    pub(super) async fn ended(&self) -> LinkError {
        let mut fate = self.fate.subscribe();
        let ended = fate.wait_for(Option::is_some).await.expect("the sender is here");
        ended.clone().expect("it was waited for")
    }

    /// Waits until the peer knows that the link has ended, or cannot be told.
    pub(super) async fn until_told(&self) {
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// Runs something on the runtime of the transport, and not longer than it takes by itself.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.base.runtime.spawn(work);
    }
}

impl Linked for Shared {
    fn close(&self, reason: CloseReason) {
        self.end(LinkError::ClosedHere(reason.clone()), Some(reason));
    }

    fn serial(&self) -> &Serial {
        &self.holder.serial
    }
}

/// What the application holds of a link, be it the link or a lane. Dropping the last closes it.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close(CloseReason::Stopping);
    }
}

#[derive(Debug)]
pub(super) struct TcpLink(Arc<Handle>);

impl TcpLink {
    /// Starts to drive the first connection of a link. Must be called on the transport's runtime.
    pub(super) fn start(shared: Arc<Shared>, stream: Stream) -> Self {
        let link = Arc::clone(&shared);
        shared.spawn(async move {
            let config = &link.inner.base.config;
            control::drive(&link, stream, config.idle_timeout(), config.keep_alive()).await;
            link.told.send_replace(true);
        });
        Self(Arc::new(Handle(shared)))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl Link for TcpLink {
    fn peer(&self) -> &PeerInfo {
        &self.shared().peer
    }

    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>> {
        Box::pin(async move {
            let sender = self.shared().open(lane).await?;
            Ok(Box::new(sender.held_by(Arc::clone(&self.0))) as _)
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>> {
        Box::pin(async {
            self.shared().check_here()?;
            let next = async { self.shared().arrivals.lock().await.recv().await };
            let arrival = tokio::select! {
                biased;
                arrival = next => arrival.expect("the sender is here"),
                error = self.shared().ended() => return Err(error),
            };
            let Arrival { lane, reader, permit } = arrival;
            Ok((lane, Box::new(TcpReceiver::new(reader, permit, Arc::clone(&self.0))) as _))
        })
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.shared().check()?;
        let (bytes, limit) = (datagram.len(), DATAGRAM_BYTES_MAX);
        if bytes > limit {
            return Err(DatagramError::TooLarge { bytes, limit });
        }
        self.shared().outbox.push_datagram(datagram);
        Ok(())
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(async {
            self.shared().check_here()?;
            tokio::select! {
                biased;
                datagram = self.shared().datagrams.next() => Ok(datagram),
                error = self.shared().ended() => Err(error),
            }
        })
    }

    fn close(&self, reason: CloseReason) {
        self.shared().close(reason);
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(self.shared().ended())
    }
}
