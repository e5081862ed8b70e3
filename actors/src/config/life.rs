//! The lives of a node: each start is a later one.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use quorate_membership::{Incarnation, Member};
use quorate_transport::Hello;

use super::NodeConfig;

/// The versions of the nodes' protocol that this code speaks.
pub(crate) const VERSIONS: (u16, u16) = (1, 1);

const COUNTER: &str = "incarnation";
const LOCK: &str = "lock";

/// Why a node cannot begin a life.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifeError {
    /// Another process uses the folder.
    #[error("another process uses the data folder {0}: stop it, or give this node a folder of its own")]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("the data folder cannot be used: {path}: {source}; check that it exists and may be written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{0} does not hold a number: restore it, or remove it if this node never ran with another clock")]
    Damaged(PathBuf),
}

/// One life of a node, from now on. Its data folder is locked until this is dropped.
#[derive(Debug)]
pub struct Life {
    member: Member,
    _lock: Option<File>,
}

impl Life {
    /// The node in this life.
    pub const fn member(&self) -> Member {
        self.member
    }

    /// Whether a node could begin a life with this data folder now. Changes nothing; a folder that is not
    /// there yet is made when the life begins.
    ///
    /// # Errors
    /// [`LifeError`] as from [`NodeConfig::begin_life`].
    pub fn check(folder: &Path) -> Result<(), LifeError> {
        read(&folder.join(COUNTER))?;
        let path = folder.join(LOCK);
        match File::options().write(true).open(&path) {
            Ok(file) => take(&file, folder, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(LifeError::Io { path, source }),
        }
    }
}

impl NodeConfig {
    /// Begins a life of the node: later than all before it.
    ///
    /// The number is at least the wall clock's milliseconds, and one more than that in the data
    /// folder, if there is one.
    ///
    /// # Errors
    /// [`LifeError`] if the data folder cannot be used.
    pub fn begin_life(&self) -> Result<Life, LifeError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let clock = u64::try_from(since.as_millis()).unwrap_or(1).max(1);
        let (number, lock) = match self.data() {
            None => (clock, None),
            Some(folder) => {
                let lock = lock(folder)?;
                let path = folder.join(COUNTER);
                let number = read(&path)?.map_or(clock, |last| clock.max(last + 1));
                write(folder, &path, number).map_err(|source| LifeError::Io { path, source })?;
                (number, Some(lock))
            }
        };
        Ok(Life { member: Member::new(self.node(), Incarnation::new(number)), _lock: lock })
    }
}

impl NodeConfig {
    /// What the node says of itself on each link in this life; transports want it.
    pub fn hello(&self, life: &Life) -> Hello {
        Hello {
            versions: VERSIONS,
            features: 0,
            cluster: self.cluster().to_owned(),
            incarnation: life.member.incarnation,
            listens: Some(self.listen()),
        }
    }
}

fn lock(folder: &Path) -> Result<File, LifeError> {
    let path = folder.join(LOCK);
    let io = |source| LifeError::Io { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(io)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    take(&file, folder, &path)?;
    Ok(file)
}

fn take(lock: &File, folder: &Path, path: &Path) -> Result<(), LifeError> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LifeError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(LifeError::Io { path: path.to_owned(), source }),
    }
}

fn read(path: &Path) -> Result<Option<u64>, LifeError> {
    match fs::read_to_string(path) {
        Ok(text) => match text.trim().parse() {
            // No life follows the last number: a node never comes so far.
            Err(_) | Ok(u64::MAX) => Err(LifeError::Damaged(path.to_owned())),
            Ok(last) => Ok(Some(last)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(LifeError::Damaged(path.to_owned())),
        Err(source) => Err(LifeError::Io { path: path.to_owned(), source }),
    }
}

/// Replaces the file as a whole: a crash leaves the old number or the new one.
fn write(folder: &Path, path: &Path, number: u64) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NodeSettings;

    fn config(folder: &Path) -> NodeConfig {
        let mut settings = NodeSettings::new(3, "demo", "127.0.0.1:1".parse().unwrap());
        settings.data = Some(folder.to_owned());
        settings.try_into().unwrap()
    }

    #[test]
    fn each_life_is_later_than_the_one_before_even_if_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let future = 1 << 60;
        fs::write(folder.path().join(COUNTER), format!("{future}\n")).unwrap();
        for expected in [future + 1, future + 2] {
            let life = config(folder.path()).begin_life().unwrap();
            assert_eq!(life.member().incarnation.get(), expected);
        }
    }

    #[test]
    fn a_folder_serves_one_process_at_a_time_and_a_damaged_number_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let life = config(folder.path()).begin_life().unwrap();
        assert!(matches!(config(folder.path()).begin_life(), Err(LifeError::InUse(_))));
        assert!(matches!(Life::check(folder.path()), Err(LifeError::InUse(_))));
        drop(life);
        Life::check(folder.path()).unwrap();
        for damaged in [&b"x"[..], b"", b"-1", b"\xff\xfe", b"18446744073709551615", b"18446744073709551616"]
        {
            fs::write(folder.path().join(COUNTER), damaged).unwrap();
            let refused = config(folder.path()).begin_life();
            assert!(matches!(refused, Err(LifeError::Damaged(_))), "{damaged:?}: {refused:?}");
            assert!(matches!(Life::check(folder.path()), Err(LifeError::Damaged(_))), "{damaged:?}");
            assert_eq!(fs::read(folder.path().join(COUNTER)).unwrap(), damaged, "it is not replaced");
        }
        let none = folder.path().join("none");
        Life::check(&none).unwrap();
        assert!(!none.exists(), "it only looks");
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_it_is_damaged_or_the_next_life_is_later(
            content in prop_oneof!["[0-9]{1,21}\n?", " ?[+-]?[0-9]{1,3}", any::<String>()],
        ) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(COUNTER), &content).unwrap();
            match config(folder.path()).begin_life() {
                Ok(life) => {
                    let last: u64 = content.trim().parse().expect("only a number is taken");
                    let number = life.member().incarnation.get();
                    prop_assert!(number > last);
                    let written = fs::read_to_string(folder.path().join(COUNTER)).unwrap();
                    prop_assert_eq!(written.trim(), number.to_string());
                }
                Err(error) => {
                    prop_assert!(matches!(error, LifeError::Damaged(_)), "{}", error);
                    prop_assert!(!content.trim().parse::<u64>().is_ok_and(|last| last < u64::MAX));
                }
            }
        }
    }
}
