//! Accepting links, and the further connections of links that were accepted.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{
    Inner, LINGER, Stream,
    error::refusal,
    link::{Shared, TcpLink},
    opening::Way,
    preamble::{Purpose, Token, read_purpose, refuse, welcome_lane, welcome_link},
};
use crate::{
    BindError, CloseReason, Identity, Lane, Link, Refusal,
    codec::Greeting,
    net::{Handshakes, canonical, is_dual_stack},
    tls::{Holder, Verdict},
};

/// Connections that the kernel completes before they are accepted here.
const BACKLOG: i32 = 1024;

/// Pause after an error of the listener, such as too many open files: there is no event to wait
/// for, and without a pause it would fail as fast as it can.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Takes a port.
pub(super) fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let open = || -> io::Result<(TcpListener, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if is_dual_stack(addr) {
            socket.set_only_v6(false)?;
        }
        // A node that starts again need not wait for what is left of its old connections.
        if cfg!(unix) {
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let listener = StdListener::from(socket);
        let addr = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, addr))
    };
    open().map_err(|source| BindError::io(addr, source))
}

/// Accepts connections until the transport is closed.
pub(super) async fn accept_links(
    inner: Arc<Inner>,
    listener: TcpListener,
    queue: mpsc::Sender<Arc<dyn Link>>,
) {
    let mut handshakes = Handshakes::new(inner.base.config.handshakes_max());
    loop {
        let accepted = tokio::select! {
            biased;
            () = inner.base.until_closed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, addr)) => {
                let (inner, queue, addr) = (Arc::clone(&inner), queue.clone(), canonical(addr));
                handshakes.start(addr, async move {
                    if let Err(refusal) = admit(&inner, socket, addr, &queue).await {
                        refusal.report(addr);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    drop(listener);
    inner.released.send_replace(true);
}

/// Takes one connection to where it belongs.
async fn admit(
    inner: &Arc<Inner>,
    socket: TcpStream,
    addr: SocketAddr,
    queue: &mpsc::Sender<Arc<dyn Link>>,
) -> Result<(), Refusal> {
    let deadline = Instant::now() + inner.base.config.handshake_timeout();
    let secured = timeout_at(deadline, secure(inner, socket)).await;
    let (mut stream, holder) = secured.map_err(|_| Refusal::TooSlow)??;
    let purpose = timeout_at(deadline, read_purpose(&mut stream)).await;
    match purpose.unwrap_or(Err(Refusal::TooSlow)) {
        Ok(Purpose::Link { lanes_max, greeting }) => {
            let visitor = Visitor { stream, holder, addr };
            let greeted = timeout_at(deadline, greet(inner, visitor, lanes_max, &greeting, queue)).await;
            greeted.unwrap_or(Err(Refusal::TooSlow))
        }
        Ok(Purpose::Lane { token, lane }) => {
            let joined = timeout_at(deadline, join(inner, stream, &holder.identity, token, lane)).await;
            joined.unwrap_or(Err(Refusal::TooSlow))
        }
        Ok(Purpose::Back { token, request }) => {
            let link = link_of(inner, token, &holder.identity)?;
            link.on_brought(request, stream);
            Ok(())
        }
        Err(refusal) => turn_away(stream, refusal).await,
    }
}

/// A peer that wants a link.
struct Visitor {
    stream: Stream,
    holder: Holder,
    addr: SocketAddr,
}

async fn secure(inner: &Inner, socket: TcpStream) -> Result<(Stream, Holder), Refusal> {
    let hung_up = |error: io::Error| Refusal::NotTls(error.to_string());
    socket.set_nodelay(true).map_err(hung_up)?;
    let verdict = Verdict::new();
    let config = inner.base.tls.get().accepting(&verdict).map_err(|error| Refusal::of_tls(&error))?;
    match TlsAcceptor::from(Arc::new(config)).accept(socket).into_fallible().await {
        // A peer that names no protocol at all is let through by TLS.
        Ok(stream) if stream.get_ref().1.alpn_protocol().is_none() => Err(Refusal::OtherProtocol),
        Ok(stream) => {
            let holder = verdict.holder().cloned().ok_or(Refusal::NoCertificate)?;
            Ok((TlsStream::Server(stream), holder))
        }
        Err((error, mut socket)) => {
            let refusal = refusal(&verdict, &error);
            let _ = socket.shutdown().await;
            drain(&mut socket).await;
            Err(refusal)
        }
    }
}

/// Comes to an agreement with a peer that wants a link.
async fn greet(
    inner: &Arc<Inner>,
    visitor: Visitor,
    lanes_max: u32,
    greeting: &Greeting,
    queue: &mpsc::Sender<Arc<dyn Link>>,
) -> Result<(), Refusal> {
    let Visitor { mut stream, holder, addr } = visitor;
    if let Err(refusal) = inner.base.greeter.check_dialler(&holder.identity) {
        return turn_away(stream, refusal).await;
    }
    // A place in the queue before the answer: who gets an answer has a link.
    let place = queue.reserve().await.map_err(|_| Refusal::Closing)?;
    let agreed = inner.base.greeter.meet_dialler(&holder.identity, greeting, addr);
    let token = Token::draw();
    let link = agreed.map(|peer| {
        let link = Shared::new(inner, peer, holder, lanes_max, Way::accepted());
        inner.base.remember(&link);
        inner.give_token(&link, token); // Before the peer can show it.
        link
    });
    let lanes_max = inner.base.config.lanes_max();
    let welcome = welcome_link(&mut stream, token, lanes_max, inner.base.greeter.encoded()).await;
    match (link, welcome) {
        (Ok(link), Ok(())) => {
            place.send(Arc::new(TcpLink::start(link, stream)));
            Ok(())
        }
        (Ok(_), Err(error)) => Err(Refusal::RefusedByPeer(error.to_string())),
        // The peer comes to the same result from our hello.
        (Err(refusal), _) => {
            let _ = stream.shutdown().await;
            drain(&mut stream).await;
            Err(refusal)
        }
    }
}

/// Joins a lane to its link.
async fn join(
    inner: &Inner,
    stream: Stream,
    identity: &Identity,
    token: Token,
    lane: Lane,
) -> Result<(), Refusal> {
    let link = link_of(inner, token, identity)?;
    let (reader, mut writer) = tokio::io::split(stream);
    // In the queue before the answer: lanes that are opened one after the other arrive so.
    link.on_lane(lane, reader).map_err(|error| Refusal::BadHello(error.to_string()))?;
    welcome_lane(&mut writer).await.map_err(|error| Refusal::RefusedByPeer(error.to_string()))
}

/// The link with this token, if it is with this peer.
fn link_of(inner: &Inner, token: Token, identity: &Identity) -> Result<Arc<Shared>, Refusal> {
    inner.link_of(token).filter(|link| link.is_with(identity)).ok_or(Refusal::NoSuchLink)
}

async fn turn_away(mut stream: Stream, refusal: Refusal) -> Result<(), Refusal> {
    let told = async {
        refuse(&mut stream, &CloseReason::Refused(refusal.to_string())).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(LINGER, told).await {
        drain(&mut stream).await;
    }
    Err(refusal)
}

/// Reads what the peer may still have said, for a moment: a connection that is closed while
/// something waits to be read is reset, and what the peer was told last is lost.
async fn drain(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = [0; 1024];
    let drained = async { while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} };
    let _ = timeout(LINGER, drained).await;
}
