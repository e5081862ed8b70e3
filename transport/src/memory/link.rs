//! A link within the process: both sides, and what they share.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, watch};

use super::{
    MemoryConfig, lock,
    pipe::{Pipe, PipeReceiver, PipeSender},
};
use crate::{CloseReason, DatagramError, Incoming, Lane, LaneSender, Link, LinkError, PeerInfo};

/// The handle of one side. Its lanes keep the side alive as well.
#[derive(Debug)]
pub(super) struct MemoryLink(pub(super) Arc<Side>);

/// One side of a link. Dropping it closes the link.
#[derive(Debug)]
pub(super) struct Side {
    number: usize,
    peer: PeerInfo,
    config: MemoryConfig,
    shared: Arc<Shared>,
    opened: mpsc::Sender<(Lane, Arc<Pipe>)>,
    incoming: AsyncMutex<mpsc::Receiver<(Lane, Arc<Pipe>)>>,
}

/// What both sides share.
#[derive(Debug)]
struct Shared {
    /// Which side closed the link, and why.
    closed: watch::Sender<Option<(usize, CloseReason)>>,
    /// By the side that receives.
    datagrams: [Datagrams; 2],
}

#[derive(Debug, Default)]
struct Datagrams {
    waiting: Mutex<VecDeque<Bytes>>,
    arrived: Notify,
}

impl Side {
    /// A new link. Each side is given as it is seen by the other.
    pub(super) fn pair(
        (dialer, of_dialer): (PeerInfo, MemoryConfig),
        (listener, of_listener): (PeerInfo, MemoryConfig),
    ) -> (Arc<Self>, Arc<Self>) {
        let closed = watch::Sender::new(None);
        let shared = Arc::new(Shared { closed, datagrams: Default::default() });
        let (to_listener, at_listener) = mpsc::channel(of_listener.lanes_max.max(1));
        let (to_dialer, at_dialer) = mpsc::channel(of_dialer.lanes_max.max(1));
        let side = |number, peer, config, opened, incoming| {
            let (shared, incoming) = (Arc::clone(&shared), AsyncMutex::new(incoming));
            Arc::new(Self { number, peer, config, shared, opened, incoming })
        };
        (
            side(0, listener, of_dialer, to_listener, at_dialer),
            side(1, dialer, of_listener, to_dialer, at_listener),
        )
    }

    pub(super) fn config(&self) -> &MemoryConfig {
        &self.config
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.shared.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some((self.number, reason));
            }
            first
        });
    }

    /// Whether the link still stands.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        self.error(self.shared.closed.borrow().as_ref()).map_or(Ok(()), Err)
    }

    /// Whether this side has closed the link: then nothing is received any more. What a peer had
    /// sent before it closed the link is.
    pub(super) fn check_here(&self) -> Result<(), LinkError> {
        match self.check() {
            Err(LinkError::ClosedByPeer(_)) => Ok(()),
            other => other,
        }
    }

    /// Waits until it does not.
    pub(super) async fn ended(&self) -> LinkError {
        let mut closed = self.shared.closed.subscribe();
        let closed = closed.wait_for(Option::is_some).await.expect("this side holds the sender");
        self.error(closed.as_ref()).expect("it was waited for")
    }

    fn error(&self, closed: Option<&(usize, CloseReason)>) -> Option<LinkError> {
        let (side, reason) = closed?;
        let error = if *side == self.number { LinkError::ClosedHere } else { LinkError::ClosedByPeer };
        Some(error(reason.clone()))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.close(CloseReason::Stopping);
    }
}

impl Link for MemoryLink {
    fn peer(&self) -> &PeerInfo {
        &self.0.peer
    }

    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>> {
        Box::pin(async move {
            let side = Arc::clone(&self.0);
            side.check()?;
            let pipe = Arc::new(Pipe::default());
            tokio::select! {
                error = side.ended() => return Err(error),
                sent = side.opened.send((lane, Arc::clone(&pipe))) => {
                    if sent.is_err() {
                        return Err(side.ended().await);
                    }
                }
            }
            Ok(Box::new(PipeSender { lane, pipe, side }) as Box<dyn LaneSender>)
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>> {
        Box::pin(async {
            let side = Arc::clone(&self.0);
            side.check_here()?;
            let incoming = async { side.incoming.lock().await.recv().await };
            let opened = tokio::select! {
                biased;
                opened = incoming => opened,
                error = side.ended() => return Err(error),
            };
            match opened {
                Some((lane, pipe)) => Ok((lane, Box::new(PipeReceiver { pipe, side }) as _)),
                None => Err(side.ended().await),
            }
        })
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.check()?;
        let limit = self.0.config.datagram_bytes_max;
        if datagram.len() > limit {
            return Err(DatagramError::TooLarge { bytes: datagram.len(), limit });
        }
        let to = &self.0.shared.datagrams[1 - self.0.number];
        let mut waiting = lock(&to.waiting);
        if waiting.len() >= self.0.config.datagrams_max {
            waiting.pop_front();
        }
        waiting.push_back(datagram);
        drop(waiting);
        to.arrived.notify_one();
        Ok(())
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(async {
            let here = &self.0.shared.datagrams[self.0.number];
            loop {
                self.0.check_here()?;
                let arrived = here.arrived.notified();
                if let Some(datagram) = lock(&here.waiting).pop_front() {
                    return Ok(datagram);
                }
                tokio::select! {
                    biased;
                    () = arrived => {}
                    error = self.0.ended() => return Err(error),
                }
            }
        })
    }

    fn close(&self, reason: CloseReason) {
        self.0.close(reason);
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(self.0.ended())
    }
}
