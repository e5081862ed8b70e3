//! The authority of a cluster in its folder, with what it has issued and what it has revoked.

mod index;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use index::Index;
pub(crate) use index::Issued;

use quorate::{
    membership::NodeId,
    transport::{
        ClusterCa, ClusterName, CredentialError, CredentialFiles, Credentials, RevocationList, Role, Serial,
        Validity,
    },
};

use crate::Failure;

/// The certificates that count no more; nodes look for a file of this name beside their own.
const LIST: &str = "ca.crl";

/// An authority that keeps an index of what it issues.
#[derive(Debug)]
pub(crate) struct Authority {
    ca: ClusterCa,
    folder: PathBuf,
}

/// Why the authority's files do not let it do its work. Nothing was issued or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuthorityError {
    /// Nobody knows the number of such a certificate.
    #[error("no certificate of {whom} is noted in {}: name it with --certificate or --serial", index.display())]
    Unknown {
        /// Whose it should be.
        whom: String,
        /// The index.
        index: PathBuf,
    },
    /// A line of the index is none.
    #[error(
        "{}:{line} notes no certificate ({why}): remove the line; what it noted can be revoked with --certificate \
         or --serial",
        index.display()
    )]
    Malformed {
        /// The index.
        index: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use {}: is this user allowed to?", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
}

/// Which certificates to revoke.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// All of a node.
    Node(NodeId),
    /// All of clients with this name.
    Client(String),
    /// The one with this number.
    Serial(Serial),
    /// The one in this file.
    File(PathBuf),
}

/// What was revoked, and who has been told.
#[derive(Debug)]
pub(crate) struct Revoked {
    /// The certificates, with their holders where those are known.
    pub(crate) certificates: Vec<(Serial, Option<String>)>,
    /// The file with the list.
    pub(crate) path: PathBuf,
    /// How many certificates are on it.
    pub(crate) listed: usize,
    /// Folders of credentials below the authority's that have the list as well.
    pub(crate) folders: Vec<PathBuf>,
}

/// A certificate of an authority.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// Its number.
    pub(crate) serial: Serial,
    /// What is noted of it; one that is not noted is known because it was revoked.
    pub(crate) issued: Option<Issued>,
    /// Since when it is revoked.
    pub(crate) revoked: Option<SystemTime>,
}

impl Authority {
    /// Makes the authority of a new cluster.
    pub(crate) fn create(cluster: &str, validity: Validity, folder: &Path) -> Result<Self, Failure> {
        let ca = ClusterCa::create(cluster, validity)?;
        ca.save(folder)?;
        Ok(Self { ca, folder: folder.to_owned() })
    }

    /// Reads an authority from its folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { ca: ClusterCa::load(folder)?, folder: folder.to_owned() })
    }

    /// Whose authority it is.
    pub(crate) fn cluster(&self) -> &ClusterName {
        self.ca.cluster()
    }

    /// How long it is valid.
    pub(crate) fn validity(&self) -> Validity {
        self.ca.validity()
    }

    /// Makes and notes the credentials of a node.
    pub(crate) fn issue_node(&self, node: NodeId, validity: Validity) -> Result<Credentials, Failure> {
        self.note(self.ca.issue_node(node, validity)?, &node.to_string())
    }

    /// Makes and notes the credentials of a client. Its number is drawn, since people know it by name.
    pub(crate) fn issue_client(&self, name: &str, validity: Validity) -> Result<Credentials, Failure> {
        let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), name);
        self.note(self.ca.issue_client(NodeId::new(drawn), name, validity)?, name)
    }

    /// Revokes certificates: puts them on the list, and the list into the folders of credentials
    /// below the authority's. What was revoked before stays so.
    pub(crate) fn revoke(&self, which: &Which) -> Result<Revoked, Failure> {
        // Held until the list is written, so that no other revocation is lost.
        let mut index = Index::open(&self.folder)?;
        let certificates = match which {
            Which::Node(node) => self.noted(&mut index, &node.to_string(), |issued| {
                issued.identity.role == Role::Node && issued.identity.node == *node
            })?,
            Which::Client(name) => self.noted(&mut index, &format!("client `{name}`"), |issued| {
                issued.identity.role == Role::Client && issued.name == *name
            })?,
            Which::Serial(serial) => vec![(serial.clone(), None)],
            Which::File(path) => {
                let (identity, serial) = self.ca.read_issued(path)?;
                vec![(serial, Some(identity.to_string()))]
            }
        };
        let path = self.folder.join(LIST);
        let list = self.ca.revoke(&self.list()?, certificates.iter().map(|(serial, _)| serial))?;
        list.save(&path)?;
        let folders = self.folders()?;
        for folder in &folders {
            list.save(folder.join(LIST))?;
        }
        Ok(Revoked { certificates, path, listed: list.iter().count(), folders })
    }

    /// All certificates that are noted, in the order in which they were issued, and then those that were
    /// revoked without being noted.
    pub(crate) fn certificates(&self) -> Result<Vec<Certificate>, Failure> {
        let list = self.list()?;
        let mut revoked: BTreeMap<&Serial, SystemTime> = list.iter().collect();
        let mut certificates = Vec::new();
        for issued in Index::look(&self.folder)? {
            let (serial, revoked) = (issued.serial.clone(), revoked.remove(&issued.serial));
            certificates.push(Certificate { serial, issued: Some(issued), revoked });
        }
        let unknown = revoked.into_iter();
        certificates.extend(unknown.map(|(serial, since)| Certificate {
            serial: serial.clone(),
            issued: None,
            revoked: Some(since),
        }));
        Ok(certificates)
    }

    /// The certificates that count no more.
    fn list(&self) -> Result<RevocationList, Failure> {
        match RevocationList::load(self.folder.join(LIST)) {
            Err(CredentialError::Missing { .. }) => Ok(RevocationList::default()),
            loaded => Ok(loaded?),
        }
    }

    /// Notes what was issued before anybody has it: one line too many does no harm, a certificate
    /// that is not noted could not be revoked by its holder's name.
    fn note(&self, credentials: Credentials, name: &str) -> Result<Credentials, Failure> {
        Index::open(&self.folder)?.note(&Issued::new(&credentials, name))?;
        Ok(credentials.with_revoked(self.list()?)?)
    }

    /// The certificates in the index that are meant, at least one.
    fn noted(
        &self,
        index: &mut Index,
        whom: &str,
        meant: impl Fn(&Issued) -> bool,
    ) -> Result<Vec<(Serial, Option<String>)>, AuthorityError> {
        let found = index.read()?.into_iter().filter(meant);
        let found: Vec<_> = found.map(|it| (it.serial, Some(it.identity.to_string()))).collect();
        if found.is_empty() {
            return Err(AuthorityError::Unknown { whom: whom.to_owned(), index: Index::path(&self.folder) });
        }
        Ok(found)
    }

    /// The folders below the authority's with credentials that it has issued.
    fn folders(&self) -> Result<Vec<PathBuf>, AuthorityError> {
        let unusable = |error| AuthorityError::Unusable(self.folder.clone(), error);
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unusable)? {
            let folder = entry.map_err(unusable)?.path();
            let own = |ca: String| ca == self.ca.certificate_pem();
            if fs::read_to_string(folder.join("ca.pem")).is_ok_and(own) {
                folders.push(folder);
            }
        }
        folders.sort();
        Ok(folders)
    }
}

/// Writes credentials, and beside them the list of certificates that count no more.
pub(crate) fn hand_out(credentials: &Credentials, files: &CredentialFiles) -> Result<(), CredentialError> {
    credentials.save(files)?;
    let list = credentials.revoked();
    if list.number() > 0 { list.save(&files.revoked) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> (tempfile::TempDir, Authority) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create("prod", Validity::days(10), folder.path()).unwrap();
        (folder, authority)
    }

    fn serials(revoked: &Revoked) -> Vec<&Serial> {
        revoked.certificates.iter().map(|(serial, _)| serial).collect()
    }

    #[test]
    fn all_certificates_of_a_holder_are_revoked_and_no_others() {
        let (_folder, authority) = authority();
        let node = |number| authority.issue_node(NodeId::new(number), Validity::days(1)).unwrap();
        let (first, again, other) = (node(7), node(7), node(8));
        let client = authority.issue_client("n7", Validity::days(1)).unwrap();
        let revoked = authority.revoke(&Which::Node(NodeId::new(7))).unwrap();
        assert_eq!(serials(&revoked), [first.serial(), again.serial()]);
        assert_eq!(revoked.certificates[0].1.as_deref(), Some("quorate://prod/node/7"));
        let revoked = authority.revoke(&Which::Client("n7".into())).unwrap();
        assert_eq!(serials(&revoked), [client.serial()]);
        assert_eq!(revoked.listed, 3, "what was revoked before stays so");
        assert!(!authority.list().unwrap().contains(other.serial()));
        // Once more is no harm.
        assert_eq!(authority.revoke(&Which::Node(NodeId::new(7))).unwrap().listed, 3);
    }

    #[test]
    fn folders_of_credentials_get_the_list_and_new_ones_come_with_it() {
        let (folder, authority) = authority();
        let issue = |name: &str, number| {
            let files = CredentialFiles::of_node(folder.path().join(name));
            hand_out(&authority.issue_node(NodeId::new(number), Validity::days(1)).unwrap(), &files).unwrap();
            files
        };
        let (own, lost) = (issue("n1", 1), issue("n2", 2));
        assert!(!own.revoked.exists(), "there is none yet");
        fs::create_dir(folder.path().join("else")).unwrap();
        let revoked = authority.revoke(&Which::File(lost.chain)).unwrap();
        assert_eq!(revoked.folders, [folder.path().join("n1"), folder.path().join("n2")]);
        let serial = &revoked.certificates[0].0;
        for files in [own, issue("n3", 3)] {
            assert!(Credentials::load(&files).unwrap().revoked().contains(serial));
        }
    }

    #[test]
    fn what_is_not_noted_is_said_and_a_line_that_was_cut_off_spoils_no_other() {
        let (folder, authority) = authority();
        let refused = |which| authority.revoke(&which).unwrap_err();
        let unknown = refused(Which::Node(NodeId::new(7)));
        assert!(
            matches!(unknown, Failure::Authority(AuthorityError::Unknown { ref whom, .. }) if whom == "n7")
        );
        let index = Index::path(folder.path());
        fs::write(&index, "{\"serial\":\"0").unwrap();
        authority.issue_node(NodeId::new(7), Validity::days(1)).unwrap();
        let malformed = refused(Which::Node(NodeId::new(7)));
        assert!(matches!(malformed, Failure::Authority(AuthorityError::Malformed { line: 1, .. })));
        let text = fs::read_to_string(&index).unwrap();
        fs::write(&index, text.split_once('\n').unwrap().1).unwrap();
        assert_eq!(authority.revoke(&Which::Node(NodeId::new(7))).unwrap().listed, 1);
    }
    #[test]
    fn what_was_issued_is_listed_with_what_became_of_it() {
        let (_folder, authority) = authority();
        assert!(authority.certificates().unwrap().is_empty());
        let node = authority.issue_node(NodeId::new(7), Validity::days(1)).unwrap();
        let client = authority.issue_client("reports", Validity::days(2)).unwrap();
        authority.revoke(&Which::Client("reports".into())).unwrap();
        let unknown: Serial = "0a0b".parse().unwrap();
        authority.revoke(&Which::Serial(unknown.clone())).unwrap();
        let [first, second, third] = authority.certificates().unwrap().try_into().unwrap();
        assert_eq!((&first.serial, first.revoked), (node.serial(), None));
        let noted = first.issued.unwrap();
        assert_eq!((noted.name.as_str(), &noted.identity), ("n7", node.identity()));
        assert_eq!(noted.until, node.validity().until);
        assert_eq!(&second.serial, client.serial());
        assert!(second.revoked.is_some() && second.issued.unwrap().name == "reports");
        assert_eq!(third.serial, unknown);
        assert!(third.revoked.is_some() && third.issued.is_none());
    }
}
