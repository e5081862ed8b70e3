//! What a transport over sockets is beside its sockets.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::watch};

use super::{ConnectionConfig, Greeter, Task, checked_greeter, heap::keep_what_is_free};
use crate::{
    BindError, CloseReason, ConnectError, CredentialError, Credentials, Hello, Link, Serial, tls::Present,
};

/// What all handshakes and links of a transport share.
pub(crate) struct Base<L> {
    pub(crate) tls: Present,
    pub(crate) greeter: Greeter,
    pub(crate) config: ConnectionConfig,
    pub(crate) runtime: Handle,
    pub(crate) addr: SocketAddr,
    links: Mutex<Vec<Weak<L>>>,
    closed: watch::Sender<bool>,
}

/// A link, as far as its transport has to do with it.
pub(crate) trait Linked {
    fn close(&self, reason: CloseReason);

    /// The certificate that the peer has shown.
    fn serial(&self) -> &Serial;
}

impl<L: Linked> Base<L> {
    /// `addr` is where the transport listens.
    pub(crate) fn new(
        runtime: Handle,
        credentials: Credentials,
        hello: Hello,
        addr: SocketAddr,
        config: ConnectionConfig,
    ) -> Result<Self, BindError> {
        let greeter = checked_greeter(&credentials, hello, addr, &config)?;
        let tls = Present::new(credentials)?;
        keep_what_is_free();
        let (links, closed) = (Mutex::default(), watch::Sender::new(false));
        Ok(Self { tls, greeter, config, runtime, addr, links, closed })
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(crate) async fn until_closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Notes that the transport is closed. Returns false if it was before.
    pub(crate) fn begin_close(&self) -> bool {
        !self.closed.send_replace(true)
    }

    /// Dials on the runtime of the transport, unless it is closed.
    pub(crate) fn dial(
        &self,
        dialling: impl Future<Output = Result<Arc<dyn Link>, ConnectError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<Arc<dyn Link>, ConnectError>> {
        if self.is_closed() {
            return Box::pin(async { Err(ConnectError::Closed) });
        }
        let task = Task::spawn(&self.runtime, dialling);
        Box::pin(async { task.await.unwrap_or(Err(ConnectError::Closed)) })
    }

    /// Remembers a link until it is gone, so that it can be closed with the transport or with its
    /// certificate.
    pub(crate) fn remember(&self, link: &Arc<L>) {
        let mut links = self.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
        drop(links);
        // Either may have happened before it was remembered.
        if self.is_closed() {
            link.close(CloseReason::Stopping);
        }
        self.close_if_revoked(link);
    }

    pub(crate) fn links(&self) -> Vec<Arc<L>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes all links at once, and says which they were.
    pub(crate) fn close_links(&self, reason: &CloseReason) -> Vec<Arc<L>> {
        let links = self.links();
        for link in &links {
            link.close(reason.clone());
        }
        links
    }

    /// Shows other credentials from now on, and closes the links of those who have been revoked.
    pub(crate) fn replace_credentials(&self, credentials: Credentials) -> Result<(), CredentialError> {
        self.tls.replace(credentials)?;
        for link in self.links() {
            self.close_if_revoked(&link);
        }
        Ok(())
    }

    fn close_if_revoked(&self, link: &L) {
        if self.tls.is_revoked(link.serial()) {
            metrics::counter!("quorate_links_revoked_total").increment(1);
            tracing::warn!(certificate = %link.serial(), "closed a link: its certificate was revoked");
            link.close(CloseReason::Refused("your certificate was revoked".to_owned()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<L>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> fmt::Debug for Base<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.tls.get().credentials().identity(), self.addr)
    }
}
