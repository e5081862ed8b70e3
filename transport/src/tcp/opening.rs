//! Opening lanes: further connections of a link, which one side always dials.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::ReadHalf,
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};

use super::{
    Stream,
    dial::connect_again,
    lane::TcpSender,
    link::{Arrival, Shared},
    lost,
    preamble::{Token, ask_for_lane, bring_lane},
};
use crate::{Lane, LinkError};

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

impl Way {
    pub(super) fn accepted() -> Self {
        Self::Accepted { asked: Mutex::default(), last: AtomicU64::new(0) }
    }
}

impl Shared {
    /// A lane of the peer has arrived.
    pub(super) fn on_lane(&self, lane: Lane, reader: ReadHalf<Stream>) -> Result<(), LinkError> {
        let permit = self.place()?;
        self.queue(Arrival { lane, reader, permit });
        Ok(())
    }

    /// The peer wants to send on a lane: dials for it.
    pub(super) fn on_wanted(self: &Arc<Self>, request: u64, lane: Lane) -> Result<(), LinkError> {
        let Way::Dialled { addr, token } = self.way else {
            let what = "only the side that was dialled asks for lanes".to_owned();
            return Err(self.violated(LinkError::Violation(what)));
        };
        let permit = self.place()?;
        let link = Arc::clone(self);
        self.spawn(async move {
            let brought = async {
                let stream = link.connect_again(addr).await?;
                let (reader, mut writer) = tokio::io::split(stream);
                // In the queue before the peer gets it: lanes that are opened one after the other
                // arrive so.
                link.queue(Arrival { lane, reader, permit });
                bring_lane(&mut writer, token, request).await.map_err(|error| error.to_string())
            };
            if let Err(why) = brought.await {
                link.end(lost("a lane could not be opened for the peer", &why), None);
            }
        });
        Ok(())
    }

    /// Takes one of the places for lanes of the peer.
    fn place(&self) -> Result<OwnedSemaphorePermit, LinkError> {
        let place = Arc::clone(&self.lanes_in).try_acquire_owned();
        place.map_err(|_| self.violated(LinkError::Violation("more lanes than are allowed".to_owned())))
    }

    fn queue(&self, arrival: Arrival) {
        let queued = self.arrived.try_send(arrival);
        debug_assert!(queued.is_ok(), "the queue has room for every permit, and the receiver is here");
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
        let within = self.inner.base.config.handshake_timeout();
        connect_again(&self.inner, addr, &self.holder.identity, within).await
    }

    /// Opens a lane. Once begun it is carried through, or the peer would find a piece of one.
    pub(super) async fn open(self: &Arc<Self>, lane: Lane) -> Result<TcpSender, LinkError> {
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
                let within = link.inner.base.config.handshake_timeout();
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
        match timeout(self.inner.base.config.handshake_timeout(), answered).await {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
