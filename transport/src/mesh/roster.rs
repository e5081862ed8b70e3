//! Who is linked: takes links on, serves them, and reports their ends.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc, sync::Arc};

use futures_util::{FutureExt, future::join_all};
use quorate_membership::{Member, NodeId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_local,
    time::timeout,
};
use tracing::Instrument;

use super::{
    MeshConfig, MeshEvent, Peer,
    choice::{Choice, choose},
    meter::{Metered, count_links, count_refused},
};
use crate::{CloseReason, Link, LinkError, Role, Transport};

/// Links that wait to be taken on.
const WAITING_LINKS_MAX: usize = 64;

/// A new link, and whom to tell once it was taken on or refused.
type Newcomer = (Arc<dyn Link>, oneshot::Sender<()>);

pub(super) struct Roster {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) me: Member,
    pub(super) config: MeshConfig,
    nodes: RefCell<BTreeMap<NodeId, Rc<Peer>>>,
    clients: RefCell<Vec<Rc<Peer>>>,
    newcomers: mpsc::Sender<Newcomer>,
    events: mpsc::Sender<MeshEvent>,
    stopped: watch::Sender<bool>,
    /// Whenever a node gets a link.
    linked: watch::Sender<()>,
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").field("me", &self.me).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl Roster {
    pub(super) fn start(
        transport: Arc<dyn Transport>,
        me: Member,
        config: MeshConfig,
        events: mpsc::Sender<MeshEvent>,
    ) -> Rc<Self> {
        let (newcomers, waiting) = mpsc::channel(WAITING_LINKS_MAX);
        let roster = Rc::new(Self {
            transport,
            me,
            config,
            nodes: RefCell::default(),
            clients: RefCell::default(),
            newcomers,
            events,
            stopped: watch::Sender::new(false),
            linked: watch::Sender::new(()),
        });
        roster.spawn(Rc::clone(&roster).take_on_all(waiting));
        roster.spawn(Rc::clone(&roster).accept_all());
        roster
    }

    /// Runs something until the mesh is stopped.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let mut stopped = self.stopped.subscribe();
        let task = async move {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = work => {}
            }
        };
        spawn_local(task.in_current_span());
    }

    /// Ends all tasks, and with them all links.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Closes the transport, once what was handed in before is with it or has had its time.
    pub(super) async fn close(&self, reason: CloseReason) {
        let mut peers = self.peers();
        peers.extend(self.clients.borrow().iter().cloned());
        let flushed = join_all(peers.iter().map(|peer| peer.flushed()));
        if timeout(self.config.settings().flush_within, flushed).await.is_err() {
            tracing::warn!("not all that was to be sent left in time");
        }
        self.transport.close(reason).await;
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<Rc<Peer>> {
        self.nodes.borrow().get(&node).cloned()
    }

    pub(super) fn peers(&self) -> Vec<Rc<Peer>> {
        self.nodes.borrow().values().cloned().collect()
    }

    /// Tells whoever listens. Returns false if nobody does.
    pub(super) async fn report(&self, event: MeshEvent) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Waits until a node is linked.
    pub(super) async fn is_linked(&self, node: NodeId) {
        let mut linked = self.linked.subscribe();
        while self.peer(node).is_none() && linked.changed().await.is_ok() {}
    }

    /// Takes a link on, unless another is kept instead. Returns once that is settled.
    pub(super) async fn offer(&self, link: Arc<dyn Link>) {
        let (settled, wait) = oneshot::channel();
        if self.newcomers.send((link, settled)).await.is_ok() {
            let _ = wait.await;
        }
    }

    async fn accept_all(self: Rc<Self>) {
        while let Some(link) = self.transport.accept().await {
            let (settled, _) = oneshot::channel();
            if self.newcomers.send((link, settled)).await.is_err() {
                return;
            }
        }
    }

    // One after the other: two links of one node must not be weighed against the same third.
    async fn take_on_all(self: Rc<Self>, mut waiting: mpsc::Receiver<Newcomer>) {
        while let Some((link, settled)) = waiting.recv().await {
            match link.peer().role {
                Role::Node => self.take_on_node(link).await,
                Role::Client => self.take_on_client(link).await,
            }
            let _ = settled.send(());
        }
    }

    async fn take_on_node(self: &Rc<Self>, link: Arc<dyn Link>) {
        let node = link.peer().member.node;
        if node == self.me.node {
            // Its own address was dialled, or another process has got this node's credentials.
            count_refused("own_id");
            return link.close(CloseReason::Refused(format!("{node} is this node's own id")));
        }
        if let Some(present) = self.peer(node) {
            // One that is dead already has no say, though its end was not yet reported.
            if present.closed().now_or_never().is_none() {
                match choose(self.me.node, present.info(), link.peer()) {
                    Choice::Refuse(reason) => return link.close(reason),
                    Choice::Replace(reason) => present.close(reason),
                }
            }
            present.is_reported().await;
        }
        let peer = Rc::new(Peer::new(link, self.config));
        self.nodes.borrow_mut().insert(node, Rc::clone(&peer));
        self.linked.send_replace(());
        self.take_on(peer).await;
    }

    async fn take_on_client(self: &Rc<Self>, link: Arc<dyn Link>) {
        if self.clients.borrow().len() >= self.config.settings().clients_max {
            count_refused("too_many_clients");
            return link.close(CloseReason::Refused("this node serves as many clients as it may".to_owned()));
        }
        let peer = Rc::new(Peer::new(link, self.config));
        self.clients.borrow_mut().push(Rc::clone(&peer));
        self.take_on(peer).await;
    }

    async fn take_on(self: &Rc<Self>, peer: Rc<Peer>) {
        count_links(peer.info().role, 1.0);
        tracing::debug!(peer = %peer.info().member, "linked");
        self.report(MeshEvent::Up(Rc::clone(&peer))).await;
        let roster = Rc::clone(self);
        let serving = async move {
            let error = roster.serve(&peer).await;
            count_links(peer.info().role, -1.0);
            roster.take_off(&peer, error).await;
        };
        spawn_local(serving.in_current_span());
    }

    /// Hands on what the peer opens and sends, until the link ends.
    async fn serve(&self, peer: &Rc<Peer>) -> LinkError {
        let mut stopped = self.stopped.subscribe();
        let link = peer.link();
        tokio::select! {
            biased;
            error = link.closed() => return error,
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = self.hand_on_lanes(peer) => {}
            () = self.hand_on_datagrams(peer) => {}
        }
        // Either the link has ended already, or nobody listens any more.
        link.close(CloseReason::Stopping);
        link.closed().await
    }

    async fn hand_on_lanes(&self, peer: &Rc<Peer>) {
        while let Ok((lane, receiver)) = peer.link().accept().await {
            let receiver = Box::new(Metered::new(lane, receiver));
            if !self.report(MeshEvent::Lane { peer: Rc::clone(peer), lane, receiver }).await {
                return;
            }
        }
    }

    async fn hand_on_datagrams(&self, peer: &Rc<Peer>) {
        let received = metrics::counter!("quorate_datagrams_received_total");
        while let Ok(datagram) = peer.link().recv_datagram().await {
            received.increment(1);
            if !self.report(MeshEvent::Datagram { peer: Rc::clone(peer), datagram }).await {
                return;
            }
        }
    }

    async fn take_off(&self, peer: &Rc<Peer>, error: LinkError) {
        let info = peer.info();
        tracing::debug!(peer = %info.member, %error, "the link is gone");
        match info.role {
            Role::Node => drop(self.nodes.borrow_mut().remove(&info.member.node)),
            Role::Client => self.clients.borrow_mut().retain(|client| !Rc::ptr_eq(client, peer)),
        }
        peer.end();
        self.report(MeshEvent::Down { peer: Rc::clone(peer), error }).await;
        peer.reported();
    }
}
