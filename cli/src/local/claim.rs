//! One local cluster per profile.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use crate::{
    Failure,
    profile::{Profile, ProfileError},
};

/// How the names of temporary folders begin.
pub(super) const TEMPORARY: &str = "quorate-";

/// The right to write a profile, until it is dropped; then the profile is removed again.
///
/// Beside the profile is a file that is locked meanwhile. Its first line is the number of the process, its
/// second the folder that has to go with it.
#[derive(Debug)]
pub(crate) struct Claim {
    profile: PathBuf,
    path: PathBuf,
    lock: File,
}

impl Claim {
    /// Claims a profile for this process.
    ///
    /// # Errors
    /// [`Failure::Failed`] if another process has it.
    pub(crate) fn take(profile: &Path) -> Result<Self, Failure> {
        let path = profile.with_extension("lock");
        let unusable = |error: io::Error| ProfileError::Unusable(path.clone(), error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Its number only helps to find it.
                let _ = lock.read_to_string(&mut owner);
                let owner = owner.lines().next().unwrap_or("of unknown number");
                return Err(Failure::Failed(format!(
                    "a local cluster is running already (process {}): use it, stop it there with Ctrl-C, or \
                     give another one its own --profile and --port",
                    owner.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error).into()),
        }
        let mut former = String::new();
        // What cannot be read names no folder.
        let _ = lock.read_to_string(&mut former);
        let mut claim = Self { profile: profile.to_owned(), path, lock };
        claim.note(None)?;
        if let Some(folder) = former.lines().nth(1) {
            clear_up(Path::new(folder));
        }
        Ok(claim)
    }

    /// Notes a temporary folder that goes with this process. If it is killed before it has removed it, the
    /// next one that claims the profile does.
    pub(crate) fn note(&mut self, folder: Option<&Path>) -> Result<(), Failure> {
        let folder = folder.map(|folder| format!("{}\n", folder.display())).unwrap_or_default();
        let mut write = || {
            self.lock.set_len(0)?;
            self.lock.rewind()?;
            write!(self.lock, "{}\n{folder}", std::process::id())
        };
        Ok(write().map_err(|error| ProfileError::Unusable(self.path.clone(), error))?)
    }

    /// Tells clients where the cluster is.
    pub(crate) fn publish(&self, profile: &Profile) -> Result<(), Failure> {
        Ok(profile.save(&self.profile)?)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A profile that stays behind leads clients to nobody, which they say.
        let _ = fs::remove_file(&self.profile);
    }
}

/// Removes the temporary folder of a process that was killed.
fn clear_up(folder: &Path) {
    let is_ours = folder.parent() == Some(&std::env::temp_dir())
        && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY));
    if is_ours
        && let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("a local cluster that was killed has left {}: {error}: remove it", folder.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_one_owner_at_a_time_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        let claim = Claim::take(&path).unwrap();
        claim.publish(&Profile { addresses: Vec::new(), credentials: "c".into(), authority: None }).unwrap();
        assert!(path.exists());
        let refused = Claim::take(&path).unwrap_err().to_string();
        let expected = format!("a local cluster is running already (process {})", std::process::id());
        assert!(refused.starts_with(&expected), "{refused}");
        drop(claim);
        assert!(!path.exists());
        Claim::take(&path).unwrap();
    }

    #[test]
    fn only_a_temporary_folder_is_cleared_up() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("profile.toml"), folder.path().join("quorate-other"));
        fs::create_dir(&other).unwrap();
        let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir().unwrap().keep();
        for left in [&other, &temporary] {
            Claim::take(&path).unwrap().note(Some(left)).unwrap();
        }
        drop(Claim::take(&path).unwrap());
        assert!(other.exists() && !temporary.exists());
    }
}
