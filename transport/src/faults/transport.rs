//! A transport over a network with faults.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use quorate_membership::NodeId;
use tokio::time::{sleep_until, timeout};

use super::{
    Faults,
    link::{End, FaultyLink},
};
use crate::{CloseReason, ConnectError, Endpoint, Link, Transport};

/// Wraps the transport of one node. See [`Faults`] for what can be done to it.
///
/// It must be used within a tokio runtime, and the wrapped transport by nobody else.
#[derive(Debug)]
pub struct FaultyTransport {
    me: NodeId,
    inner: Arc<dyn Transport>,
    faults: Faults,
}

impl FaultyTransport {
    /// Wraps the transport of this node.
    pub fn new(me: NodeId, inner: Arc<dyn Transport>, faults: Faults) -> Self {
        Self { me, inner, faults }
    }

    fn is_cut(&self, peer: NodeId) -> bool {
        self.faults.cut_since(self.me, peer).is_some() || self.faults.cut_since(peer, self.me).is_some()
    }

    async fn healed(&self, peer: NodeId) {
        let mut changes = self.faults.changes();
        while self.is_cut(peer) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn dial(&self, to: &Endpoint) -> Result<Arc<dyn Link>, ConnectError> {
        if let Some(peer) = to.node {
            self.reach(peer, to.addr).await?;
        }
        let inner = self.inner.connect(to).await?;
        let peer = inner.peer().member.node;
        if self.is_cut(peer) {
            drop(inner);
            self.reach(peer, to.addr).await?;
            return Err(ConnectError::Unreachable(to.addr));
        }
        Ok(Arc::new(FaultyLink(End::new(self.me, inner, self.faults.clone()))))
    }

    /// Waits as long as a packet takes there and back.
    async fn reach(&self, peer: NodeId, addr: SocketAddr) -> Result<(), ConnectError> {
        let within = self.faults.timing().connect_within;
        let there_and_back = async {
            self.healed(peer).await;
            for (from, to) in [(self.me, peer), (peer, self.me)] {
                if let Some(at) = self.faults.arrival(from, to, 0) {
                    sleep_until(at).await;
                }
            }
        };
        timeout(within, there_and_back).await.map_err(|_| ConnectError::Unreachable(addr))
    }
}

impl Transport for FaultyTransport {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>> {
        Box::pin(self.dial(to))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async {
            loop {
                let inner = self.inner.accept().await?;
                if !self.is_cut(inner.peer().member.node) {
                    return Some(Arc::new(FaultyLink(End::new(self.me, inner, self.faults.clone()))) as _);
                }
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()> {
        self.inner.close(reason)
    }
}
