//! What errors of TCP and TLS mean here.

use std::{io, net::SocketAddr};

use crate::{ConnectError, Refusal, tls::Verdict};

/// What rustls says in an error of the stream, if it is from there.
pub(super) fn alert_in(error: &io::Error) -> Option<Refusal> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(Refusal::of_tls(inner))
}

/// Why a handshake came to nothing.
pub(super) fn refusal(verdict: &Verdict, error: &io::Error) -> Refusal {
    if let Some(refusal) = verdict.refusal() {
        return refusal.clone();
    }
    alert_in(error).unwrap_or_else(|| Refusal::NotTls(error.to_string()))
}

/// Why nobody could be reached.
pub(super) fn unreachable(addr: SocketAddr, source: io::Error) -> ConnectError {
    match source.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable(addr),
        _ => ConnectError::Io { addr, source },
    }
}
