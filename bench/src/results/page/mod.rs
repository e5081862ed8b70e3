//! A report as a page for browsers, with the raw data beside it.

mod error;
mod html;
mod latency;
mod plot;
mod ratios;
mod throughput;
mod timeline;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use self::error::PageError;
use crate::Report;

const INDEX: &str = "index.html";
const RECORDS: &str = "records.jsonl";
const ROUNDS: &str = "rounds.jsonl";
const TIMELINES: &str = "timelines.jsonl";

/// A folder for a report: a page that needs nothing from elsewhere, and the raw data as lines of JSON.
///
/// `index.html` shows the machine, the settings, the table and plots; `records.jsonl` has the machine, the
/// settings and the figures as [`Report::to_json_lines`] gives them, `rounds.jsonl` every round of each side and run,
/// and `timelines.jsonl` when each acknowledgement came, where a benchmark keeps that.
#[derive(Clone, Debug)]
pub struct Page {
    folder: PathBuf,
}

impl Page {
    /// Makes the folder if it is not there and finds out, before anything is measured, whether a report can be
    /// written into it. A report that is there already will be overwritten, other files will not.
    ///
    /// # Errors
    /// [`PageError`]: nothing in the folder was changed.
    pub fn prepare(folder: impl Into<PathBuf>) -> Result<Self, PageError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(PageError::io("cannot create", &folder))?;
        let present = |name: &&str| folder.join(name).exists();
        let of_a_report = is_own_page(&folder.join(INDEX))?;
        for name in [INDEX, RECORDS, ROUNDS, TIMELINES].iter().filter(|name| present(name)) {
            let path = folder.join(name);
            if !of_a_report {
                return Err(PageError::Foreign { path });
            }
            let opened = fs::OpenOptions::new().append(true).open(&path);
            opened.map_err(PageError::io("cannot overwrite", &path))?;
        }
        tempfile::tempfile_in(&folder).map_err(PageError::io("cannot write into", &folder))?;
        Ok(Self { folder })
    }

    /// Writes the report over the one that is there.
    ///
    /// # Errors
    /// [`PageError`] if the folder was changed or the disk is full; what was written until then stays.
    pub fn write(&self, report: &Report) -> Result<(), PageError> {
        let series = report.series();
        let rounds: String = series.iter().map(|series| series.to_json_lines()).collect();
        let timelines: String = series.iter().map(|series| series.timelines_to_json_lines()).collect();
        // The page comes first: by it the folder is known for a report's.
        self.put(INDEX, &html::page(report)?)?;
        self.put(RECORDS, &report.to_json_lines())?;
        self.put(ROUNDS, &rounds)?;
        if timelines.is_empty() { self.remove(TIMELINES) } else { self.put(TIMELINES, &timelines) }
    }

    /// The page to open.
    pub fn index(&self) -> PathBuf {
        self.folder.join(INDEX)
    }

    fn put(&self, name: &str, text: &str) -> Result<(), PageError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(PageError::io("cannot write", &path))
    }

    /// Removes what the report before had and this one has not.
    fn remove(&self, name: &str) -> Result<(), PageError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PageError::io("cannot remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a report wrote this page.
fn is_own_page(path: &Path) -> Result<bool, PageError> {
    // It says so at its beginning.
    const LOOKED_AT: u64 = 1024;
    let mut begin = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut begin)) {
        Ok(_) => Ok(String::from_utf8_lossy(&begin).contains(html::GENERATOR)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PageError::io("cannot read", path)(error)),
    }
}

#[cfg(test)]
mod tests;
