//! Where a message stands in the total order of a group.

use std::{cmp::Ordering, fmt};

use quorate_membership::ViewId;
use serde::{Deserialize, Serialize};

/// The place of a message in a totally ordered group: the same at every member, and growing.
///
/// Members that are in a view together deliver the same messages in it in the same order (V2), so
/// counting from the beginning of each view needs no agreement and nothing to be handed to
/// newcomers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The view in which the message was delivered.
    pub view: ViewId,
    /// Its number in the view; the first is 1, and 0 is the view itself.
    pub index: u64,
}

impl Position {
    /// The beginning of a view.
    pub const fn beginning(view: ViewId) -> Self {
        Self { view, index: 0 }
    }

    /// Whether it lies behind `other`; `None` if the group was founded anew between them.
    pub fn is_after(self, other: Self) -> Option<bool> {
        let key = |position: Self| (position.view.epoch, position.index);
        (self.view.lineage == other.view.lineage).then(|| key(self).cmp(&key(other)) == Ordering::Greater)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.view, self.index)
    }
}
