//! What a group has delivered of late.

use std::collections::VecDeque;

use quorate_membership::ViewId;

use super::{BusBreach, Position};

/// Where a reader goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The first entry that it has not seen; see [`History::get`].
    pub cursor: u64,
    /// Whether entries between may be missing here.
    pub gap: bool,
}

#[derive(Clone, Debug)]
struct Kept<E> {
    position: Position,
    bytes: usize,
    entry: E,
}

/// The latest entries of a totally ordered group, bounded in bytes, with their positions.
///
/// Entries are numbered here as they come; these numbers, called cursors, mean nothing at other
/// nodes, positions do.
#[derive(Clone, Debug)]
pub struct History<E> {
    kept: VecDeque<Kept<E>>,
    /// The cursor of the first kept entry.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    /// All that was delivered behind this position is kept; `None` before the first view.
    floor: Option<Position>,
    /// The latest position delivered.
    last: Option<Position>,
    breach: Option<BusBreach>,
}

impl<E> History<E> {
    /// Nothing yet; keeps at most so many bytes, and the latest entry in any case.
    pub const fn new(bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), first: 0, bytes: 0, bytes_max, floor: None, last: None, breach: None }
    }

    /// The same with a rule broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_breach(mut self, breach: Option<BusBreach>) -> Self {
        self.breach = breach;
        self
    }

    /// A view begins that follows the one before without a gap.
    pub fn begin_view(&mut self, view: ViewId) {
        let mut position = Position::beginning(view);
        if self.breach == Some(BusBreach::PositionsGoOn) {
            position.index = self.last.map_or(0, |last| last.index);
        }
        self.last = Some(position);
        self.floor.get_or_insert(position);
    }

    /// A view begins, and what was delivered between it and the one before was missed here.
    pub fn begin_anew(&mut self, view: ViewId) {
        self.lose();
        self.floor = None;
        self.begin_view(view);
    }

    /// What was delivered up to now is missing here.
    pub fn lose(&mut self) {
        self.first += self.kept.len() as u64;
        self.kept.clear();
        self.bytes = 0;
        self.floor = self.last;
    }

    /// Moves on to the next message of the view and returns its position; `None` outside a view.
    pub fn advance(&mut self) -> Option<Position> {
        let last = self.last.as_mut()?;
        last.index += 1;
        Some(*last)
    }

    /// Keeps an entry at a position that was moved to, and that lies behind all kept ones.
    pub fn keep_at(&mut self, position: Position, entry: E, bytes: usize) {
        self.bytes += bytes;
        self.kept.push_back(Kept { position, bytes, entry });
        while self.bytes > self.bytes_max && self.kept.len() > 1 {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
            self.first += u64::from(self.breach != Some(BusBreach::SilentlyDropped));
            self.floor = Some(oldest.position);
        }
    }

    /// The latest entry kept.
    pub fn latest(&self) -> Option<&E> {
        self.kept.back().map(|kept| &kept.entry)
    }

    #[cfg(test)]
    pub(super) fn is_within_bytes(&self) -> bool {
        let kept: usize = self.kept.iter().fold(0, |sum, kept| sum.saturating_add(kept.bytes));
        kept == self.bytes && (kept <= self.bytes_max || self.kept.len() == 1)
    }

    /// The latest position delivered; a reader that begins there misses nothing from now on.
    pub const fn last(&self) -> Option<Position> {
        self.last
    }

    /// All that was delivered behind this position is kept; `None` before the first view.
    pub const fn floor(&self) -> Option<Position> {
        self.floor
    }

    /// The cursor of the next entry to come.
    pub fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Finds where a reader goes on that has seen everything up to `position`.
    pub fn after(&self, position: Position) -> Found {
        let whole = self.floor.is_some_and(|floor| floor.is_after(position) == Some(false));
        if !whole {
            return Found { cursor: self.first, gap: self.breach != Some(BusBreach::PretendsToKnow) };
        }
        // Of another founding: either long gone, or the reader is ahead of this node.
        let seen = |kept: &Kept<E>| kept.position.is_after(position) == Some(false);
        let count = self.kept.partition_point(seen);
        Found { cursor: self.first + count as u64, gap: false }
    }

    /// The entry at a cursor, or how many entries were dropped from there on to the next one.
    ///
    /// # Errors
    /// The number of entries that are no longer kept.
    pub fn get(&self, cursor: u64) -> Result<Option<(Position, &E)>, u64> {
        let Some(index) = cursor.checked_sub(self.first) else { return Err(self.first - cursor) };
        Ok(self.kept.get(index as usize).map(|kept| (kept.position, &kept.entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn view(epoch: u64) -> ViewId {
        ViewId { lineage: 7, epoch }
    }

    fn at(epoch: u64, index: u64) -> Position {
        Position { view: view(epoch), index }
    }

    /// Views 1 and 2 with three messages each; every second one is nobody's business.
    fn filled(bytes_max: usize) -> History<u64> {
        let mut history = History::new(bytes_max);
        for epoch in 1..=2 {
            history.begin_view(view(epoch));
            for index in 1..=3 {
                assert_eq!(history.advance(), Some(at(epoch, index)));
                if index != 2 {
                    history.keep_at(at(epoch, index), epoch * 10 + index, 10);
                }
            }
        }
        history
    }

    fn read<E: Copy>(history: &History<E>, found: Found) -> Vec<E> {
        (found.cursor..history.end()).filter_map(|cursor| Some(*history.get(cursor).ok()??.1)).collect()
    }

    #[test]
    fn a_reader_goes_on_behind_what_it_has_seen() {
        let history = filled(1000);
        for (position, expected) in [
            (at(1, 0), vec![11, 13, 21, 23]),
            (at(1, 1), vec![13, 21, 23]),
            (at(1, 2), vec![13, 21, 23]),
            (at(1, 99), vec![21, 23]),
            (at(2, 3), vec![]),
        ] {
            let found = history.after(position);
            assert!(!found.gap, "{position}");
            assert_eq!(read(&history, found), expected, "{position}");
        }
    }

    #[test]
    fn a_reader_is_told_when_what_it_lacks_is_no_longer_kept() {
        let history = filled(20);
        assert!(history.after(at(1, 1)).gap);
        assert!(!history.after(at(1, 3)).gap, "the last one dropped was the last one it had seen");
        assert_eq!(history.get(0), Err(2));
        let other = Position { view: ViewId { lineage: 8, epoch: 1 }, index: 1 };
        assert!(history.after(other).gap);
    }

    #[test]
    fn who_was_outside_for_a_while_does_not_pretend_to_know() {
        let mut history = filled(1000);
        history.begin_anew(view(9));
        assert!(history.after(at(2, 3)).gap);
        assert!(!history.after(at(9, 0)).gap);
        assert_eq!(history.get(1), Err(3));
    }
}
