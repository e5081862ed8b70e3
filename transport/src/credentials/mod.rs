//! Who a node or a client is, and the key that proves it.
//!
//! A cluster has one [`ClusterCa`]. It issues a certificate to every node and client; the
//! certificate binds the holder's key to an [`Identity`]: the cluster, the role and a number.
//! Nothing else tells who a peer is, neither its address nor what it says of itself.

mod authority;
mod error;
mod files;
mod identity;
mod revocation;
mod validity;

use std::{fmt, path::Path, sync::Arc, time::SystemTime};

pub use authority::ClusterCa;
pub use error::CredentialError;
pub use files::CredentialFiles;
pub(crate) use identity::of_certificate as identity_of;
pub use identity::{ClusterName, Identity};
pub use revocation::{RevocationList, Serial};
use rustls::{
    CertificateError,
    pki_types::CertificateDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
pub use validity::Validity;

use crate::tls;

/// A certificate with its private key, the authority whose peers are believed, and its list of those
/// that are believed no more.
///
/// Invariants, established by every way to make one: the key belongs to the certificate, the
/// authority has issued it and the list, the list does not name it, and both name the same cluster. Whether it is valid today is another
/// question: [`Self::check`]. The private key never shows in `Debug` output.
#[derive(Clone)]
pub struct Credentials {
    text: Arc<PemTexts>,
    ca: CertificateDer<'static>,
    resolver: Arc<SingleCertAndKey>,
    identity: Identity,
    serial: Serial,
    validity: Validity,
    revoked: Arc<RevocationList>,
}

impl Credentials {
    /// Reads credentials from files, with the list of revoked certificates if there is one. A key
    /// that others may read is accepted with a warning in the log.
    ///
    /// # Errors
    /// [`CredentialError`] with the path at fault.
    pub fn load(paths: &CredentialFiles) -> Result<Self, CredentialError> {
        let text = PemTexts {
            ca: files::read(&paths.ca)?,
            chain: files::read(&paths.chain)?,
            key: files::read_key(&paths.key)?,
        };
        let credentials = Self::assemble(text, &Places::of(paths))?;
        match RevocationList::load(&paths.revoked) {
            Ok(list) => credentials.with_list(list, &paths.revoked.display().to_string()),
            Err(CredentialError::Missing { .. }) => Ok(credentials),
            Err(error) => Err(error),
        }
    }

    /// Takes credentials from PEM text: the authority's certificate, the own certificate with
    /// what links it to the authority, if anything, and the private key.
    ///
    /// # Errors
    /// [`CredentialError`] which names the part at fault instead of a path.
    pub fn from_pem(ca: &str, chain: &str, key: &str) -> Result<Self, CredentialError> {
        let text = PemTexts { ca: ca.into(), chain: chain.into(), key: key.into() };
        Self::assemble(text, &Places::in_memory())
    }

    /// The same credentials with another list of certificates that count no more.
    ///
    /// # Errors
    /// [`CredentialError::Revoked`] if the list names the own certificate;
    /// [`CredentialError::NotIssued`] if another authority has signed it.
    pub fn with_revoked(self, list: RevocationList) -> Result<Self, CredentialError> {
        self.with_list(list, "the revocation list")
    }

    /// Writes the files of certificates and key; the key is readable by its owner only. A file that is there already
    /// with the same content is left alone.
    ///
    /// # Errors
    /// [`CredentialError::Exists`] rather than overwriting anything; then nothing was written.
    pub fn save(&self, paths: &CredentialFiles) -> Result<(), CredentialError> {
        files::write_new(&[
            (paths.ca.as_path(), &self.text.ca, files::Secrecy::Public),
            (paths.chain.as_path(), &self.text.chain, files::Secrecy::Public),
            (paths.key.as_path(), &self.text.key, files::Secrecy::Private),
        ])
    }

    /// Who these credentials make their holder.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The number of the certificate.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The certificates that count no more.
    pub fn revoked(&self) -> &RevocationList {
        &self.revoked
    }

    /// From when until when the certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Checks that the certificate is valid at this time: otherwise every peer would refuse it.
    ///
    /// # Errors
    /// [`CredentialError::NotYetValid`] or [`CredentialError::Expired`].
    pub fn check(&self, now: SystemTime) -> Result<(), CredentialError> {
        if now < self.validity.from {
            return Err(CredentialError::NotYetValid { seconds: seconds_between(now, self.validity.from) });
        }
        if now > self.validity.until {
            return Err(CredentialError::Expired { seconds: seconds_between(self.validity.until, now) });
        }
        Ok(())
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The own certificate.
    #[cfg(test)]
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        self.chain().swap_remove(0)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        files::parse_certificates(&self.text.chain, "").expect("checked when it was made")
    }

    /// What rustls asks for the own certificate and for signatures.
    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::clone(&self.resolver)
    }

    fn assemble(text: PemTexts, places: &Places) -> Result<Self, CredentialError> {
        let ca = files::parse_certificates(&text.ca, &places.ca)?.swap_remove(0);
        let chain = files::parse_certificates(&text.chain, &places.chain)?;
        let key = files::parse_key(&text.key, &places.key)?;
        let cluster = identity::cluster_of_authority(&ca).map_err(malformed(&places.ca))?;
        let identity = identity::of_certificate(&chain[0]).map_err(malformed(&places.chain))?;
        let serial = Serial::of_certificate(&chain[0]).map_err(malformed(&places.chain))?;
        let validity = Validity::of_certificate(&chain[0]).map_err(malformed(&places.chain))?;
        if identity.cluster != cluster {
            let (place, theirs, ours) = (places.chain.clone(), identity.cluster, cluster);
            return Err(CredentialError::OtherCluster { place, theirs, ours });
        }
        tls::verify_issued(&ca, &chain, None, validity.from).map_err(|error| CredentialError::NotIssued {
            certificate: places.chain.clone(),
            authority: places.ca.clone(),
            why: error.to_string(),
        })?;
        let certified =
            CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => CredentialError::KeyMismatch {
                    key: places.key.clone(),
                    certificate: places.chain.clone(),
                },
                other => malformed(&places.key)(other.to_string()),
            })?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let (text, revoked) = (Arc::new(text), Arc::default());
        Ok(Self { text, ca, resolver, identity, serial, validity, revoked })
    }

    /// The list was signed by the authority if a check of the own certificate by it gives a result.
    fn with_list(self, list: RevocationList, place: &str) -> Result<Self, CredentialError> {
        if let Some(der) = list.der() {
            let checked = tls::verify_issued(&self.ca, &self.chain(), Some(der), self.validity.from);
            checked.map_err(|error| match error {
                rustls::Error::InvalidCertificate(CertificateError::Revoked) => {
                    CredentialError::Revoked { place: format!("the certificate of {}", self.identity) }
                }
                other => CredentialError::NotIssued {
                    certificate: place.to_owned(),
                    authority: format!("of cluster {}", self.identity.cluster),
                    why: other.to_string(),
                },
            })?;
        }
        Ok(Self { revoked: Arc::new(list), ..self })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// The three parts as they are written to files.
struct PemTexts {
    ca: String,
    chain: String,
    key: String,
}

/// Where the parts came from, for messages.
struct Places {
    ca: String,
    chain: String,
    key: String,
}

impl Places {
    fn of(paths: &CredentialFiles) -> Self {
        let show = |path: &Path| path.display().to_string();
        Self { ca: show(&paths.ca), chain: show(&paths.chain), key: show(&paths.key) }
    }

    fn in_memory() -> Self {
        Self {
            ca: "the authority's certificate".into(),
            chain: "the certificate".into(),
            key: "the private key".into(),
        }
    }
}

fn malformed(place: &str) -> impl Fn(String) -> CredentialError {
    let place = place.to_owned();
    move |why| CredentialError::Malformed { place: place.clone(), why }
}

fn seconds_between(earlier: SystemTime, later: SystemTime) -> u64 {
    later.duration_since(earlier).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
