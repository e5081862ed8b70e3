//! One link to every peer, kept up.

mod backoff;
mod choice;
mod config;
mod dial;
mod meter;
mod outbox;
mod peer;
mod roster;

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use quorate_membership::{Member, NodeId};
use tokio::sync::mpsc;

pub use self::{
    config::{MeshConfig, MeshSettings, MeshSettingsError},
    outbox::{Crowd, Outbox, OutboxError},
    peer::Peer,
};
use self::{dial::Dialers, roster::Roster};
use crate::{
    CloseReason, ConnectError, DatagramError, Endpoint, Frame, Lane, LaneReceiver, Link, LinkError, Transport,
};

/// What happens on the links of a mesh. For one link: up, then its lanes and datagrams, then down.
#[derive(Debug)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A node or a client is linked. A node has one link at a time: the one before is down.
    Up(Rc<Peer>),
    /// The link is gone. What was queued on it, and perhaps a tail of what was sent, is lost.
    Down {
        /// Who was there.
        peer: Rc<Peer>,
        /// Why it is gone.
        error: LinkError,
    },
    /// A peer has opened a lane. Until it is read its sender is held back.
    Lane {
        /// Whose lane it is.
        peer: Rc<Peer>,
        /// Which lane it is.
        lane: Lane,
        /// Where its frames come from.
        receiver: Box<dyn LaneReceiver>,
    },
    /// A datagram has come.
    Datagram {
        /// Who sent it.
        peer: Rc<Peer>,
        /// What it says.
        datagram: Bytes,
    },
    /// A peer that is watched was not reached, for the first time or for another reason than
    /// before. It is tried again and again.
    Unreachable {
        /// Whom it concerns.
        endpoint: Endpoint,
        /// Why it failed.
        error: ConnectError,
    },
}

/// Keeps exactly one link to each node that is watched or that has dialled this one, and the links
/// of any number of clients.
///
/// A node that is watched is dialled until it is forgotten, with growing pauses while it is not
/// reached. If both sides dial, or one of them twice, both keep the same link; a newer life of a
/// node supersedes the older.
///
/// A mesh belongs to one thread, that of the actor that owns it, so that sending takes no lock; it
/// must be used within a [`tokio::task::LocalSet`], as every arbiter of actix is. Clones are the
/// same mesh. When the last of them is dropped its links are closed and its tasks end.
#[derive(Clone, Debug)]
pub struct Mesh {
    roster: Rc<Roster>,
    dialers: Rc<Dialers>,
    _stop: Rc<StopOnDrop>,
}

#[derive(Debug)]
struct StopOnDrop(Rc<Roster>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Mesh {
    /// Starts to accept links as this member, whose identity the transport has.
    ///
    /// # Panics
    /// Outside a [`tokio::task::LocalSet`].
    pub fn start(
        transport: Arc<dyn Transport>,
        me: Member,
        config: MeshConfig,
    ) -> (Self, mpsc::Receiver<MeshEvent>) {
        let (events, receiver) = mpsc::channel(config.settings().events_max);
        let roster = Roster::start(transport, me, config, events);
        let dialers = Rc::new(Dialers::new(Rc::clone(&roster)));
        let stop = Rc::new(StopOnDrop(Rc::clone(&roster)));
        (Self { roster, dialers, _stop: stop }, receiver)
    }

    /// Dials a peer whenever there is no link to it. If it is watched already, its address is
    /// replaced and tried at once.
    ///
    /// Without a node, whoever answers at the address is taken: it is a place to find the cluster.
    /// It is dialled again when no link to who answered is left and that node is not watched
    /// itself. If this node answers itself, the address is given up.
    pub fn watch(&self, endpoint: Endpoint) {
        self.dialers.watch(endpoint);
    }

    /// Dials a node no more. A link that stands is left as it is.
    pub fn forget(&self, node: NodeId) {
        self.dialers.forget(node);
    }

    /// The node, if it is linked.
    pub fn peer(&self, node: NodeId) -> Option<Rc<Peer>> {
        self.roster.peer(node)
    }

    /// All nodes that are linked, in the order of their ids.
    pub fn peers(&self) -> Vec<Rc<Peer>> {
        self.roster.peers()
    }

    /// The link to a node, if it is linked.
    pub fn link(&self, node: NodeId) -> Option<Arc<dyn Link>> {
        self.peer(node).map(|peer| Arc::clone(peer.link()))
    }

    /// Hands in a frame for a node, without waiting.
    ///
    /// # Errors
    /// [`OutboxError`]: the frame was not taken.
    pub fn send(&self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), OutboxError> {
        self.peer(to).ok_or(OutboxError::NotLinked)?.send(lane, frame)
    }

    /// Hands in a frame for a node even if there is no room: for one whose sender bounds what it hands in.
    ///
    /// # Errors
    /// [`OutboxError`], but never [`OutboxError::Full`]: the frame was not taken.
    pub fn send_over(&self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), OutboxError> {
        self.peer(to).ok_or(OutboxError::NotLinked)?.outbox(lane).push_over(frame)
    }

    /// Hands in a frame for a node as soon as there is room.
    ///
    /// # Errors
    /// [`OutboxError`], but never [`OutboxError::Full`]: the frame was not taken.
    pub async fn send_waiting(&self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), OutboxError> {
        self.peer(to).ok_or(OutboxError::NotLinked)?.outbox(lane).push_waiting(frame).await
    }

    /// Sends a datagram to a node. Returns false if it is not linked: the datagram is lost, as any
    /// may be.
    ///
    /// # Errors
    /// [`DatagramError`] if it cannot be sent at all.
    pub fn send_datagram(&self, to: NodeId, datagram: Bytes) -> Result<bool, DatagramError> {
        let Some(peer) = self.peer(to) else { return Ok(false) };
        peer.send_datagram(datagram).map(|()| true)
    }

    /// Dials nobody any more, gives what waits in the outboxes some time to leave
    /// ([`MeshSettings::flush_within`]), and closes the transport with all links. Their ends are
    /// still reported.
    pub async fn close(&self, reason: CloseReason) {
        self.dialers.stop();
        self.roster.close(reason).await;
    }
}
