//! Links that somebody opens who belongs here, and then says what he likes.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use quorate_transport::{CloseReason, ClusterCa, Link, Transport};

use super::{Kind, authority, bind, config, node};

/// A node at the other end of such a link.
pub(crate) trait Insider {
    /// Opens a lane and sends these bytes on it, as they would stand behind its name.
    fn lane<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, ()>;

    /// What it is told when the link ends.
    fn told(&mut self) -> BoxFuture<'_, CloseReason>;
}

/// A link that n5 has opened by hand, and what n2 sees of it.
pub(crate) struct ByHand<I> {
    pub(crate) insider: I,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) ca: ClusterCa,
    pub(crate) listener: Arc<dyn Transport>,
}

impl<I> ByHand<I> {
    pub(crate) async fn new(kind: &dyn Kind, open: impl AsyncFnOnce(&ClusterCa, SocketAddr) -> I) -> Self {
        let ca = authority("prod");
        let listener = bind(kind, node(&ca, 2), config());
        let (insider, link) = tokio::join!(open(&ca, listener.local_addr()), listener.accept());
        Self { insider, link: link.expect("it is open"), ca, listener }
    }
}
