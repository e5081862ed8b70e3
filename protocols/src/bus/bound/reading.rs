//! Reading what a member keeps, at the reader's own pace.

use super::{BoundGroup, Position};

/// Where somebody reads at one member.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    next: u64,
    beginnings: u64,
    /// Whether something before may be missing, which is still to be said.
    gap: bool,
    seen: Option<Position>,
}

/// What a reader gets next.
#[derive(Debug, Eq, PartialEq)]
pub enum Read<'a, E> {
    /// Nothing yet.
    Nothing,
    /// Something is missing here. It is told once, and the cursor stands behind it.
    Missed {
        /// So many entries that were kept here and no longer are.
        entries: u64,
        /// Others, too, or perhaps none: nobody here knows.
        others: bool,
    },
    /// An entry and its place; it comes again until the reader passes it.
    Entry(Position, &'a E),
}

impl Cursor {
    /// The last position that the reader has passed or began behind: elsewhere it goes on there.
    pub const fn seen(&self) -> Option<Position> {
        self.seen
    }

    /// The entry at a position, which was read last, is done with.
    pub const fn pass(&mut self, position: Position) {
        self.next += 1;
        self.seen = Some(position);
    }
}

impl<E> BoundGroup<E> {
    /// A reader that has seen everything up to `after`, here or elsewhere, or begins now.
    pub fn begin(&self, after: Option<Position>) -> Cursor {
        let (next, gap) = match after {
            None => (self.history.end(), false),
            Some(position) => {
                let found = self.history.after(position);
                (found.cursor, found.gap)
            }
        };
        Cursor { next, beginnings: self.beginnings, gap, seen: after.or_else(|| self.position()) }
    }

    /// What a reader gets next. What it has seen elsewhere does not come again, though this member may
    /// be behind that one.
    pub fn read(&self, cursor: &mut Cursor) -> Read<'_, E> {
        let anew = std::mem::replace(&mut cursor.beginnings, self.beginnings) != self.beginnings;
        let others = std::mem::take(&mut cursor.gap) || anew;
        loop {
            match self.history.get(cursor.next) {
                Err(entries) => {
                    cursor.next += entries;
                    return Read::Missed { entries, others };
                }
                Ok(_) if others => return Read::Missed { entries: 0, others },
                Ok(None) => return Read::Nothing,
                Ok(Some((position, entry))) => {
                    let seen = cursor.seen.is_some_and(|seen| position.is_after(seen) == Some(false));
                    if !seen {
                        return Read::Entry(position, entry);
                    }
                    cursor.next += 1;
                }
            }
        }
    }
}
