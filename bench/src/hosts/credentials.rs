//! What the nodes on hosts show each other.

use std::{fs, path::Path};

use quorate_membership::NodeId;
use quorate_transport::{ClusterCa, CredentialFiles, Validity};

use crate::BenchError;

/// For longer nothing is measured.
const VALID_DAYS: u32 = 1;

/// Issues credentials for the nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Issuer(ClusterCa);

impl Issuer {
    /// A new authority for a cluster of this name.
    pub(crate) fn new(cluster: &str) -> Result<Self, BenchError> {
        ClusterCa::create(cluster, Validity::days(VALID_DAYS)).map(Self).map_err(BenchError::ours)
    }

    /// Makes a folder with the credentials of a node.
    pub(crate) fn issue(&self, node: u64, folder: &Path) -> Result<(), BenchError> {
        fs::create_dir(folder)?;
        let issued = self.0.issue_node(NodeId::new(node), Validity::days(VALID_DAYS));
        issued.map_err(BenchError::ours)?.save(&CredentialFiles::of_node(folder)).map_err(BenchError::ours)
    }
}

#[cfg(test)]
mod tests {
    use quorate_transport::Credentials;

    use super::*;

    #[test]
    fn a_host_finds_the_credentials_of_its_node_in_its_folder() {
        let place = tempfile::tempdir().expect("a folder");
        let issuer = Issuer::new("bench").expect("an authority");
        let folder = place.path().join("n7");
        issuer.issue(7, &folder).expect("a new folder");
        Credentials::load(&CredentialFiles::of_node(&folder)).expect("what was issued");
        assert!(matches!(issuer.issue(7, &folder), Err(BenchError::Io(_))), "nothing is overwritten");
    }
}
