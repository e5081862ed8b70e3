//! What can be wrong with credentials.

use std::io;

use super::{ClusterName, Identity};

/// Why credentials could not be made, read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file is not there.
    #[error("{place} does not exist: make credentials first, or name another path")]
    Missing {
        /// The path.
        place: String,
    },
    /// The operating system does not let this user in.
    #[error("no permission for {place}: run as the user that owns it, or change its mode")]
    Permission {
        /// The path.
        place: String,
    },
    /// Reading or writing failed for another reason.
    #[error("{place} cannot be used")]
    Io {
        /// The path.
        place: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else is there already, and credentials are never overwritten.
    #[error("{place} exists already: remove it first if it is not needed any more")]
    Exists {
        /// The path.
        place: String,
    },
    /// The text does not hold what it should in PEM form.
    #[error("{place} holds no {wanted} in PEM form")]
    NotPem {
        /// The path, or which part.
        place: String,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A certificate or key that cannot be used here.
    #[error("{place} cannot be used: {why}")]
    Malformed {
        /// The path, or which part.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The private key belongs to another certificate.
    #[error("the key {key} does not belong to the certificate {certificate}")]
    KeyMismatch {
        /// Where the key came from.
        key: String,
        /// Where the certificate came from.
        certificate: String,
    },
    /// The authority did not issue the certificate.
    #[error("{certificate} was not issued by the authority {authority}: {why}")]
    NotIssued {
        /// Where the certificate came from.
        certificate: String,
        /// Where the authority's certificate came from.
        authority: String,
        /// What does not fit.
        why: String,
    },
    /// Certificate and authority belong to different clusters.
    #[error("{place} is for cluster {theirs}, its authority for cluster {ours}")]
    OtherCluster {
        /// Where the certificate came from.
        place: String,
        /// The cluster that the certificate names.
        theirs: ClusterName,
        /// The cluster of the authority.
        ours: ClusterName,
    },
    /// A text that is no name of a cluster.
    #[error("`{0}` does not name a cluster: use 1 to 63 letters a-z, digits and hyphens within")]
    NotAClusterName(String),
    /// A text that is no number of a certificate.
    #[error("`{0}` is no serial number of a certificate: use up to 40 hexadecimal digits")]
    NotASerial(String),
    /// The certificate was revoked by its authority: peers would refuse it.
    #[error("{place} was revoked by its authority: issue a new one")]
    Revoked {
        /// The certificate's path, or which part.
        place: String,
    },
    /// Credentials are replaced by those of the same holder only.
    #[error("these credentials are for {found}, not for {wanted}: start another node for them")]
    OtherHolder {
        /// Who holds the present ones.
        wanted: Box<Identity>,
        /// Who holds the new ones.
        found: Box<Identity>,
    },
    /// The certificate is not valid any more.
    #[error("the certificate expired {seconds} s ago: issue a new one")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// The certificate is not valid yet.
    #[error("the certificate becomes valid in {seconds} s: is this machine's clock right?")]
    NotYetValid {
        /// How long until then.
        seconds: u64,
    },
    /// Making a key or a signature failed.
    #[error("the certificate could not be made: {0}")]
    Crypto(String),
}
