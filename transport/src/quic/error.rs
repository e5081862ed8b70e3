//! What quinn's errors mean here.

use std::net::SocketAddr;

use quinn::{ConnectionError, TransportErrorCode};
use rustls::AlertDescription;

use crate::{CloseReason, ConnectError, LinkError, Refusal, codec::decode_close, tls::Verdict};

/// Why an established link is no more, unless this side closed it.
pub(super) fn link_error(error: &ConnectionError) -> LinkError {
    match error {
        ConnectionError::ApplicationClosed(close) => LinkError::ClosedByPeer(decode_close(&close.reason)),
        ConnectionError::TransportError(error) => LinkError::Violation(error.to_string()),
        ConnectionError::LocallyClosed => LinkError::ClosedHere(CloseReason::Stopping),
        ConnectionError::TimedOut => LinkError::Lost("nothing was heard for too long".to_owned()),
        ConnectionError::Reset => LinkError::Lost("the peer does not know it any more".to_owned()),
        other => LinkError::Lost(other.to_string()),
    }
}

/// Why dialling failed, before or during the hellos.
pub(super) fn connect_error(addr: SocketAddr, verdict: &Verdict, error: &ConnectionError) -> ConnectError {
    match error {
        ConnectionError::TimedOut => ConnectError::Unreachable(addr),
        ConnectionError::LocallyClosed => ConnectError::Closed,
        ConnectionError::ApplicationClosed(close) => {
            ConnectError::Refused { addr, why: decode_close(&close.reason) }
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            ConnectError::Refused { addr, why: CloseReason::Refused("it accepts no links".to_owned()) }
        }
        other => {
            let refusal = refusal(verdict, other);
            refusal.report(addr);
            ConnectError::Handshake { addr, why: refusal.to_string() }
        }
    }
}

/// Why a handshake came to nothing.
pub(super) fn refusal(verdict: &Verdict, error: &ConnectionError) -> Refusal {
    if let Some(refusal) = verdict.refusal() {
        return refusal.clone();
    }
    match error {
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(AlertDescription::NoApplicationProtocol) => Refusal::OtherProtocol,
            Some(AlertDescription::CertificateRequired) => Refusal::NoCertificate,
            _ => Refusal::NotTls(error.to_string()),
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => Refusal::of_alert(alert),
            None => Refusal::RefusedByPeer(close.to_string()),
        },
        ConnectionError::ApplicationClosed(close) => {
            Refusal::RefusedByPeer(format!("{:?}", decode_close(&close.reason)))
        }
        ConnectionError::TimedOut => Refusal::TooSlow,
        ConnectionError::VersionMismatch => Refusal::OtherProtocol,
        other => Refusal::NotTls(other.to_string()),
    }
}

/// The TLS alert in an error code of QUIC. Source: RFC 9001, section 4.8.
fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code);
    (0x100..0x200).contains(&code).then(|| AlertDescription::from(code as u8))
}
