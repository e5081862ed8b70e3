//! The authority that makes the certificates of a cluster.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use quorate_membership::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd, string::Ia5String,
};
use rustls::pki_types::CertificateDer;

use super::{
    ClusterName, CredentialError, Credentials, Identity, RevocationList, Serial, Validity, files, identity,
};
use crate::{Role, tls};

/// Issues the certificates of one cluster. Whoever has its key decides who belongs to the cluster:
/// keep it away from the nodes.
///
/// Certificates are X.509 with keys on the curve P-256; those of nodes serve both ends of a
/// connection, those of clients only the dialling end.
///
/// ```
/// use quorate_membership::NodeId;
/// use quorate_transport::{ClusterCa, CredentialFiles, Credentials, Validity};
///
/// # let (safe, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// let ca = ClusterCa::create("prod", Validity::days(3650))?;
/// ca.save(safe.path())?;
/// let files = CredentialFiles::of_node(folder.path());
/// ca.issue_node(NodeId::new(7), Validity::days(365))?.save(&files)?;
///
/// let credentials = Credentials::load(&files)?;
/// credentials.check(std::time::SystemTime::now())?;
/// assert_eq!(credentials.identity().to_string(), "quorate://prod/node/7");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct ClusterCa {
    cluster: ClusterName,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
}

impl ClusterCa {
    /// Makes the authority of a new cluster.
    ///
    /// # Errors
    /// [`CredentialError::NotAClusterName`]; [`CredentialError::Crypto`] if no key could be made.
    pub fn create(cluster: &str, validity: Validity) -> Result<Self, CredentialError> {
        let cluster: ClusterName = cluster.parse()?;
        let key = KeyPair::generate().map_err(crypto)?;
        let mut params = params(&format!("quorate authority of {cluster}"), validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names.push(SanType::URI(ascii(&identity::authority_uri(&cluster))?));
        let certificate = params.self_signed(&key).map_err(crypto)?;
        let (certificate_pem, issuer) = (certificate.pem(), Issuer::new(params, key));
        let validity = Validity::of_certificate(certificate.der()).map_err(CredentialError::Crypto)?;
        Ok(Self { cluster, certificate_pem, issuer, validity })
    }

    /// Reads an authority from `ca.pem` and `ca.key` in a folder.
    ///
    /// # Errors
    /// [`CredentialError`] with the path at fault.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, CredentialError> {
        let (certificate_path, key_path) = Self::paths(folder.as_ref());
        let (certificate_place, key_place) =
            (certificate_path.display().to_string(), key_path.display().to_string());
        let certificate_pem = files::read(&certificate_path)?;
        let certificate = files::parse_certificates(&certificate_pem, &certificate_place)?.swap_remove(0);
        let key_pem = files::read_key(&key_path)?;
        files::parse_key(&key_pem, &key_place)?;
        let key = KeyPair::from_pem(&key_pem).map_err(|error| CredentialError::Malformed {
            place: key_place.clone(),
            why: error.to_string(),
        })?;
        if !is_key_of(&key, &certificate) {
            return Err(CredentialError::KeyMismatch { key: key_place, certificate: certificate_place });
        }
        let malformed = |why| CredentialError::Malformed { place: certificate_place.clone(), why };
        let cluster = identity::cluster_of_authority(&certificate).map_err(malformed)?;
        let validity = Validity::of_certificate(&certificate).map_err(malformed)?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|error| malformed(error.to_string()))?;
        Ok(Self { cluster, certificate_pem, issuer, validity })
    }

    /// Writes `ca.pem` and `ca.key` into a folder; the key is readable by its owner only.
    ///
    /// # Errors
    /// [`CredentialError::Exists`] rather than overwriting another authority.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), CredentialError> {
        let (certificate, key) = Self::paths(folder.as_ref());
        files::write_new(&[
            (certificate.as_path(), &self.certificate_pem, files::Secrecy::Public),
            (key.as_path(), &self.issuer.key().serialize_pem(), files::Secrecy::Private),
        ])
    }

    /// The cluster whose authority it is.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The authority's certificate, which every node and client needs to know its peers by.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// From when until when its certificates can be valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Makes credentials for a node. They are never valid for longer than the authority.
    ///
    /// Two certificates for one number are both valid: it is up to whoever calls this to give a
    /// number to one node only.
    ///
    /// # Errors
    /// [`CredentialError::Crypto`].
    pub fn issue_node(&self, node: NodeId, validity: Validity) -> Result<Credentials, CredentialError> {
        let identity = Identity { cluster: self.cluster.clone(), role: Role::Node, node };
        self.issue(&identity, &format!("{node} of {}", self.cluster), validity)
    }

    /// Makes credentials for a client; the name is for people who read the certificate.
    ///
    /// # Errors
    /// [`CredentialError::Crypto`].
    pub fn issue_client(
        &self,
        client: NodeId,
        name: &str,
        validity: Validity,
    ) -> Result<Credentials, CredentialError> {
        let identity = Identity { cluster: self.cluster.clone(), role: Role::Client, node: client };
        self.issue(&identity, name, validity)
    }

    fn issue(
        &self,
        identity: &Identity,
        name: &str,
        validity: Validity,
    ) -> Result<Credentials, CredentialError> {
        let key = KeyPair::generate().map_err(crypto)?;
        let mut params = params(name, validity.within(self.validity))?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(SanType::URI(ascii(&identity.to_string())?));
        if identity.role == Role::Node {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            let name = Identity::server_name(&identity.cluster);
            params.subject_alt_names.push(SanType::DnsName(ascii(&name)?));
        }
        let certificate = params.signed_by(&key, &self.issuer).map_err(crypto)?;
        Credentials::from_pem(&self.certificate_pem, &certificate.pem(), &key.serialize_pem())
    }

    /// Reads a certificate that this authority has issued, whether or not it is valid today: who
    /// holds it, and its number.
    ///
    /// # Errors
    /// [`CredentialError`] with the path; [`CredentialError::NotIssued`] if another authority has
    /// issued it.
    pub fn read_issued(&self, path: impl AsRef<Path>) -> Result<(Identity, Serial), CredentialError> {
        let place = path.as_ref().display().to_string();
        let chain = files::parse_certificates(&files::read(path.as_ref())?, &place)?;
        let own = files::parse_certificates(&self.certificate_pem, "the authority")?.swap_remove(0);
        let malformed = |why| CredentialError::Malformed { place: place.clone(), why };
        let validity = Validity::of_certificate(&chain[0]).map_err(malformed)?;
        tls::verify_issued(&own, &chain, None, validity.from).map_err(|error| {
            CredentialError::NotIssued {
                certificate: place.clone(),
                authority: format!("of cluster {}", self.cluster),
                why: error.to_string(),
            }
        })?;
        let identity = identity::of_certificate(&chain[0]).map_err(malformed)?;
        let serial = Serial::of_certificate(&chain[0]).map_err(malformed)?;
        Ok((identity, serial))
    }

    /// Makes a list of certificates that count no more: those of the list before, if there is one,
    /// and these, from now on. It has no effect before the nodes have it.
    ///
    /// # Errors
    /// [`CredentialError::Crypto`].
    pub fn revoke<'a>(
        &self,
        before: &RevocationList,
        serials: impl IntoIterator<Item = &'a Serial>,
    ) -> Result<RevocationList, CredentialError> {
        let (epoch, now) = (date_time_ymd(1970, 1, 1), SystemTime::now());
        let mut revoked: BTreeMap<_, _> = serials.into_iter().map(|serial| (serial, now)).collect();
        revoked.extend(before.iter());
        let revoked_certs = revoked.into_iter().map(|(serial, since)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial.as_bytes()),
            revocation_time: epoch + since_epoch(since),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: epoch + since_epoch(now),
            // It holds until there is another one: an old list is better than none.
            next_update: epoch + since_epoch(self.validity.until),
            crl_number: SerialNumber::from(before.number() + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).map_err(crypto)?;
        RevocationList::from_pem(&list.pem().map_err(crypto)?)
    }

    fn paths(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
        (folder.join("ca.pem"), folder.join("ca.key"))
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa")
            .field("cluster", &self.cluster)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, CredentialError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    // The epoch plus a duration, since there is no conversion from the system's time.
    let (epoch, latest) = (date_time_ymd(1970, 1, 1), date_time_ymd(9999, 12, 31));
    if validity.from > validity.until || since_epoch(validity.until) > (latest - epoch).unsigned_abs() {
        let why = "its validity must begin before it ends, and end before the year 9999".to_owned();
        return Err(CredentialError::Crypto(why));
    }
    params.not_before = epoch + since_epoch(validity.from);
    params.not_after = epoch + since_epoch(validity.until);
    Ok(params)
}

fn since_epoch(time: SystemTime) -> Duration {
    let elapsed = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(elapsed.as_secs())
}

fn is_key_of(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| *parsed.public_key().raw == *key.subject_public_key_info())
}

fn ascii(text: &str) -> Result<Ia5String, CredentialError> {
    Ia5String::try_from(text).map_err(crypto)
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn crypto(error: rcgen::Error) -> CredentialError {
    CredentialError::Crypto(error.to_string())
}
