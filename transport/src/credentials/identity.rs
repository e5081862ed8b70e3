//! What a certificate says of its holder, and how it is written there.
//!
//! The identity is a URI among the certificate's subject alternative names, such as
//! `quorate://prod/node/7`. An authority carries `quorate://prod/authority`.

use std::{fmt, str::FromStr};

use quorate_membership::NodeId;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::CredentialError;
use crate::Role;

const SCHEME: &str = "quorate://";

/// Names a cluster: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end, so
/// that it can be a label of a domain name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let ends = text.starts_with('-') || text.ends_with('-');
        if !letters || ends || text.is_empty() || text.len() > 63 {
            return Err(CredentialError::NotAClusterName(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ClusterName {
    type Error = CredentialError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who the holder of a certificate is. Shown as `quorate://prod/node/7`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// What it may do.
    pub role: Role,
    /// Its number, unique among the holders of its role in the cluster.
    pub node: NodeId,
}

impl Identity {
    /// The domain name that stands in the certificates of all nodes of a cluster. It never has to
    /// resolve: TLS wants a name, and the number is compared after the handshake.
    pub(crate) fn server_name(cluster: &ClusterName) -> String {
        format!("{cluster}.quorate.internal")
    }

    fn role_word(role: Role) -> &'static str {
        match role {
            Role::Node => "node",
            Role::Client => "client",
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = Self::role_word(self.role);
        write!(f, "{SCHEME}{}/{role}/{}", self.cluster, self.node.get())
    }
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let bad = || format!("`{}` is not an identity", uri.chars().take(120).collect::<String>());
        let path = uri.strip_prefix(SCHEME).ok_or_else(bad)?;
        let (cluster, rest) = path.split_once('/').ok_or_else(bad)?;
        let (role, number) = rest.split_once('/').ok_or_else(bad)?;
        let role = [Role::Node, Role::Client]
            .into_iter()
            .find(|candidate| Self::role_word(*candidate) == role)
            .ok_or_else(bad)?;
        let node = NodeId::new(number.parse().map_err(|_| bad())?);
        let identity = Self { cluster: cluster.parse().map_err(|_| bad())?, role, node };
        // One identity has one spelling, so that comparing texts elsewhere is not a trap.
        if identity.to_string() == uri { Ok(identity) } else { Err(bad()) }
    }
}

/// The URI of an authority.
pub(super) fn authority_uri(cluster: &ClusterName) -> String {
    format!("{SCHEME}{cluster}/authority")
}

/// Reads the identity from a certificate whose signature somebody else checks.
pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Identity, String> {
    quorate_uri(certificate)?.parse()
}

/// Reads from an authority's certificate which cluster it is the authority of.
pub(super) fn cluster_of_authority(certificate: &CertificateDer<'_>) -> Result<ClusterName, String> {
    let uri = quorate_uri(certificate)?;
    let cluster: Option<ClusterName> = uri
        .strip_prefix(SCHEME)
        .and_then(|rest| rest.strip_suffix("/authority"))
        .and_then(|cluster| cluster.parse().ok());
    cluster.ok_or_else(|| format!("`{uri}` does not name the authority of a cluster"))
}

/// The only URI of ours in a certificate. Two of them would leave open which one counts.
fn quorate_uri(certificate: &CertificateDer<'_>) -> Result<String, String> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| error.to_string())?
        .ok_or("it names no subject alternatives, so it has no identity here")?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some((*uri).to_owned()),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri),
        (None, _) => Err("it names no node, client or authority of a cluster".into()),
        (Some(_), Some(_)) => Err("it names more than one identity".into()),
    }
}
