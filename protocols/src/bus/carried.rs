//! What nodes tell each other about the groups that they carry.

use std::collections::BTreeSet;

use quorate_membership::GroupId;
use serde::{Deserialize, Serialize};

use super::{Pattern, Subject};

/// The first words of subjects that belong to the bus itself: answers, and the events of groups.
const RESERVED: [&str; 2] = ["_inbox", "_events"];

/// Whether a text may name a group, a cluster or a queue: 1 to 64 letters, digits, dots, dashes or
/// underscores.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

/// The id of the group with this name: the same at every node.
pub fn group_id(name: &str) -> GroupId {
    // Lanes below are for the bus and for clients.
    GroupId::new(xxhash_rust::xxh3::xxh3_64(name.as_bytes()) | 1 << 63)
}

/// Whether a subject belongs to the bus itself, so that no group carries it.
pub(super) fn is_reserved(subject: &Subject) -> bool {
    let first = subject.as_str().split_once('.').map(|(first, _)| first);
    first.is_some_and(|first| RESERVED.contains(&first))
}

/// A group that a node carries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Carried {
    /// The group's name.
    pub name: String,
    /// The patterns of the subjects bound to it; none if it is only followed.
    pub patterns: Vec<Pattern>,
}

/// Why a node is not believed what it says it carries. What it said before stands.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CarriesRefused {
    /// More groups than are kept of one node.
    #[error("{0} groups are more than the {max} that are kept of one node: bind fewer", max = Carried::GROUPS_MAX)]
    TooMany(usize),
    /// Longer names and patterns than are kept of one node.
    #[error(
        "names and subjects of {0} bytes are more than the {max} that are kept of one node: bind fewer, or \
         shorter ones", max = Carried::BYTES_MAX
    )]
    TooLong(usize),
    /// What is no name.
    #[error("`{0}` is no name of a group: write 1 to 64 letters, digits, dots, dashes or underscores")]
    Name(String),
    /// Two entries for one group.
    #[error("the group `{0}` is named twice")]
    Twice(String),
}

impl Carried {
    /// Groups that are kept of one node.
    pub const GROUPS_MAX: usize = 512;
    /// Bytes that the names and patterns of one node may take, each with [`Self::TEXT_BYTES`] beside.
    pub const BYTES_MAX: usize = 32 << 10;
    /// What a name or a pattern counts for beside its text.
    pub const TEXT_BYTES: usize = 32;

    /// Bytes that it counts for.
    pub fn weight(&self) -> usize {
        let texts = self.patterns.iter().map(|pattern| pattern.as_str().len() + Self::TEXT_BYTES);
        texts.sum::<usize>() + self.name.len() + Self::TEXT_BYTES
    }

    /// Whether all that one node says it carries may be kept.
    ///
    /// # Errors
    /// [`CarriesRefused`].
    pub fn check<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Result<(), CarriesRefused> {
        let count = all.clone().count();
        if count > Self::GROUPS_MAX {
            return Err(CarriesRefused::TooMany(count));
        }
        let bytes = all.clone().map(Self::weight).sum();
        if bytes > Self::BYTES_MAX {
            return Err(CarriesRefused::TooLong(bytes));
        }
        let mut groups = BTreeSet::new();
        for carried in all {
            if !is_name(&carried.name) {
                let shown: String = carried.name.chars().take(64).collect();
                return Err(CarriesRefused::Name(shown));
            }
            if !groups.insert(group_id(&carried.name)) {
                return Err(CarriesRefused::Twice(carried.name.clone()));
            }
        }
        Ok(())
    }
}
