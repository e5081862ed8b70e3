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

/// The right to write a profile, until it is dropped; then the profile is removed again.
#[derive(Debug)]
pub(crate) struct Claim {
    profile: PathBuf,
    _lock: File,
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
                return Err(Failure::Failed(format!(
                    "a local cluster is running already (process {}): use it, stop it there with Ctrl-C, or \
                     give another one its own --profile and --port",
                    owner.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error).into()),
        }
        let note = |lock: &mut File| -> io::Result<()> {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(unusable)?;
        Ok(Self { profile: profile.to_owned(), _lock: lock })
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
}
