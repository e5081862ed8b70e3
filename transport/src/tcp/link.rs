//! A link: a first connection, and those of its lanes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    io::ReadHalf,
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    Inner, Stream,
    control::{self, Outbox},
    datagrams::{DATAGRAM_BYTES_MAX, DatagramQueue},
    dial::connect_again,
    lane::{TcpReceiver, TcpSender},
    lost,
    preamble::{Token, ask_for_lane, bring_lane},
};
use crate::{
    CloseReason, DatagramError, FrameConfig, Identity, Incoming, Lane, LaneSender, Link, LinkError, PeerInfo,
    codec::ReassemblyBudget,
};

/// What the ends of a link, its lanes and its tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Arc<Inner>,
    peer: PeerInfo,
    identity: Identity,
    way: Way,
    pub(super) frames: FrameConfig,
    pub(super) budget: ReassemblyBudget,
    pub(super) outbox: Outbox,
    pub(super) datagrams: DatagramQueue,
    /// Why the link is no more.
    fate: watch::Sender<Option<LinkError>>,
    /// Whether the peer was told, as far as possible.
    told: watch::Sender<bool>,
    /// Lanes that this side may still open.
    lanes_out: Arc<Semaphore>,
    /// Lanes that the peer may still open.
    lanes_in: Arc<Semaphore>,
    arrived: mpsc::Sender<Arrival>,
    arrivals: AsyncMutex<mpsc::Receiver<Arrival>>,
}

/// How further connections of a link come about.
#[derive(Debug)]
pub(super) enum Way {
    /// This side dials.
    Dialled { addr: SocketAddr, token: Token },
    /// This side asks the peer to dial.
    Accepted { asked: Mutex<HashMap<u64, Asked>>, last: AtomicU64 },
}

/// A lane that the peer was asked to dial for.
#[derive(Debug)]
pub(super) struct Asked {
    lane: Lane,
    permit: OwnedSemaphorePermit,
    answer: oneshot::Sender<TcpSender>,
}

/// A lane of the peer that nobody has taken yet.
#[derive(Debug)]
struct Arrival {
    lane: Lane,
    reader: ReadHalf<Stream>,
    permit: OwnedSemaphorePermit,
}

impl Way {
    pub(super) fn accepted() -> Self {
        Self::Accepted { asked: Mutex::default(), last: AtomicU64::new(0) }
    }
}

impl Shared {
    /// `lanes_max` is what the peer allows.
    pub(super) fn new(
        inner: &Arc<Inner>,
        peer: PeerInfo,
        identity: Identity,
        lanes_max: u32,
        way: Way,
    ) -> Arc<Self> {
        let config = &inner.config;
        let frames = *config.frames();
        // The peer may let go of a lane before this side has noticed that it is gone.
        let lanes_in = 2 * config.lanes_max() as usize;
        let (arrived, arrivals) = mpsc::channel(lanes_in);
        Arc::new(Self {
            inner: Arc::clone(inner),
            peer,
            identity,
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
        self.identity == *identity
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.end(LinkError::ClosedHere(reason.clone()), Some(reason));
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
        self.inner.runtime.spawn(work);
    }

    /// A lane of the peer has arrived.
    pub(super) fn on_lane(&self, lane: Lane, reader: ReadHalf<Stream>) -> Result<(), LinkError> {
        let Ok(permit) = Arc::clone(&self.lanes_in).try_acquire_owned() else {
            return Err(self.violated(LinkError::Violation("more lanes than are allowed".to_owned())));
        };
        let sent = self.arrived.try_send(Arrival { lane, reader, permit });
        debug_assert!(sent.is_ok(), "there is a place for each permit, and the receiver is here");
        Ok(())
    }

    /// The peer wants to send on a lane: dials for it.
    pub(super) fn on_wanted(self: &Arc<Self>, request: u64, lane: Lane) -> Result<(), LinkError> {
        let Way::Dialled { addr, token } = self.way else {
            let what = "only the side that was dialled asks for lanes".to_owned();
            return Err(self.violated(LinkError::Violation(what)));
        };
        // As many at one time as lanes may be open: a place is taken when the lane arrives, and
        // this one is given back then.
        let Ok(dialling) = Arc::clone(&self.lanes_in).try_acquire_owned() else {
            return Err(self.violated(LinkError::Violation("more lanes than are allowed".to_owned())));
        };
        let link = Arc::clone(self);
        self.spawn(async move {
            let brought = async {
                let stream = link.connect_again(addr).await?;
                let (reader, mut writer) = tokio::io::split(stream);
                drop(dialling);
                // In the queue before the peer gets it: lanes that are opened one after the other
                // arrive so.
                link.on_lane(lane, reader).map_err(|error| error.to_string())?;
                bring_lane(&mut writer, token, request).await.map_err(|error| error.to_string())
            };
            if let Err(why) = brought.await {
                link.end(lost("a lane could not be opened for the peer", &why), None);
            }
        });
        Ok(())
    }

    /// The peer has dialled for a lane.
    pub(super) fn on_brought(self: &Arc<Self>, request: u64, stream: Stream) {
        let Way::Accepted { asked, .. } = &self.way else { return };
        let asked = lock(asked).remove(&request);
        // If nobody waits for it any more, dropping the sender ends the lane in good order, and so
        // it does if nothing was asked for.
        if let Some(Asked { lane, permit, answer }) = asked {
            let _ = answer.send(TcpSender::new(lane, stream, Arc::clone(self), Some(permit)));
        } else {
            drop(TcpSender::new(Lane::Bulk, stream, Arc::clone(self), None));
        }
    }

    async fn connect_again(&self, addr: SocketAddr) -> Result<Stream, String> {
        let within = self.inner.config.handshake_timeout();
        connect_again(&self.inner, addr, &self.identity, within).await
    }

    /// Opens a lane. Once begun it is carried through, or the peer would find a piece of one.
    async fn open(self: &Arc<Self>, lane: Lane) -> Result<TcpSender, LinkError> {
        self.check()?;
        let opened = async {
            let permit = Arc::clone(&self.lanes_out).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            match &self.way {
                Way::Dialled { addr, token } => self.dial_lane(*addr, *token, lane, permit).await,
                Way::Accepted { asked, last } => {
                    let request = last.fetch_add(1, Ordering::Relaxed);
                    self.ask_lane(asked, request, lane, permit).await
                }
            }
        };
        let opened = tokio::select! {
            biased;
            error = self.ended() => return Err(error),
            opened = opened => opened,
        };
        match opened {
            Ok(sender) => Ok(sender),
            Err(why) => {
                self.end(lost("a lane could not be opened", &why), None);
                Err(self.ended().await)
            }
        }
    }

    async fn dial_lane(
        self: &Arc<Self>,
        addr: SocketAddr,
        token: Token,
        lane: Lane,
        permit: OwnedSemaphorePermit,
    ) -> Result<TcpSender, String> {
        let (answer, answered) = oneshot::channel();
        let link = Arc::clone(self);
        self.spawn(async move {
            let dialled = async {
                let mut stream = link.connect_again(addr).await?;
                let within = link.inner.config.handshake_timeout();
                let asked = timeout(within, ask_for_lane(&mut stream, token, lane)).await;
                asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                Ok(TcpSender::new(lane, stream, Arc::clone(&link), Some(permit)))
            };
            let _ = answer.send(dialled.await);
        });
        answered.await.unwrap_or_else(|_| Err("the runtime is gone".to_owned()))
    }

    async fn ask_lane(
        &self,
        asked: &Mutex<HashMap<u64, Asked>>,
        request: u64,
        lane: Lane,
        permit: OwnedSemaphorePermit,
    ) -> Result<TcpSender, String> {
        let (answer, answered) = oneshot::channel();
        lock(asked).insert(request, Asked { lane, permit, answer });
        let _forget = Forget { asked, request };
        self.outbox.want_lane(request, lane);
        match timeout(self.inner.config.handshake_timeout(), answered).await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(_)) => Err("the link is gone".to_owned()),
            Err(_) => Err("the peer has not dialled for it in time".to_owned()),
        }
    }
}

/// Forgets a request that nobody waits for any more.
struct Forget<'a> {
    asked: &'a Mutex<HashMap<u64, Asked>>,
    request: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.asked).remove(&self.request);
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
            let config = &link.inner.config;
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
            let next = async { self.shared().arrivals.lock().await.recv().await };
            let arrival = tokio::select! {
                biased;
                error = self.shared().ended() => return Err(error),
                arrival = next => arrival.expect("the sender is here"),
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
            tokio::select! {
                biased;
                error = self.shared().ended() => Err(error),
                datagram = self.shared().datagrams.next() => Ok(datagram),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
