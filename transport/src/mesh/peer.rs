//! A peer while a link to it stands.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{sync::watch, task::spawn_local};
use tracing::Instrument;

use super::{MeshConfig, Outbox, OutboxError, outbox::write};
use crate::{CloseReason, DatagramError, Frame, Lane, Link, LinkError, PeerInfo};

/// A peer while a link to it stands: a node or a client. The next link is another `Peer`.
pub struct Peer {
    link: Arc<dyn Link>,
    config: MeshConfig,
    outboxes: RefCell<BTreeMap<Lane, Rc<Outbox>>>,
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Up,
    /// The link has ended; nothing is taken any more.
    Over,
    /// And whoever listens to the mesh has been told.
    Reported,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("info", self.info()).finish_non_exhaustive()
    }
}

impl Peer {
    pub(super) fn new(link: Arc<dyn Link>, config: MeshConfig) -> Self {
        Self { link, config, outboxes: RefCell::default(), stage: watch::Sender::new(Stage::Up) }
    }

    /// Who it is.
    pub fn info(&self) -> &PeerInfo {
        self.link.peer()
    }

    /// The link.
    pub fn link(&self) -> &Arc<dyn Link> {
        &self.link
    }

    /// The outbox of a lane. The lane is opened when the first frame is put in.
    pub fn outbox(&self, lane: Lane) -> Rc<Outbox> {
        if let Some(outbox) = self.outboxes.borrow().get(&lane) {
            return Rc::clone(outbox);
        }
        let outbox = Rc::new(Outbox::new(self.config));
        if *self.stage.borrow() >= Stage::Over {
            outbox.close();
            return outbox;
        }
        self.outboxes.borrow_mut().insert(lane, Rc::clone(&outbox));
        let (link, waiting, mut stage) = (Arc::clone(&self.link), Rc::clone(&outbox), self.stage.subscribe());
        let writing = async move {
            tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage >= Stage::Over) => {}
                () = write(link, lane, &waiting) => {}
            }
            waiting.close();
        };
        spawn_local(writing.in_current_span());
        outbox
    }

    /// Hands in a frame, without waiting.
    ///
    /// # Errors
    /// [`OutboxError`]: the frame was not taken.
    pub fn send(&self, lane: Lane, frame: Frame) -> Result<(), OutboxError> {
        self.outbox(lane).push(frame)
    }

    /// Sends a datagram, without waiting.
    ///
    /// # Errors
    /// [`DatagramError`] if it cannot be sent at all.
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.link.send_datagram(datagram)?;
        metrics::counter!("quorate_datagrams_sent_total").increment(1);
        Ok(())
    }

    /// Closes the link. A node that is watched is dialled again.
    pub fn close(&self, reason: CloseReason) {
        self.link.close(reason);
    }

    /// Waits until the link is gone, and says why.
    pub async fn closed(&self) -> LinkError {
        self.link.closed().await
    }

    /// Waits until all that was handed in before is with the link, or the link is gone.
    pub(super) async fn flushed(&self) {
        let outboxes: Vec<_> = self.outboxes.borrow().values().cloned().collect();
        join_all(outboxes.iter().map(|outbox| outbox.flushed())).await;
    }

    /// Ends the outboxes.
    pub(super) fn end(&self) {
        self.stage.send_replace(Stage::Over);
        self.outboxes.borrow().values().for_each(|outbox| outbox.close());
    }

    /// Notes that the end of the link has been reported.
    pub(super) fn reported(&self) {
        self.stage.send_replace(Stage::Reported);
    }

    /// Waits until the end of the link has been reported.
    pub(super) async fn is_reported(&self) {
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Reported).await;
    }
}
