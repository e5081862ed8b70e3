//! Opening links, and the further connections of links that this side has dialled.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::{
    Inner, Stream,
    error::{refusal, unreachable},
    link::{Shared, TcpLink},
    opening::Way,
    preamble::{Answer, ask_for_link, read_answer},
};
use crate::{
    ConnectError, Endpoint, Identity, Link, Refusal,
    tls::{Holder, Verdict},
};

/// Dials a node. Runs on the transport's runtime.
pub(super) async fn dial(inner: Arc<Inner>, to: Endpoint) -> Result<Arc<dyn Link>, ConnectError> {
    let deadline = Instant::now() + inner.base.config.handshake_timeout();
    let closing = Arc::clone(&inner);
    tokio::select! {
        biased;
        () = closing.base.until_closed() => Err(ConnectError::Closed),
        link = open_link(inner, to, deadline) => link,
    }
}

async fn open_link(
    inner: Arc<Inner>,
    to: Endpoint,
    deadline: Instant,
) -> Result<Arc<dyn Link>, ConnectError> {
    let addr = to.addr;
    let (mut stream, holder) = connect(&inner, addr, deadline).await?;
    inner.base.greeter.check_dialled(&to, &holder.identity)?;
    let lanes_max = inner.base.config.lanes_max();
    let greeting = async {
        // If this fails, the peer has hung up, and said why before.
        let _ = ask_for_link(&mut stream, lanes_max, inner.base.greeter.encoded()).await;
        read_answer(&mut stream).await
    };
    let answer = timeout_at(deadline, greeting).await.unwrap_or(Err(Refusal::TooSlow));
    let (token, lanes_max, greeting) = match answer {
        Ok(Answer::Welcome { token, lanes_max, greeting }) => (token, lanes_max, greeting),
        Ok(Answer::Refused(why)) => return Err(ConnectError::Refused { addr, why }),
        Err(refusal) => return Err(refused(addr, &refusal)),
    };
    let peer = inner.base.greeter.meet_dialled(&holder.identity, &greeting, addr)?;
    let way = Way::Dialled { addr, token };
    let link = Shared::new(&inner, peer, holder, lanes_max, way);
    inner.base.remember(&link);
    Ok(Arc::new(TcpLink::start(link, stream)))
}

/// Connects to a node of the cluster, and says which it is and by which certificate.
async fn connect(
    inner: &Inner,
    addr: SocketAddr,
    deadline: Instant,
) -> Result<(Stream, Holder), ConnectError> {
    let connected = timeout_at(deadline, TcpStream::connect(addr)).await;
    let socket = connected.map_err(|_| ConnectError::Unreachable(addr))?;
    let socket = socket.map_err(|error| unreachable(addr, error))?;
    let io = |source| ConnectError::Io { addr, source };
    socket.set_nodelay(true).map_err(io)?;
    let verdict = Verdict::new();
    let config = inner.base.tls.get().dialling(&verdict).map_err(|error| io(std::io::Error::other(error)))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(inner.base.tls.get().server_name(), socket);
    let secured = timeout_at(deadline, connecting).await;
    let secured = secured.map_err(|_| refused(addr, &Refusal::TooSlow))?;
    let stream = secured.map_err(|error| refused(addr, &refusal(&verdict, &error)))?;
    if stream.get_ref().1.alpn_protocol().is_none() {
        return Err(refused(addr, &Refusal::OtherProtocol));
    }
    let holder = verdict.holder().cloned().ok_or_else(|| refused(addr, &Refusal::NoCertificate))?;
    Ok((TlsStream::Client(stream), holder))
}

/// Opens one more connection of a link. The token is shown to nobody but the peer of that link.
pub(super) async fn connect_again(
    inner: &Inner,
    addr: SocketAddr,
    peer: &Identity,
    within: Duration,
) -> Result<Stream, String> {
    let deadline = Instant::now() + within;
    let (stream, Holder { identity, .. }) =
        connect(inner, addr, deadline).await.map_err(|error| error.to_string())?;
    if identity == *peer { Ok(stream) } else { Err(format!("{identity} answers instead")) }
}

fn refused(addr: SocketAddr, refusal: &Refusal) -> ConnectError {
    refusal.report(addr);
    ConnectError::Handshake { addr, why: refusal.to_string() }
}
