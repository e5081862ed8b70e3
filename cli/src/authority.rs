//! The authority of a cluster in its folder, with what it has issued and what it has revoked.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use quorate::{
    membership::NodeId,
    transport::{
        ClusterCa, ClusterName, CredentialError, CredentialFiles, Credentials, Identity, RevocationList,
        Role, Serial, Validity,
    },
};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// What was issued, one certificate per line: a certificate is revoked by its number, and whoever
/// has lost one knows only whose it was.
const INDEX: &str = "issued.jsonl";
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

/// One line of the index.
#[derive(Debug, Deserialize, Serialize)]
struct Issued {
    serial: String,
    identity: String,
    name: String,
    until_unix_s: u64,
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
        let mut index = self.open_index()?;
        let certificates = match which {
            Which::Node(node) => self.noted(&mut index, &node.to_string(), |issued| {
                issued.identity.parse().is_ok_and(|it: Identity| it.role == Role::Node && it.node == *node)
            })?,
            Which::Client(name) => self.noted(&mut index, &format!("client `{name}`"), |issued| {
                issued.name == *name
                    && issued.identity.parse().is_ok_and(|it: Identity| it.role == Role::Client)
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
        let until = credentials.validity().until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let issued = Issued {
            serial: credentials.serial().to_string(),
            identity: credentials.identity().to_string(),
            name: name.to_owned(),
            until_unix_s: until.as_secs(),
        };
        let mut line = serde_json::to_string(&issued).expect("text and numbers can be written as JSON");
        line.push('\n');
        let mut index = self.open_index()?;
        let unusable = |error| AuthorityError::Unusable(self.folder.join(INDEX), error);
        // A line that a crash has cut off must not swallow this one.
        if !ends_its_line(&mut index).map_err(unusable)? {
            line.insert(0, '\n');
        }
        index.write_all(line.as_bytes()).and_then(|()| index.sync_all()).map_err(unusable)?;
        Ok(credentials.with_revoked(self.list()?)?)
    }

    /// The index, locked against other processes until it is closed.
    fn open_index(&self) -> Result<File, AuthorityError> {
        let path = self.folder.join(INDEX);
        let open = || -> io::Result<File> {
            let index = File::options().create(true).read(true).append(true).open(&path)?;
            index.lock()?;
            Ok(index)
        };
        open().map_err(|error| AuthorityError::Unusable(path.clone(), error))
    }

    /// The certificates in the index that are meant, at least one.
    fn noted(
        &self,
        index: &mut File,
        whom: &str,
        meant: impl Fn(&Issued) -> bool,
    ) -> Result<Vec<(Serial, Option<String>)>, AuthorityError> {
        let path = || self.folder.join(INDEX);
        let mut text = String::new();
        index.read_to_string(&mut text).map_err(|error| AuthorityError::Unusable(path(), error))?;
        let mut found = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let malformed = |why| AuthorityError::Malformed { index: path(), line: number + 1, why };
            let issued: Issued = serde_json::from_str(line).map_err(|error| malformed(error.to_string()))?;
            let serial =
                issued.serial.parse().map_err(|error: CredentialError| malformed(error.to_string()))?;
            if meant(&issued) {
                found.push((serial, Some(issued.identity)));
            }
        }
        if found.is_empty() {
            return Err(AuthorityError::Unknown { whom: whom.to_owned(), index: path() });
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

fn ends_its_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
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
        let index = folder.path().join(INDEX);
        fs::write(&index, "{\"serial\":\"0").unwrap();
        authority.issue_node(NodeId::new(7), Validity::days(1)).unwrap();
        let malformed = refused(Which::Node(NodeId::new(7)));
        assert!(matches!(malformed, Failure::Authority(AuthorityError::Malformed { line: 1, .. })));
        let text = fs::read_to_string(&index).unwrap();
        fs::write(&index, text.split_once('\n').unwrap().1).unwrap();
        assert_eq!(authority.revoke(&Which::Node(NodeId::new(7))).unwrap().listed, 1);
    }
}
