//! The profile: where clients find a cluster, and with which certificate.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where a cluster is, for clients.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Some of the cluster's nodes; any of them will do.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Folder with `ca.pem`, `client.pem` and `client.key`.
    pub(crate) credentials: PathBuf,
    /// Folder of the authority, if it is at hand as for a local cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<PathBuf>,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProfileError {
    /// There is none where clients look by default.
    #[error("no cluster is known here: start one with `quorate up`, or name a profile with --profile")]
    NoneKnown,
    /// There is none where it was said to be.
    #[error("{} does not exist: is the cluster running that writes it? name another with --profile otherwise", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("cannot use {}, name another with --profile", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
    /// The file is not a profile.
    #[error("{} is not a profile ({why}): name another with --profile", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No place for the user's files is known.
    #[error("neither XDG_STATE_HOME nor HOME is set: name a profile with --profile")]
    NoHome,
}

impl Profile {
    /// Reads the profile at `chosen`, or at the default place.
    pub(crate) fn load(chosen: Option<&Path>) -> Result<Self, ProfileError> {
        let path = place(chosen)?;
        let text = fs::read_to_string(&path).map_err(|error| match (error.kind(), chosen) {
            (io::ErrorKind::NotFound, None) => ProfileError::NoneKnown,
            (io::ErrorKind::NotFound, Some(_)) => ProfileError::Missing(path.clone()),
            _ => ProfileError::Unusable(path.clone(), error),
        })?;
        let profile: Self = toml::from_str(&text).map_err(|error| ProfileError::Malformed {
            path: path.clone(),
            why: error.message().to_owned(),
        })?;
        // Relative to the profile, as in a configuration.
        let folder = path.parent().unwrap_or(Path::new(""));
        let credentials = folder.join(&profile.credentials);
        let authority = profile.authority.as_ref().map(|authority| folder.join(authority));
        Ok(Self { credentials, authority, ..profile })
    }

    /// Writes the profile; readers see the old one or this one, never a part.
    pub(crate) fn save(&self, path: &Path) -> Result<(), ProfileError> {
        let unusable = |error| ProfileError::Unusable(path.to_owned(), error);
        let text = toml::to_string(self)
            .map_err(|error| ProfileError::Malformed { path: path.to_owned(), why: error.to_string() })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unusable)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unusable)?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(unusable)?;
        file.persist(path).map_err(|error| unusable(error.error))?;
        Ok(())
    }
}

/// Where the profile is: as chosen, or `quorate/profile.toml` below the user's state folder.
pub(crate) fn place(chosen: Option<&Path>) -> Result<PathBuf, ProfileError> {
    if let Some(path) = chosen {
        return Ok(path.to_owned());
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Ok(state.ok_or(ProfileError::NoHome)?.join("quorate/profile.toml"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_profile_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/profile.toml");
        let profile = Profile {
            addresses: vec!["127.0.0.1:1".parse().unwrap()],
            credentials: folder.path().join("client"),
            authority: None,
        };
        profile.save(&path).unwrap();
        assert_eq!(Profile::load(Some(&path)).unwrap(), profile);
    }

    #[test]
    fn what_is_no_profile_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        assert!(matches!(Profile::load(Some(&path)), Err(ProfileError::Missing(at)) if at == path));
        fs::write(&path, "addresses = 7").unwrap();
        assert!(matches!(Profile::load(Some(&path)), Err(ProfileError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn any_profile_survives_its_file_and_any_other_text_is_refused_on_one_line(
            addresses in prop::collection::vec(any::<SocketAddr>(), 0..4), name in "[^/\u{0}]{1,20}",
            has_authority: bool, text: String,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("profile.toml");
            let credentials = folder.path().join(&name);
            let authority = has_authority.then(|| credentials.clone());
            // What belongs to an address of version 6 besides is not written.
            let addresses: Vec<_> = addresses.iter().map(|it| SocketAddr::new(it.ip(), it.port())).collect();
            let profile = Profile { addresses, credentials, authority };
            profile.save(&path).unwrap();
            prop_assert_eq!(Profile::load(Some(&path)).unwrap(), profile);
            fs::write(&path, text).unwrap();
            if let Err(error) = Profile::load(Some(&path)) {
                prop_assert!(!crate::failure::one_line(&error).contains('\n'), "{error}");
            }
        }
    }
}
