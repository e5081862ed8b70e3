//! Credentials in files.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::CredentialError;

/// Largest file that is read: no certificate or key comes near it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the parts of credentials lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The own certificate, and what links it to the authority, if anything.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authority's list of certificates that count no more; it need not be there.
    pub revoked: PathBuf,
}

impl CredentialFiles {
    /// The files of a folder: `ca.pem` and perhaps `ca.crl`, and `NAME.pem` and `NAME.key` for the
    /// holder.
    pub fn named(folder: impl AsRef<Path>, name: &str) -> Self {
        let folder = folder.as_ref();
        Self {
            ca: folder.join("ca.pem"),
            chain: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            revoked: folder.join("ca.crl"),
        }
    }

    /// The files of a node's folder: `ca.pem`, `node.pem`, `node.key`.
    pub fn of_node(folder: impl AsRef<Path>) -> Self {
        Self::named(folder, "node")
    }

    /// The files of a client's folder: `ca.pem`, `client.pem`, `client.key`.
    pub fn of_client(folder: impl AsRef<Path>) -> Self {
        Self::named(folder, "client")
    }
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrecy {
    Public,
    Private,
}

/// Reads a text file of reasonable size.
pub(super) fn read(path: &Path) -> Result<String, CredentialError> {
    let metadata = fs::metadata(path).map_err(|error| io_error(path, error))?;
    if metadata.len() > FILE_BYTES_MAX {
        let why = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(CredentialError::Malformed { place: path.display().to_string(), why });
    }
    let bytes = fs::read(path).map_err(|error| io_error(path, error))?;
    // PEM is ASCII. Anything else is found out, with its place, when it is parsed.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a text file which only its owner should be able to read.
pub(super) fn read_key(path: &Path) -> Result<String, CredentialError> {
    let text = read(path)?;
    warn_if_others_read(path);
    Ok(text)
}

/// The certificates of a PEM text, at least one.
pub(super) fn parse_certificates(
    pem: &str,
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let not_pem = || CredentialError::NotPem { place: place.to_owned(), wanted: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| not_pem())?;
    if found.is_empty() { Err(not_pem()) } else { Ok(found) }
}

/// The first private key of a PEM text.
pub(super) fn parse_key(pem: &str, place: &str) -> Result<PrivateKeyDer<'static>, CredentialError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CredentialError::NotPem { place: place.to_owned(), wanted: "private key" })
}

/// Writes files that must not be there yet, or hold the same already. Checks all before it writes
/// the first.
pub(super) fn write_new(files: &[(&Path, &String, Secrecy)]) -> Result<(), CredentialError> {
    let mut missing = Vec::new();
    for (path, text, secrecy) in files {
        match fs::read(path) {
            Ok(present) if present == text.as_bytes() => {}
            Ok(_) => return Err(CredentialError::Exists { place: path.display().to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push((path, text, *secrecy)),
            Err(error) => return Err(io_error(path, error)),
        }
    }
    for (path, text, secrecy) in missing {
        write(path, text, secrecy).map_err(|error| write_error(path, error))?;
    }
    Ok(())
}

/// Writes a public file in place of what is there, in one step.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), CredentialError> {
    // Beside it, since a rename is one step within a file system only.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let aside = path.with_file_name(name);
    let replaced = write(&aside, text, Secrecy::Public).and_then(|()| fs::rename(&aside, path));
    replaced.map_err(|error| {
        let _ = fs::remove_file(&aside);
        write_error(path, error)
    })
}

fn write(path: &Path, text: &str, secrecy: Secrecy) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    // Never through a link or into a file that somebody else made in the meantime.
    options.write(true).create_new(true);
    restrict(&mut options, secrecy);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, secrecy: Secrecy) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(if secrecy == Secrecy::Private { 0o600 } else { 0o644 });
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _secrecy: Secrecy) {}

#[cfg(unix)]
fn warn_if_others_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        let path = path.display();
        tracing::warn!(%path, "others may read this private key: set its mode to 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_others_read(_path: &Path) {}

/// A file that is to be made need not be there: if something is missing, then what it is made in.
fn write_error(path: &Path, source: io::Error) -> CredentialError {
    match source.kind() {
        io::ErrorKind::NotFound => CredentialError::Io { place: path.display().to_string(), source },
        _ => io_error(path, source),
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> CredentialError {
    let place = path.display().to_string();
    match source.kind() {
        io::ErrorKind::NotFound => CredentialError::Missing { place },
        io::ErrorKind::PermissionDenied => CredentialError::Permission { place },
        io::ErrorKind::AlreadyExists => CredentialError::Exists { place },
        _ => CredentialError::Io { place, source },
    }
}
