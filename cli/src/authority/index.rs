//! What an authority has issued, one certificate per line of a file: a certificate is revoked by its
//! number, and whoever has lost one knows only whose it was.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use quorate::transport::{CredentialError, Credentials, Identity, Serial};
use serde::{Deserialize, Serialize};

use super::AuthorityError;

const NAME: &str = "issued.jsonl";

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// Its number.
    pub(crate) serial: Serial,
    /// Whose it is.
    pub(crate) identity: Identity,
    /// What people call the holder.
    pub(crate) name: String,
    /// Not valid after, in whole seconds.
    pub(crate) until: SystemTime,
}

/// A line of the file.
#[derive(Deserialize, Serialize)]
struct Line {
    serial: String,
    identity: String,
    name: String,
    until_unix_s: u64,
}

impl Issued {
    pub(super) fn new(credentials: &Credentials, name: &str) -> Self {
        let (serial, identity) = (credentials.serial().clone(), credentials.identity().clone());
        Self { serial, identity, name: name.to_owned(), until: credentials.validity().until }
    }

    fn line(&self) -> String {
        let until = self.until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let line = Line {
            serial: self.serial.to_string(),
            identity: self.identity.to_string(),
            name: self.name.clone(),
            until_unix_s: until.as_secs(),
        };
        serde_json::to_string(&line).expect("text and numbers can be written as JSON")
    }

    fn parse(line: &str) -> Result<Self, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(line.until_unix_s));
        Ok(Self {
            serial: line.serial.parse().map_err(|error: CredentialError| error.to_string())?,
            identity: line.identity.parse()?,
            name: line.name,
            until: until.ok_or("it ends in no year that there is")?,
        })
    }
}

/// The file, locked against other processes until this is dropped.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    file: File,
}

impl Index {
    /// Where the index of an authority in this folder is.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }

    /// Opens the index of an authority in this folder, and makes it if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let path = Self::path(folder);
        let open = || -> io::Result<File> {
            let file = File::options().create(true).read(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(AuthorityError::Unusable(path, error)),
        }
    }

    /// What was issued, in this order, without changing anything.
    pub(super) fn look(folder: &Path) -> Result<Vec<Issued>, AuthorityError> {
        let path = Self::path(folder);
        let open = || -> io::Result<File> {
            let file = File::open(&path)?;
            file.lock_shared()?;
            Ok(file)
        };
        match open() {
            Ok(file) => Self { path, file }.read(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(AuthorityError::Unusable(path, error)),
        }
    }

    /// What was issued, in this order.
    pub(super) fn read(&mut self) -> Result<Vec<Issued>, AuthorityError> {
        let mut text = String::new();
        self.file.read_to_string(&mut text).map_err(|error| self.unusable(error))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let parse = |(number, line): (usize, &str)| {
            let malformed =
                |why| AuthorityError::Malformed { index: self.path.clone(), line: number + 1, why };
            Issued::parse(line).map_err(malformed)
        };
        lines.map(parse).collect()
    }

    /// Adds a certificate; when this returns it is on the disk.
    pub(super) fn note(&mut self, issued: &Issued) -> Result<(), AuthorityError> {
        let mut line = issued.line() + "\n";
        let mut write = || -> io::Result<()> {
            // A line that a crash has cut off must not swallow this one.
            if !ends_its_line(&mut self.file)? {
                line.insert(0, '\n');
            }
            self.file.write_all(line.as_bytes())?;
            self.file.sync_all()
        };
        write().map_err(|error| self.unusable(error))
    }

    fn unusable(&self, error: io::Error) -> AuthorityError {
        AuthorityError::Unusable(self.path.clone(), error)
    }
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_noted_is_read_again_whatever_a_crash_has_cut_off_before(
            names in prop::collection::vec(any::<String>(), 1..4), until in 0..1_u64 << 40, cut: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = Index::path(folder.path());
            let issued = |name: &String| Issued {
                serial: "0a1b".parse().unwrap(),
                identity: "quorate://prod/client/7".parse().unwrap(),
                name: name.clone(),
                until: SystemTime::UNIX_EPOCH + Duration::from_secs(until),
            };
            for name in &names {
                Index::open(folder.path()).unwrap().note(&issued(name)).unwrap();
                if cut {
                    let text = std::fs::read_to_string(&path).unwrap();
                    std::fs::write(&path, text.trim_end()).unwrap();
                }
            }
            let read = Index::look(folder.path()).unwrap();
            let lines = |of: &[Issued]| of.iter().map(Issued::line).collect::<Vec<_>>();
            prop_assert_eq!(lines(&read), lines(&names.iter().map(issued).collect::<Vec<_>>()));
        }

        #[test]
        fn any_other_text_is_refused_with_its_line(text: String, good in 0..3_usize) {
            let folder = tempfile::tempdir().unwrap();
            let line = r#"{"serial":"01","identity":"quorate://prod/node/1","name":"n1","until_unix_s":9}"#;
            std::fs::write(Index::path(folder.path()), format!("{line}\n").repeat(good) + &text).unwrap();
            match Index::look(folder.path()) {
                Ok(issued) => prop_assert!(issued.len() >= good),
                Err(AuthorityError::Malformed { line, .. }) => prop_assert!(line > good),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
