//! Temporary folders, also of processes that were killed.

use std::{
    env,
    fs::{self, File},
    io,
    path::Path,
};

use tempfile::TempDir;

const PREFIX: &str = "quorate-bench-";
const LOCK: &str = "lock";

/// A folder that is removed with this, or where the process is killed before, when the next one is made.
#[derive(Debug)]
pub(crate) struct Folder {
    made: TempDir,
    // The system unlocks it however the process ends.
    _lock: File,
}

impl Folder {
    /// Makes one, and removes those that nobody has any more.
    pub(crate) fn make() -> io::Result<Self> {
        Self::make_in(&env::temp_dir())
    }

    fn make_in(place: &Path) -> io::Result<Self> {
        clear_up(place);
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        // It gets its name when it is locked, so that nobody takes the folder for one that was left.
        let nameless = made.path().join("unlocked");
        let lock = File::create_new(&nameless)?;
        lock.lock()?;
        fs::rename(nameless, made.path().join(LOCK))?;
        Ok(Self { made, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.made.path()
    }
}

/// Removes the folders of processes that were killed. What cannot be removed belongs to others, or is for the system.
fn clear_up(place: &Path) {
    let all = fs::read_dir(place).into_iter().flatten().flatten();
    for folder in all.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if let Ok(lock) = File::open(folder.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_its_process_or_by_the_next_and_never_before() {
        let place = tempfile::tempdir().expect("a folder");
        let exists = |name: &str| place.path().join(name).exists();
        for left in ["quorate-bench-left", "quorate-bench-new", "other"] {
            fs::create_dir_all(place.path().join(left).join("certs")).expect("a folder");
        }
        for left in ["quorate-bench-left", "other"] {
            File::create_new(place.path().join(left).join(LOCK)).expect("a file");
        }
        let first = Folder::make_in(place.path()).expect("a folder");
        assert!(!exists("quorate-bench-left"), "nobody has it");
        assert!(exists("other") && exists("quorate-bench-new"), "that may be somebody's");
        let second = Folder::make_in(place.path()).expect("a folder");
        assert!(first.path().exists() && second.path().exists());
        let was = first.path().to_owned();
        drop(first);
        assert!(!was.exists() && second.path().exists());
    }
}
