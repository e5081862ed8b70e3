//! The links of a node: one per peer, and a bounded queue per lane to each.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{Member, NodeId};
use quorate_transport::{
    CloseReason, Endpoint, Frame, Lane, LaneReceiver, Link, PeerInfo, Role, SendError, Transport,
};
use tokio::sync::{Notify, mpsc};

use crate::group::{Outgoing, Outlet};

/// Bytes that may wait for one lane to one peer; one frame more is always taken.
const OUTBOX_BYTES_MAX: usize = 16 << 20;
/// Frames that may wait for one lane to one peer.
const OUTBOX_FRAMES_MAX: usize = 65_536;
/// Events of links that may wait for the node.
const EVENTS_MAX: usize = 1024;

/// What happens on the links.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A peer is linked.
    Up(PeerInfo, Arc<Outboxes>),
    /// Its link is gone.
    Down(PeerInfo, String),
    /// It has opened a lane.
    Lane(PeerInfo, Lane, Box<dyn LaneReceiver>, Arc<dyn Link>),
    /// It has sent a datagram.
    Datagram(Member, Bytes),
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// One lane to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
    closed: AtomicBool,
}

impl Outbox {
    // No code that runs under the lock panics half-way, so a poisoned queue is a whole one.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame, or returns false if too much waits.
    pub(crate) fn push(&self, frame: Frame) -> bool {
        let mut queue = self.lock();
        if queue.bytes > OUTBOX_BYTES_MAX || queue.frames.len() >= OUTBOX_FRAMES_MAX {
            return false;
        }
        queue.bytes += frame.body_bytes() + frame.header.len();
        queue.frames.push_back(frame);
        self.filled.notify_one();
        true
    }

    /// Takes a frame whatever waits: for senders that wait for [`Self::eased`] before the next, or
    /// that are few.
    pub(crate) fn push_over(&self, frame: Frame) {
        let mut queue = self.lock();
        queue.bytes += frame.body_bytes() + frame.header.len();
        queue.frames.push_back(frame);
        self.filled.notify_one();
    }

    /// Whether more than half of what may wait does.
    pub(crate) fn is_crowded(&self) -> bool {
        let queue = self.lock();
        queue.bytes > OUTBOX_BYTES_MAX / 2 || queue.frames.len() > OUTBOX_FRAMES_MAX / 2
    }

    /// Waits until less than half of what may wait does, or the link is gone.
    pub(crate) async fn eased(&self) {
        while self.is_crowded() && !self.closed.load(Ordering::Relaxed) {
            let drained = self.drained.notified();
            if self.is_crowded() && !self.closed.load(Ordering::Relaxed) {
                drained.await;
            }
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.drained.notify_waiters();
    }
}

/// All lanes to one peer.
#[derive(Debug)]
pub(crate) struct Outboxes {
    pub(crate) peer: PeerInfo,
    link: Arc<dyn Link>,
    lanes: Mutex<BTreeMap<Lane, Arc<Outbox>>>,
}

impl Outboxes {
    /// The outbox of a lane, which is opened when it is first asked for.
    pub(crate) fn lane(&self, lane: Lane) -> Arc<Outbox> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(lane).or_insert_with(|| {
            let outbox = Arc::new(Outbox::default());
            let (link, queue) = (Arc::clone(&self.link), Arc::clone(&outbox));
            actix::spawn(async move {
                pump(link, lane, &queue).await;
                queue.close();
            });
            outbox
        }))
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.link.close(reason);
    }
}

/// Sends what is put into an outbox until the link is gone.
async fn pump(link: Arc<dyn Link>, lane: Lane, outbox: &Outbox) {
    let Ok(mut sender) = link.open(lane).await else { return };
    let mut batch = VecDeque::new();
    loop {
        {
            let mut queue = outbox.lock();
            std::mem::swap(&mut queue.frames, &mut batch);
            queue.bytes = 0;
        }
        outbox.drained.notify_waiters();
        if batch.is_empty() {
            tokio::select! {
                () = outbox.filled.notified() => continue,
                _ = link.closed() => return,
            }
        }
        while !batch.is_empty() {
            match sender.send(&mut batch).await {
                Ok(()) => {}
                Err(SendError::Link(_)) => return,
                Err(error) => tracing::error!(%error, %lane, "a frame was not sent"),
            }
        }
    }
}

#[derive(Debug)]
struct Inner {
    transport: Arc<dyn Transport>,
    me: Member,
    peers: RefCell<BTreeMap<NodeId, Arc<Outboxes>>>,
    dialed: RefCell<BTreeSet<Dialed>>,
    events: mpsc::Sender<LinkEvent>,
    retry: Duration,
}

type Dialed = (Option<NodeId>, SocketAddr);

/// The links of a node. Clones are the same links.
#[derive(Clone, Debug)]
pub(crate) struct Links(Rc<Inner>);

impl Links {
    /// Begins to accept links.
    pub(crate) fn start(
        transport: Arc<dyn Transport>,
        me: Member,
        retry: Duration,
    ) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let peers = RefCell::default();
        let links = Self(Rc::new(Inner { transport, me, peers, dialed: RefCell::default(), events, retry }));
        let accepting = links.clone();
        actix::spawn(async move {
            while let Some(link) = accepting.0.transport.accept().await {
                accepting.take(link).await;
            }
        });
        (links, received)
    }

    /// Keeps a link to whoever listens at an address.
    pub(crate) fn dial(&self, node: Option<NodeId>, addr: SocketAddr) {
        if addr == self.0.transport.local_addr() || !self.0.dialed.borrow_mut().insert((node, addr)) {
            return;
        }
        let links = self.clone();
        actix::spawn(async move {
            let mut node = node;
            while links.0.dialed.borrow().contains(&(node, addr)) || node.is_none() {
                if node.is_none_or(|node| !links.0.peers.borrow().contains_key(&node)) {
                    match links.0.transport.connect(&Endpoint { node, addr }).await {
                        Ok(link) => {
                            node = Some(link.peer().member.node);
                            links.0.dialed.borrow_mut().insert((node, addr));
                            links.take(link).await;
                        }
                        Err(error) => tracing::debug!(%error, "no link"),
                    }
                }
                tokio::time::sleep(links.0.retry).await;
            }
        });
    }

    async fn take(&self, link: Arc<dyn Link>) {
        let peer = link.peer().clone();
        let node = peer.member.node;
        if node == self.0.me.node && peer.role == Role::Node {
            link.close(CloseReason::Refused(format!("{node} runs elsewhere already")));
            return;
        }
        if peer.role == Role::Node {
            let present = self.0.peers.borrow().get(&node).cloned();
            if let Some(present) = present {
                // Both sides keep the link that the lower node has opened, so they keep the same.
                let newer = present.peer.member.incarnation < peer.member.incarnation;
                let keep_new = newer || peer.dialed_us == (node < self.0.me.node);
                if !keep_new {
                    link.close(CloseReason::Duplicate);
                    return;
                }
                present.close(if newer { CloseReason::Superseded } else { CloseReason::Duplicate });
                self.down(&present, "replaced by another link").await;
            }
        }
        let outboxes =
            Arc::new(Outboxes { peer: peer.clone(), link: Arc::clone(&link), lanes: Mutex::default() });
        if peer.role == Role::Node {
            self.0.peers.borrow_mut().insert(node, Arc::clone(&outboxes));
        }
        if self.0.events.send(LinkEvent::Up(peer, Arc::clone(&outboxes))).await.is_ok() {
            actix::spawn(self.clone().serve(link, outboxes));
        }
    }

    async fn serve(self, link: Arc<dyn Link>, outboxes: Arc<Outboxes>) {
        let events = &self.0.events;
        let lanes = async {
            while let Ok((lane, receiver)) = link.accept().await {
                let event = LinkEvent::Lane(outboxes.peer.clone(), lane, receiver, Arc::clone(&link));
                if events.send(event).await.is_err() {
                    break;
                }
            }
        };
        let datagrams = async {
            while let Ok(datagram) = link.recv_datagram().await {
                if events.send(LinkEvent::Datagram(outboxes.peer.member, datagram)).await.is_err() {
                    break;
                }
            }
        };
        let why = tokio::select! {
            why = link.closed() => why.to_string(),
            ((), ()) = async { tokio::join!(lanes, datagrams) } => link.closed().await.to_string(),
        };
        self.down(&outboxes, &why).await;
    }

    async fn down(&self, outboxes: &Arc<Outboxes>, why: &str) {
        let node = outboxes.peer.member.node;
        {
            let mut peers = self.0.peers.borrow_mut();
            if outboxes.peer.role == Role::Node {
                if !peers.get(&node).is_some_and(|present| Arc::ptr_eq(present, outboxes)) {
                    return;
                }
                peers.remove(&node);
            }
        }
        let _ = self.0.events.send(LinkEvent::Down(outboxes.peer.clone(), why.to_owned())).await;
    }

    /// The lanes to a node, if it is linked.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Outboxes>> {
        self.0.peers.borrow().get(&node).cloned()
    }

    /// Sends a datagram if the node is linked.
    pub(crate) fn datagram(&self, to: NodeId, bytes: Bytes) {
        if let Some(peer) = self.0.peers.borrow().get(&to)
            && let Err(error) = peer.link.send_datagram(bytes)
        {
            tracing::trace!(%error, "a datagram was not sent");
        }
    }

    /// No longer keeps a link to a node that is gone.
    pub(crate) fn hang_up(&self, node: NodeId) {
        self.0.dialed.borrow_mut().retain(|(other, _)| *other != Some(node));
    }

    /// Drops all links at once, as a crash would.
    pub(crate) fn abandon(&self) {
        self.0.dialed.borrow_mut().clear();
        for peer in self.0.peers.borrow().values() {
            peer.close(CloseReason::Stopping);
        }
    }

    /// Closes everything.
    pub(crate) async fn close(&self, reason: CloseReason) {
        self.0.dialed.borrow_mut().clear();
        self.0.transport.close(reason).await;
    }
}

impl Outlet for Links {
    fn send(&self, outgoing: Outgoing) {
        let Outgoing { to, lane, frame } = outgoing;
        for node in to.iter() {
            let taken = self.peer(*node).is_some_and(|peer| peer.lane(lane).push(frame.clone()));
            if !taken {
                metrics::counter!("quorate_outgoing_lost_total").increment(1);
            }
        }
    }
}
