//! Why a peer is not let in.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use rustls::{AlertDescription, CertificateError};

use crate::{
    Serial,
    codec::Disagreement,
    credentials::{ClusterName, Identity},
    net::LogBudget,
};

/// Why a handshake came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The certificate is signed by somebody else. What it says of a cluster is unproved.
    #[error("its certificate is not issued by the authority of this cluster{}", claim(claimed.as_ref()))]
    UnknownAuthority {
        /// Who the holder says it is.
        claimed: Option<Identity>,
    },
    /// The certificate is of another cluster that has the same authority.
    #[error("it belongs to cluster {theirs}, not to {ours}")]
    OtherCluster {
        /// Its cluster.
        theirs: ClusterName,
        /// This cluster.
        ours: ClusterName,
    },
    /// The authority has revoked the certificate.
    #[error("its certificate {serial} was revoked by the authority of the cluster")]
    Revoked {
        /// The number of the certificate.
        serial: Serial,
    },
    /// The certificate has expired.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet: do the clocks agree?")]
    NotYetValid,
    /// The certificate does not entitle its holder to what it does, such as a client that listens.
    #[error("its certificate is not one of a node: {0}")]
    NotANode(String),
    /// The certificate is in order but does not say who its holder is.
    #[error("its certificate has no identity: {0}")]
    NoIdentity(String),
    /// It showed no certificate.
    #[error("it showed no certificate")]
    NoCertificate,
    /// It does not speak this protocol.
    #[error("it does not speak the protocol quorate/1")]
    OtherProtocol,
    /// It does not speak TLS 1.3, or nothing like it.
    #[error("it does not speak TLS 1.3 as it should: {0}")]
    NotTls(String),
    /// The peer refused this side, for the reason in its alert.
    #[error("it refused this side: {0}")]
    RefusedByPeer(String),
    /// It took too long.
    #[error("it did not finish the handshake in time")]
    TooSlow,
    /// The hello after the handshake was no hello of this cluster.
    #[error("its hello does not fit: {0}")]
    BadHello(String),
    /// The hellos name no version, or no cluster, that both know.
    #[error(transparent)]
    Disagreement(Disagreement),
    /// It shows this node's own identity.
    #[error("it has the identity of this node: it is this node, or the number was given to two")]
    OwnIdentity,
    /// A further connection of a link that is not there, or not with this peer.
    #[error("it wants to join a link that is not there")]
    NoSuchLink,
    /// This transport is being closed.
    #[error("this node is stopping")]
    Closing,
    /// Only nodes are let in here.
    #[error("it is a client, and only nodes are let in here")]
    ClientsNotWelcome,
}

impl Refusal {
    /// Counts the peer at this address as refused, and logs why, within reason: anybody who
    /// reaches the port can be refused as often as he likes.
    pub(crate) fn report(&self, addr: SocketAddr) {
        static BUDGET: LogBudget = LogBudget::new(10);
        metrics::counter!("quorate_peers_refused_total", "reason" => self.label()).increment(1);
        if let Some(left_out) = BUDGET.take(Instant::now()) {
            tracing::warn!(%addr, reason = %self, left_out, "a peer was refused");
        }
    }

    /// The word for it in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::UnknownAuthority { .. } => "unknown_authority",
            Self::OtherCluster { .. } => "other_cluster",
            Self::Revoked { .. } => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NotANode(_) => "not_a_node",
            Self::NoIdentity(_) => "no_identity",
            Self::NoCertificate => "no_certificate",
            Self::OtherProtocol => "other_protocol",
            Self::NotTls(_) => "not_tls",
            Self::RefusedByPeer(_) => "refused_by_peer",
            Self::TooSlow => "too_slow",
            Self::BadHello(_) => "bad_hello",
            Self::Disagreement(Disagreement::Version { .. }) => "other_version",
            Self::Disagreement(Disagreement::Limits { .. }) => "other_limits",
            Self::Disagreement(_) => "disagreement",
            Self::OwnIdentity => "own_identity",
            Self::NoSuchLink => "no_such_link",
            Self::Closing => "closing",
            Self::ClientsNotWelcome => "clients_not_welcome",
        }
    }

    /// What an error of rustls means, as far as the certificate's verifier has not said it.
    pub(crate) fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate_error(error, None),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::NoApplicationProtocol => Self::OtherProtocol,
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            other => Self::NotTls(other.to_string()),
        }
    }

    /// What the alert of a peer means.
    pub(crate) fn of_alert(alert: AlertDescription) -> Self {
        let why = match alert {
            AlertDescription::UnknownCA => "it does not know the authority of this side's certificate",
            AlertDescription::CertificateExpired => "this side's certificate is not valid now",
            AlertDescription::CertificateRevoked => "this side's certificate was revoked",
            AlertDescription::CertificateRequired => "it wants a certificate",
            AlertDescription::NoApplicationProtocol => return Self::OtherProtocol,
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                "it does not accept this side's certificate"
            }
            other => return Self::RefusedByPeer(format!("{other:?}")),
        };
        Self::RefusedByPeer(why.to_owned())
    }

    pub(super) fn of_certificate_error(error: &CertificateError, claimed: Option<Identity>) -> Self {
        use CertificateError as E;
        match error {
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            // A different authority of the same name gives a bad signature instead.
            E::UnknownIssuer | E::BadSignature => Self::UnknownAuthority { claimed },
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                Self::NotANode("it is not made for accepting links".to_owned())
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                Self::NotANode("it does not name a node of this cluster".to_owned())
            }
            other => Self::NoIdentity(other.to_string()),
        }
    }

    /// As an error of rustls, for what only the verifier here objects to.
    pub(super) fn into_tls(self) -> rustls::Error {
        // The peer learns of this one by an alert of its own.
        if let Self::Revoked { .. } = self {
            return rustls::Error::InvalidCertificate(CertificateError::Revoked);
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(self))))
    }
}

fn claim(claimed: Option<&Identity>) -> String {
    claimed.map(|identity| format!(" (it claims to be {identity})")).unwrap_or_default()
}
