//! Opening links.

use std::sync::Arc;

use quinn::{Connection, WriteError};
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};

use super::{
    CLOSED, Inner,
    endpoint::{self, Attempt},
    error::connect_error,
    link::{QuicLink, Shared},
};
use crate::{
    CloseReason, ConnectError, Endpoint, Link, Refusal, codec::encode_close, net::read_hello, tls::Holder,
};

/// Dials a node. Runs on the transport's runtime.
pub(super) async fn dial(inner: Arc<Inner>, to: Endpoint) -> Result<Arc<dyn Link>, ConnectError> {
    let deadline = Instant::now() + inner.base.config.handshake_timeout();
    let attempt = Attempt::default();
    let verdict = &attempt.verdict;
    let connection = match timeout_at(deadline, shake_hands(&inner, &to, &attempt)).await {
        Ok(connected) => connected?,
        Err(_) => return Err(ConnectError::Unreachable(to.addr)),
    };
    let greeted = match verdict.holder() {
        Some(holder) => timeout_at(deadline, greet(&inner, &to, &connection, holder, &attempt)).await,
        None => unreachable!("rustls completes no handshake without asking the verifier"),
    };
    let result = greeted.unwrap_or_else(|_| {
        let why = Refusal::TooSlow;
        why.report(to.addr);
        Err(ConnectError::Handshake { addr: to.addr, why: why.to_string() })
    });
    if let Err(error) = &result {
        // Says why, unless the peer has closed it already.
        connection.close(CLOSED, &encode_close(&CloseReason::Refused(error.to_string())));
    }
    result
}

async fn shake_hands(inner: &Inner, to: &Endpoint, attempt: &Attempt) -> Result<Connection, ConnectError> {
    let addr = to.addr;
    let config = endpoint::client_config(&inner.base.tls.get(), &inner.base.config, attempt, addr.ip())
        .map_err(|source| ConnectError::Io { addr, source })?;
    let ServerName::DnsName(name) = inner.base.tls.get().server_name() else {
        unreachable!("the name of a cluster is a domain name");
    };
    let connecting =
        inner.endpoint.connect_with(config, addr, name.as_ref()).map_err(|error| match error {
            quinn::ConnectError::EndpointStopping => ConnectError::Closed,
            other => ConnectError::Io { addr, source: std::io::Error::other(other) },
        })?;
    connecting.await.map_err(|error| connect_error(addr, &attempt.verdict, &error))
}

async fn greet(
    inner: &Inner,
    to: &Endpoint,
    connection: &Connection,
    holder: &Holder,
    attempt: &Attempt,
) -> Result<Arc<dyn Link>, ConnectError> {
    let addr = to.addr;
    inner.base.greeter.check_dialled(to, &holder.identity)?;
    let lost = |error: quinn::ConnectionError| connect_error(addr, &attempt.verdict, &error);
    let (mut send, mut receive) = connection.open_bi().await.map_err(lost)?;
    let written = send.write_all(inner.base.greeter.encoded()).await;
    let theirs = match written {
        Ok(()) => read_hello(&mut receive).await,
        Err(WriteError::ConnectionLost(error)) => return Err(lost(error)),
        Err(error) => Err(Refusal::BadHello(error.to_string())),
    };
    let theirs = match (theirs, connection.close_reason()) {
        (Ok(theirs), _) => theirs,
        // It broke because the peer closed the connection, most likely for our certificate.
        (Err(_), Some(error)) => return Err(lost(error)),
        (Err(refusal), None) => {
            refusal.report(addr);
            return Err(ConnectError::Handshake { addr, why: refusal.to_string() });
        }
    };
    let peer = inner.base.greeter.meet_dialled(&holder.identity, &theirs, addr)?;
    let link = Shared::new(inner, connection.clone(), (send, receive), peer, attempt, holder);
    inner.base.remember(&link);
    Ok(Arc::new(QuicLink::new(link)))
}
