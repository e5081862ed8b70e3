//! TLS as a node would use it, but in the hands of somebody who then says what he likes.

use std::sync::Arc;

use quorate_transport::{ClusterCa, CredentialFiles};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Believes the authority, and shows this certificate, or none.
pub(crate) fn tls(
    ca: &ClusterCa,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap();
    roots.add(ca).expect("an authority's certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"quorate/1".to_vec()];
    config
}

/// Shows the certificate of a node of the cluster.
pub(crate) fn tls_of_node(ca: &ClusterCa, number: u64) -> ClientConfig {
    let folder = tempfile::tempdir().unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    super::node(ca, number).save(&paths).unwrap();
    let chain = CertificateDer::pem_file_iter(&paths.chain).unwrap().collect::<Result<_, _>>().unwrap();
    tls(ca, Some((chain, PrivateKeyDer::from_pem_file(&paths.key).unwrap())))
}
