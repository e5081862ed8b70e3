//! The verifiers of rustls, and then the identity.

use std::sync::{Arc, OnceLock};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::Refusal;
use crate::{
    Credentials, Role, Serial,
    credentials::{Identity, identity_of},
};

/// Who holds a certificate, and which.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holder {
    pub(crate) identity: Identity,
    pub(crate) serial: Serial,
}

impl Holder {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        Ok(Self { identity: identity_of(certificate)?, serial: Serial::of_certificate(certificate)? })
    }
}

/// What one handshake has found out about the peer's certificate.
///
/// The holder counts only when the handshake is over: only then has the peer proved that it has
/// the key.
#[derive(Debug, Default)]
pub(crate) struct Verdict(OnceLock<Result<Holder, Refusal>>);

impl Verdict {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Why the certificate was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.0.get()?.as_ref().err()
    }

    /// Who the peer is. For use after the handshake.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.0.get()?.as_ref().ok()
    }

    /// Adds our judgement to that of rustls, and notes both.
    pub(super) fn judge<T>(
        &self,
        checked: Result<T, Error>,
        certificate: &CertificateDer<'_>,
        ours: &Credentials,
        must_be_node: bool,
    ) -> Result<T, Error> {
        let cluster = &ours.identity().cluster;
        let (found, result) = match (checked, Holder::of(certificate)) {
            (Err(error), holder) => {
                let claimed = holder.ok().map(|holder| holder.identity);
                (Err(Self::name_refusal(&error, claimed)), Err(error))
            }
            (Ok(_), Err(why)) => refuse(Refusal::NoIdentity(why)),
            (Ok(_), Ok(Holder { identity, .. })) if identity.cluster != *cluster => {
                refuse(Refusal::OtherCluster { theirs: identity.cluster, ours: cluster.clone() })
            }
            (Ok(_), Ok(holder)) if ours.revoked().contains(&holder.serial) => {
                refuse(Refusal::Revoked { serial: holder.serial })
            }
            (Ok(_), Ok(Holder { identity, .. })) if must_be_node && identity.role != Role::Node => {
                refuse(Refusal::NotANode(format!("it is {identity}")))
            }
            (Ok(checked), Ok(holder)) => (Ok(holder), Ok(checked)),
        };
        // A handshake shows one certificate; were there a second, the first finding would stand,
        // and a refusal ends the handshake either way.
        let _ = self.0.set(found);
        result
    }

    fn name_refusal(error: &Error, claimed: Option<Identity>) -> Refusal {
        match error {
            Error::InvalidCertificate(error) => Refusal::of_certificate_error(error, claimed),
            other => Refusal::of_tls(other),
        }
    }
}

fn refuse<T>(refusal: Refusal) -> (Result<Holder, Refusal>, Result<T, Error>) {
    (Err(refusal.clone()), Err(refusal.into_tls()))
}

/// What is checked beyond what rustls does, and where the result goes.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) credentials: Credentials,
    pub(super) verdict: Arc<Verdict>,
}

impl Rules {
    fn judge<T>(
        &self,
        checked: Result<T, Error>,
        certificate: &CertificateDer<'_>,
        must_be_node: bool,
    ) -> Result<T, Error> {
        self.verdict.judge(checked, certificate, &self.credentials, must_be_node)
    }
}

/// The parts of a verifier that are left to rustls as they are.
macro_rules! signatures_by_rustls {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}

/// Checks the nodes that this side dials.
#[derive(Debug)]
pub(super) struct CheckedServers {
    inner: Arc<dyn ServerCertVerifier>,
    rules: Rules,
}

impl CheckedServers {
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, rules: Rules) -> Self {
        Self { inner, rules }
    }
}

impl ServerCertVerifier for CheckedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.rules.judge(checked, end_entity, true)
    }

    signatures_by_rustls!();
}

/// Checks the nodes and clients that dial this side.
#[derive(Debug)]
pub(super) struct CheckedClients {
    inner: Arc<dyn ClientCertVerifier>,
    rules: Rules,
}

impl CheckedClients {
    pub(super) fn new(inner: Arc<dyn ClientCertVerifier>, rules: Rules) -> Self {
        Self { inner, rules }
    }
}

impl ClientCertVerifier for CheckedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let checked = self.inner.verify_client_cert(end_entity, intermediates, now);
        self.rules.judge(checked, end_entity, false)
    }

    signatures_by_rustls!();
}
