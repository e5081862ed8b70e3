//! What one member receives in a run, told apart by who was in the view meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use quorate::membership::{Member, NodeId, View};

use super::{PIECES, THIRDS};
use crate::measure::Latencies;

/// A slice is this long at most: in a longer one a member leaves and joins.
const SLICE_MAX: Duration = Duration::from_secs(1);

/// Who is in a view.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Present {
    voting: BTreeSet<NodeId>,
    learning: BTreeSet<NodeId>,
}

impl Present {
    /// So many members, all of which vote.
    pub(super) fn all(members: usize) -> Self {
        Self { voting: (1..=members as u64).map(NodeId::new).collect(), learning: BTreeSet::new() }
    }

    pub(super) fn of(view: &View) -> Self {
        let nodes = |members: &[Member]| members.iter().map(|member| member.node).collect();
        Self { voting: nodes(&view.members), learning: nodes(&view.learners) }
    }

    /// How many vote, and how many learn.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.voting.len(), self.learning.len())
    }
}

/// What came in the slices of a third in which the same members were in the view throughout.
#[derive(Debug)]
pub(super) struct Alike {
    /// By the piece in which they are.
    pieces: BTreeMap<usize, Counted>,
    pub(super) latencies: Latencies,
}

/// What came in some slices of a piece.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    slices: usize,
    messages: u64,
}

impl Alike {
    fn new() -> Self {
        Self { pieces: BTreeMap::new(), latencies: Latencies::new() }
    }

    fn add(&mut self, piece: usize, slice: &Slice) {
        let counted = self.pieces.entry(piece).or_default();
        counted.slices += 1;
        counted.messages += slice.messages;
        self.latencies.add(&slice.latencies);
    }

    /// How many slices there are.
    pub(super) fn slices(&self) -> usize {
        self.pieces.values().map(|counted| counted.slices).sum()
    }

    /// How many messages came in a slice, on average, piece by piece.
    pub(super) fn messages_per_slice(&self) -> impl Iterator<Item = f64> {
        self.pieces.values().map(|counted| counted.messages as f64 / counted.slices as f64)
    }
}

/// The first and the last third of a run, each by who was in the view.
pub(super) type Thirds = [BTreeMap<Present, Alike>; 2];

/// Slices of a run, of equal length, and as many in each piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slices {
    pub(super) length: Duration,
    per_piece: usize,
}

impl Slices {
    /// Of a run whose pieces are so long.
    pub(super) fn of(piece: Duration) -> Self {
        let per_piece = piece.as_nanos().div_ceil(SLICE_MAX.as_nanos()).max(1) as usize;
        Self { length: piece / per_piece as u32, per_piece }
    }

    fn number(self, at: Duration) -> usize {
        (at.as_nanos() / self.length.as_nanos()) as usize
    }
}

/// What has come since the last slice ended.
#[derive(Debug)]
struct Slice {
    messages: u64,
    latencies: Latencies,
    /// Whether the view has changed meanwhile.
    mixed: bool,
}

impl Slice {
    fn new() -> Self {
        Self { messages: 0, latencies: Latencies::new(), mixed: false }
    }
}

/// Counts what comes, slice by slice. All times are from the beginning of the run and never go back.
#[derive(Debug)]
pub(super) struct Tally {
    slices: Slices,
    present: Present,
    number: usize,
    open: Slice,
    thirds: Thirds,
}

impl Tally {
    /// Of a run that begins with these members.
    pub(super) fn new(slices: Slices, present: Present) -> Self {
        Self { slices, present, number: 0, open: Slice::new(), thirds: [BTreeMap::new(), BTreeMap::new()] }
    }

    /// A message came, and perhaps it is known how long it took. What comes after the last slice counts for nothing.
    pub(super) fn on_message(&mut self, at: Duration, latency: Option<Duration>) {
        self.advance(at);
        self.open.messages += 1;
        if let Some(latency) = latency {
            self.open.latencies.record(latency);
        }
    }

    /// From now on these are in the view.
    pub(super) fn on_view(&mut self, at: Duration, present: Present) {
        self.advance(at);
        self.open.mixed = true;
        self.present = present;
    }

    /// The thirds of a run that is over, which is to say that something came after its last slice.
    pub(super) fn into_thirds(self) -> Thirds {
        self.thirds
    }

    /// Ends the slices that are over.
    fn advance(&mut self, at: Duration) {
        let now = self.slices.number(at).min(PIECES * self.slices.per_piece);
        while self.number < now {
            let slice = mem::replace(&mut self.open, Slice::new());
            let piece = self.number / self.slices.per_piece;
            self.number += 1;
            if slice.mixed {
                continue;
            }
            if let Some(third) = THIRDS.iter().position(|third| third.contains(&piece)) {
                let alike = self.thirds[third].entry(self.present.clone()).or_insert_with(Alike::new);
                alike.add(piece, &slice);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tally(piece: Duration) -> Tally {
        Tally::new(Slices::of(piece), Present::all(3))
    }

    #[test]
    fn a_piece_has_slices_of_a_second_at_most() {
        let of = |millis| Slices::of(Duration::from_millis(millis));
        assert_eq!((of(2_500).per_piece, of(2_500).length), (3, Duration::from_nanos(833_333_333)));
        assert_eq!((of(1_000).per_piece, of(10).per_piece), (1, 1));
    }

    #[test]
    fn a_slice_in_which_the_view_changes_counts_for_nobody() {
        let mut tally = tally(SECOND);
        // Before the first third, in it, and after it.
        for (at, messages) in [(0, 7), (1, 5), (2, 6), (4, 8), (12, 9)] {
            if at == 2 {
                tally.on_view(SECOND * at, Present::all(2));
            }
            (0..messages).for_each(|_| tally.on_message(SECOND * at + SECOND / 2, None));
        }
        tally.on_message(SECOND * PIECES as u32, None);
        let [first, last] = tally.into_thirds();
        let found =
            |present| first.get(&present).map(|it: &Alike| it.messages_per_slice().collect::<Vec<_>>());
        assert_eq!(found(Present::all(3)), Some(vec![5.0]));
        // Nothing came in some, which belongs to those who were there.
        assert_eq!(found(Present::all(2)), Some([&[0.0, 8.0][..], &[0.0; 6]].concat()));
        assert_eq!(last.into_keys().collect::<Vec<_>>(), [Present::all(2)]);
    }

    #[test]
    fn how_long_messages_took_is_kept_with_their_slice() {
        let mut tally = tally(SECOND * 2);
        tally.on_message(SECOND * 3, Some(SECOND));
        tally.on_message(SECOND * 3, None);
        tally.on_view(SECOND * 4, Present::all(2));
        tally.on_message(SECOND * 4, Some(SECOND));
        tally.on_message(SECOND * 2 * PIECES as u32, None);
        let [first, _] = tally.into_thirds();
        let counts = first.into_values().map(|alike| (alike.latencies.count(), alike.slices()));
        // Of two members until the end of the third, of three until the fourth second.
        assert_eq!(counts.collect::<Vec<_>>(), [(0, 17), (1, 2)]);
    }

    #[test]
    fn who_votes_and_who_learns_is_counted() {
        let demoted = Present { learning: BTreeSet::from([NodeId::new(3)]), ..Present::all(2) };
        assert_eq!((Present::all(3).counts(), demoted.counts()), ((3, 0), (2, 1)));
    }
}
