//! Accepting links.

use std::sync::Arc;

use quinn::{Connection, Incoming};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    CLOSED, Inner,
    endpoint::{self, Attempt},
    error::refusal,
    link::{QuicLink, Shared},
};
use crate::{
    CloseReason, Link, Refusal,
    codec::encode_close,
    net::{Handshakes, canonical, read_hello},
};

/// Accepts connections until the endpoint is closed.
pub(super) async fn accept_links(inner: Arc<Inner>, queue: mpsc::Sender<Arc<dyn Link>>) {
    let mut handshakes = Handshakes::new(inner.base.config.handshakes_max());
    while let Some(incoming) = inner.endpoint.accept().await {
        let addr = canonical(incoming.remote_address());
        // When it gets crowded, peers first prove that they are where they say they are: a flood
        // from forged addresses then costs a packet each and ends nobody's handshake.
        let crowded = handshakes.len() > inner.base.config.handshakes_max() / 2;
        if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%addr, %error, "a peer could not be asked to prove its address");
            }
            continue;
        }
        let (inner, queue) = (Arc::clone(&inner), queue.clone());
        handshakes.start(addr, async move {
            if let Err(refusal) = admit(&inner, incoming, &queue).await {
                refusal.report(addr);
            }
        });
    }
}

/// Takes one peer from its first packet to a link in the queue.
async fn admit(
    inner: &Arc<Inner>,
    incoming: Incoming,
    queue: &mpsc::Sender<Arc<dyn Link>>,
) -> Result<(), Refusal> {
    let deadline = Instant::now() + inner.base.config.handshake_timeout();
    let attempt = Attempt::default();
    let connection = timeout_at(deadline, shake_hands(inner, incoming, &attempt))
        .await
        .map_err(|_| Refusal::TooSlow)??;
    let greeted = timeout_at(deadline, greet(inner, &connection, &attempt, queue)).await;
    let result = greeted.unwrap_or(Err(Refusal::TooSlow));
    if let Err(refusal) = &result {
        connection.close(CLOSED, &encode_close(&CloseReason::Refused(refusal.to_string())));
    }
    result
}

async fn shake_hands(inner: &Inner, incoming: Incoming, attempt: &Attempt) -> Result<Connection, Refusal> {
    let peer = incoming.remote_address().ip();
    let config = endpoint::server_config(&inner.base.tls.get(), &inner.base.config, attempt, peer)
        .map_err(|error| Refusal::NotTls(error.to_string()))?;
    let connecting =
        incoming.accept_with(Arc::new(config)).map_err(|error| refusal(&attempt.verdict, &error))?;
    connecting.await.map_err(|error| refusal(&attempt.verdict, &error))
}

async fn greet(
    inner: &Inner,
    connection: &Connection,
    attempt: &Attempt,
    queue: &mpsc::Sender<Arc<dyn Link>>,
) -> Result<(), Refusal> {
    let holder = attempt.verdict.holder().ok_or(Refusal::NoCertificate)?;
    inner.base.greeter.check_dialler(&holder.identity)?;
    let accepted = connection.accept_bi().await;
    let (mut send, mut receive) = accepted.map_err(|error| refusal(&attempt.verdict, &error))?;
    let theirs = read_hello(&mut receive).await.map_err(|unreadable| match connection.close_reason() {
        Some(error) => refusal(&attempt.verdict, &error),
        None => unreadable,
    })?;
    // A place in the queue before the answer: who gets an answer has a link.
    let place = queue.reserve().await.map_err(|_| Refusal::Closing)?;
    send.write_all(inner.base.greeter.encoded())
        .await
        .map_err(|error| Refusal::RefusedByPeer(error.to_string()))?;
    match inner.base.greeter.meet_dialler(&holder.identity, &theirs, canonical(connection.remote_address())) {
        Ok(peer) => {
            let link = Shared::new(inner, connection.clone(), (send, receive), peer, attempt, holder);
            inner.base.remember(&link);
            place.send(Arc::new(QuicLink::new(link)));
            Ok(())
        }
        Err(refusal) => {
            // The peer comes to the same result once it has our hello, which a close would cut off.
            let _ = send.finish();
            let _ = send.stopped().await;
            Err(refusal)
        }
    }
}
