//! Dials whom one watches, for ever, with pauses.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::Rc,
};

use quorate_membership::NodeId;
use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant, sleep, sleep_until, timeout},
};

use super::{MeshEvent, backoff::Backoff, meter::count_failed, roster::Roster};
use crate::{ConnectError, Endpoint};

/// For how long a dial may be on its way to an answer: longer than a handshake takes over the longest ways, shorter than
/// the second after which QUIC sends its first packet again.
const CROSSING: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(super) struct Dialers {
    roster: Rc<Roster>,
    watched: Rc<Watched>,
}

/// Who is dialled.
#[derive(Debug, Default)]
struct Watched {
    nodes: RefCell<BTreeMap<NodeId, Rc<Target>>>,
    places: RefCell<BTreeSet<SocketAddr>>,
    changed: watch::Sender<()>,
    stopped: Cell<bool>,
}

/// A node that is dialled.
#[derive(Debug)]
struct Target {
    addr: Cell<SocketAddr>,
    forgotten: Cell<bool>,
    changed: Notify,
}

impl Dialers {
    pub(super) fn new(roster: Rc<Roster>) -> Self {
        Self { roster, watched: Rc::default() }
    }

    pub(super) fn watch(&self, endpoint: Endpoint) {
        if self.watched.stopped.get() {
            return;
        }
        match endpoint.node {
            Some(node) if node == self.roster.me.node => {}
            Some(node) => self.watch_node(node, endpoint.addr),
            None => self.watch_place(endpoint.addr),
        }
    }

    fn watch_node(&self, node: NodeId, addr: SocketAddr) {
        let mut nodes = self.watched.nodes.borrow_mut();
        if let Some(target) = nodes.get(&node) {
            if target.addr.replace(addr) != addr {
                target.changed.notify_one();
            }
            return;
        }
        let (addr, forgotten, changed) = (Cell::new(addr), Cell::new(false), Notify::new());
        let target = Rc::new(Target { addr, forgotten, changed });
        nodes.insert(node, Rc::clone(&target));
        self.roster.spawn(Dialer::new(&self.roster).keep(node, target));
    }

    fn watch_place(&self, addr: SocketAddr) {
        if addr != self.roster.transport.local_addr() && self.watched.places.borrow_mut().insert(addr) {
            self.roster.spawn(Dialer::new(&self.roster).find(addr, Rc::clone(&self.watched)));
        }
    }

    pub(super) fn forget(&self, node: NodeId) {
        if let Some(target) = self.watched.nodes.borrow_mut().remove(&node) {
            target.forgotten.set(true);
            target.changed.notify_one();
            self.watched.changed.send_replace(());
        }
    }

    pub(super) fn stop(&self) {
        self.watched.stopped.set(true);
        for target in self.watched.nodes.take().into_values() {
            target.forgotten.set(true);
            target.changed.notify_one();
        }
        self.watched.changed.send_replace(());
    }
}

struct Dialer {
    roster: Rc<Roster>,
    backoff: Backoff,
    /// The kind of failure that was reported since the peer was last reached.
    reported: Option<&'static str>,
}

impl Dialer {
    fn new(roster: &Rc<Roster>) -> Self {
        let settings = roster.config.settings();
        let backoff = Backoff::new(settings.retry_least, settings.retry_most);
        Self { roster: Rc::clone(roster), backoff, reported: None }
    }

    /// Dials a node whenever there is no link to it.
    async fn keep(mut self, node: NodeId, target: Rc<Target>) {
        if self.roster.me.node > node {
            // Nodes that start together would cross their links, and close half of them again: the
            // lower node, whose link would be kept, begins.
            let head_start = self.roster.config.settings().retry_least;
            let _ = timeout(head_start, target.changed.notified()).await;
        }
        while !target.forgotten.get() {
            if self.linked(node, &target).await {
                continue;
            }
            let endpoint = Endpoint { node: Some(node), addr: target.addr.get() };
            let found = self.dial_unless_linked(&endpoint, Some(node)).await;
            if found.is_err() || self.roster.peer(node).is_none() {
                let pause = self.pause();
                if timeout(pause, target.changed.notified()).await.is_ok() {
                    self.begin_anew();
                }
            }
        }
    }

    /// Waits while there is a link to the node. Returns false if there is none.
    async fn linked(&mut self, node: NodeId, target: &Target) -> bool {
        let Some(peer) = self.roster.peer(node) else { return false };
        let since = Instant::now();
        tokio::select! {
            () = peer.is_reported() => {
                // One that ends at once is no better than none: the peer may refuse us.
                if since.elapsed() >= self.roster.config.settings().retry_most {
                    self.begin_anew();
                }
                sleep(self.pause()).await;
            }
            () = target.changed.notified() => self.begin_anew(),
        }
        true
    }

    /// Dials a place until it turns out to be this node's own.
    async fn find(mut self, addr: SocketAddr, watched: Rc<Watched>) {
        let mut last = None;
        while !watched.stopped.get() {
            match self.dial_unless_linked(&Endpoint { node: None, addr }, last).await {
                Ok(node) if node == self.roster.me.node => {
                    tracing::info!(%addr, "this address is this node's own");
                    return;
                }
                Ok(node) => {
                    last = Some(node);
                    let since = Instant::now();
                    self.until_lost(node, &watched).await;
                    if since.elapsed() >= self.roster.config.settings().retry_most {
                        self.begin_anew();
                    }
                }
                Err(()) => {}
            }
            sleep(self.pause()).await;
        }
    }

    /// Waits while a node is linked, or dialled under its own name.
    async fn until_lost(&self, node: NodeId, watched: &Watched) {
        let mut changed = watched.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let peer = self.roster.peer(node);
            if let Some(peer) = peer {
                peer.is_reported().await;
            } else if watched.nodes.borrow().contains_key(&node) {
                let _ = changed.changed().await;
            } else {
                return;
            }
        }
    }

    /// Dials, and stops when this node is linked, unless the two have dialled each other at the same time.
    ///
    /// One that comes back dials as well. Were the link of a dial whose first packet found nobody kept in the place of
    /// its own, a second later, what is on the way there would be lost.
    async fn dial_unless_linked(&mut self, to: &Endpoint, node: Option<NodeId>) -> Result<NodeId, ()> {
        let Some(node) = node else { return self.dial(to).await };
        let roster = Rc::clone(&self.roster);
        let answered = Instant::now() + CROSSING;
        let linked = async {
            while roster.peer(node).is_none() {
                roster.is_linked(node).await;
                sleep_until(answered).await;
            }
        };
        tokio::select! {
            biased;
            found = self.dial(to) => found,
            () = linked => Ok(node),
        }
    }

    /// Tries once, and says who was found there.
    async fn dial(&mut self, to: &Endpoint) -> Result<NodeId, ()> {
        let error = match self.roster.transport.connect(to).await {
            Ok(link) => {
                let node = link.peer().member.node;
                self.roster.offer(link).await;
                self.reported = None;
                return Ok(node);
            }
            Err(error) => error,
        };
        let kind = count_failed(&error);
        tracing::debug!(addr = %to.addr, %error, "not reached");
        if self.reported != Some(kind) && !matches!(error, ConnectError::Closed) {
            self.reported = Some(kind);
            self.roster.report(MeshEvent::Unreachable { endpoint: *to, error }).await;
        }
        Err(())
    }

    fn pause(&mut self) -> Duration {
        self.backoff.pause(&mut rand::rng())
    }

    fn begin_anew(&mut self) {
        self.backoff.reset();
        self.reported = None;
    }
}
