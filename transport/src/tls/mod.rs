//! TLS 1.3 between holders of certificates of one cluster.
//!
//! Both sides show a certificate, both check the other's against the authority of the cluster with
//! the verifiers of rustls, and both read the identity from it. Sessions are never resumed and
//! nothing is sent before the handshake is over: a resumed session would outlive its certificate.

mod present;
mod refusal;
mod verifier;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) use present::Present;
pub use refusal::Refusal;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use verifier::{CheckedClients, CheckedServers, Rules};
pub(crate) use verifier::{Holder, Verdict};

use crate::{CredentialError, Credentials, credentials::Identity};

/// Names the protocol during the handshake. Another first version needs another name.
pub(crate) const ALPN: &[u8] = b"quorate/1";

/// Makes the TLS configuration of single connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    credentials: Credentials,
    provider: Arc<CryptoProvider>,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
    server_name: ServerName<'static>,
}

impl Tls {
    pub(crate) fn new(credentials: Credentials) -> Result<Self, CredentialError> {
        let provider = provider();
        let unusable =
            |why: String| CredentialError::Malformed { place: "the authority's certificate".to_owned(), why };
        let roots = roots(credentials.ca()).map_err(unusable)?;
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let clients = client_verifier(roots, &provider).map_err(unusable)?;
        let name = Identity::server_name(&credentials.identity().cluster);
        let server_name = ServerName::try_from(name).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { credentials, provider, servers, clients, server_name })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn rules(&self, verdict: &Arc<Verdict>) -> Rules {
        Rules { credentials: self.credentials.clone(), verdict: Arc::clone(verdict) }
    }

    /// The name that every node of the cluster answers to.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// For one connection that is dialled. The verdict says who was met, or why it was refused.
    pub(crate) fn dialling(&self, verdict: &Arc<Verdict>) -> Result<ClientConfig, rustls::Error> {
        let verifier = CheckedServers::new(
            Arc::clone(&self.servers) as Arc<dyn ServerCertVerifier>,
            self.rules(verdict),
        );
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // The verifier adds a check to those of rustls and takes none away.
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.credentials.resolver());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        // All nodes answer to one name, and the cluster's name is nobody else's business.
        config.enable_sni = false;
        Ok(config)
    }

    /// For one connection that is accepted.
    pub(crate) fn accepting(&self, verdict: &Arc<Verdict>) -> Result<ServerConfig, rustls::Error> {
        let verifier = CheckedClients::new(Arc::clone(&self.clients), self.rules(verdict));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.credentials.resolver());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// The cryptography: aws-lc-rs, with AES-128-GCM preferred, which carries the most (`quorate bench
/// crypto` compares) and is as far out of reach as anything that counts.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

/// Checks that an authority has issued a certificate, as of a time at which it was valid, and if
/// there is one, the list too, which then must not name the certificate.
pub(crate) fn verify_issued(
    ca: &CertificateDer<'static>,
    chain: &[CertificateDer<'static>],
    list: Option<&CertificateRevocationListDer<'static>>,
    at: SystemTime,
) -> Result<(), rustls::Error> {
    let roots = roots(ca).map_err(rustls::Error::General)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .with_crls(list.cloned())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::since_unix_epoch(since)).map(drop)
}

fn roots(ca: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(|error| error.to_string())?;
    Ok(Arc::new(roots))
}

fn client_verifier(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
