//! Certificates that count no more, although they have not expired.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use x509_parser::{parse_x509_certificate, parse_x509_crl};

use super::{CredentialError, files};

/// The number of a certificate, unique among those of one authority. Shown in hexadecimal digits, as
/// other tools show it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// The longest that X.509 allows.
    const BYTES_MAX: usize = 20;

    /// Without the zeros in front, which carry no meaning and are written by some.
    fn new(big_endian: &[u8]) -> Self {
        let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
        Self(big_endian[zeros..].to_vec())
    }

    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        Ok(Self::new(parsed.raw_serial()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Serial {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || CredentialError::NotASerial(text.chars().take(80).collect());
        let digits: String = text.chars().filter(|letter| *letter != ':').collect();
        if digits.is_empty()
            || digits.len() > 2 * Self::BYTES_MAX
            || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        {
            return Err(wrong());
        }
        let even = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
        let bytes = even.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            u8::from_str_radix(pair, 16).map_err(|_| wrong())
        });
        bytes.collect::<Result<Vec<_>, _>>().map(|bytes| Self::new(&bytes))
    }
}

/// Which certificates of an authority count no more, signed by the authority: an X.509 certificate
/// revocation list, which may lie anywhere and be carried by anybody.
///
/// [`ClusterCa::revoke`](super::ClusterCa::revoke) makes one;
/// [`Credentials::with_revoked`](super::Credentials::with_revoked) checks that it is from the own
/// authority. The list that is there by default names nobody.
#[derive(Clone, Default)]
pub struct RevocationList {
    pem: String,
    der: Option<CertificateRevocationListDer<'static>>,
    number: u64,
    revoked: BTreeMap<Serial, SystemTime>,
}

impl RevocationList {
    /// Reads a list from a file in PEM form.
    ///
    /// # Errors
    /// [`CredentialError`] with the path.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CredentialError> {
        let path = path.as_ref();
        Self::parse(files::read(path)?, &path.display().to_string())
    }

    /// Takes a list from PEM text.
    ///
    /// # Errors
    /// [`CredentialError`] if it is none.
    pub fn from_pem(pem: &str) -> Result<Self, CredentialError> {
        Self::parse(pem.to_owned(), "the revocation list")
    }

    /// Writes the list, in place of an older one. Who reads it meanwhile finds the one or the other.
    ///
    /// # Errors
    /// [`CredentialError`] with the path; the older one is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CredentialError> {
        files::replace(path.as_ref(), &self.pem)
    }

    /// The list in PEM form.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its number: each list of an authority has a higher one than the list before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether a certificate counts no more.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.revoked.contains_key(serial)
    }

    /// The certificates on it, and since when they are.
    pub fn iter(&self) -> impl Iterator<Item = (&Serial, SystemTime)> {
        self.revoked.iter().map(|(serial, since)| (serial, *since))
    }

    /// As rustls wants it, unless it is the one that names nobody by default.
    pub(super) fn der(&self) -> Option<&CertificateRevocationListDer<'static>> {
        self.der.as_ref()
    }

    fn parse(pem: String, place: &str) -> Result<Self, CredentialError> {
        let place = || place.to_owned();
        let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| CredentialError::NotPem { place: place(), wanted: "revocation list" })?;
        let malformed = |why: String| CredentialError::Malformed { place: place(), why };
        let (_, list) = parse_x509_crl(&der).map_err(|error| malformed(error.to_string()))?;
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
        let number = number.ok_or_else(|| malformed("it has no number that makes sense".to_owned()))?;
        let mut revoked = BTreeMap::new();
        for entry in list.iter_revoked_certificates() {
            let seconds = u64::try_from(entry.revocation_date.timestamp()).unwrap_or_default();
            let since = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            revoked.insert(Serial::new(entry.raw_serial()), since);
        }
        Ok(Self { der: Some(der.clone()), pem, number, revoked })
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("number", &self.number)
            .field("certificates", &self.revoked.len())
            .finish_non_exhaustive()
    }
}
