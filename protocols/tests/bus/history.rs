//! What is kept of a group, beside a list of everything that it has delivered.

use proptest::prelude::*;
use quorate_membership::ViewId;
use quorate_protocols::bus::{History, Position};

#[derive(Clone, Debug)]
enum Step {
    /// The next view of the lineage follows without a gap.
    Next,
    /// One comes after a gap, perhaps of another lineage.
    Anew { founded: bool },
    /// Messages are delivered; who is interested in one keeps it with so many bytes.
    Deliver(Option<usize>),
    /// A reader comes.
    Read(Position),
}

fn positions() -> impl Strategy<Value = Position> {
    (1..4_u64, 1..8_u64, 0..8_u64)
        .prop_map(|(lineage, epoch, index)| Position { view: ViewId { lineage, epoch }, index })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Next),
        1 => prop::bool::weighted(0.3).prop_map(|founded| Step::Anew { founded }),
        8 => prop::option::weighted(0.7, 0..40_usize).prop_map(Step::Deliver),
        6 => positions().prop_map(Step::Read),
    ];
    prop::collection::vec(step, 0..80)
}

/// Everything that was delivered since the last gap.
#[derive(Default)]
struct Naive {
    begin: Option<Position>,
    last: Option<Position>,
    kept: Vec<(Position, u64, usize)>,
    /// Entries of before the gap, and those of it that have gone.
    before: u64,
    gone: usize,
}

impl Naive {
    fn is_later(position: Position, other: Position) -> bool {
        position.is_after(other) == Some(true)
    }

    /// Drops the oldest until the rest fits or is alone.
    fn shrink(&mut self, bytes_max: usize) {
        let bytes = |kept: &[(Position, u64, usize)]| kept.iter().map(|(.., bytes)| bytes).sum::<usize>();
        while bytes(&self.kept[self.gone..]) > bytes_max && self.kept.len() - self.gone > 1 {
            self.gone += 1;
        }
    }

    /// What a reader lacks, and whether all of it is still there.
    fn after(&self, position: Position) -> (Vec<u64>, bool) {
        let lacks: Vec<_> = self.kept.iter().filter(|(at, ..)| Self::is_later(*at, position)).collect();
        let known = self.begin.is_some_and(|begin| begin.is_after(position) == Some(false));
        let gone = self.kept[..self.gone].iter().any(|(at, ..)| Self::is_later(*at, position));
        (lacks.into_iter().map(|(_, entry, _)| *entry).collect(), known && !gone)
    }
}

proptest! {
    #[test]
    fn a_reader_gets_exactly_what_it_lacks_or_hears_that_some_of_it_is_gone(
        bytes_max in 0..120_usize, steps in steps(),
    ) {
        let mut history = History::new(bytes_max);
        let mut naive = Naive::default();
        let mut view = ViewId { lineage: 1, epoch: 0 };
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Next => {
                    view.epoch += 1;
                    history.begin_view(view);
                    naive.last = Some(Position::beginning(view));
                    naive.begin = naive.begin.or(naive.last);
                }
                Step::Anew { founded } => {
                    view = if founded {
                        ViewId { lineage: view.lineage + 1, epoch: 1 }
                    } else {
                        ViewId { epoch: view.epoch + 2, ..view }
                    };
                    history.begin_anew(view);
                    let begin = Some(Position::beginning(view));
                    let before = naive.before + naive.kept.len() as u64;
                    naive = Naive { begin, last: begin, before, ..Naive::default() };
                }
                Step::Deliver(bytes) => {
                    let next = naive.last.map(|last| Position { index: last.index + 1, ..last });
                    prop_assert_eq!(history.advance(), next);
                    naive.last = next;
                    if let Some((position, bytes)) = next.zip(bytes) {
                        history.keep_at(position, number, bytes);
                        naive.kept.push((position, number, bytes));
                        naive.shrink(bytes_max);
                    }
                }
                Step::Read(position) => {
                    let found = history.after(position);
                    let (lacks, whole) = naive.after(position);
                    prop_assert_eq!(found.gap, !whole, "at {}", position);
                    let read: Vec<u64> = (found.cursor..history.end())
                        .map(|cursor| history.get(cursor).map(|entry| *entry.expect("before the end").1))
                        .collect::<Result<_, _>>().expect("a cursor that was found is kept");
                    let left = naive.kept[naive.gone..].iter().map(|(_, entry, _)| *entry);
                    prop_assert_eq!(read, if whole { lacks } else { left.collect() });
                }
            }
            prop_assert_eq!(history.last(), naive.last);
            prop_assert_eq!(history.end(), naive.before + naive.kept.len() as u64);
            let first = naive.before + naive.gone as u64;
            for cursor in 0..first {
                prop_assert_eq!(history.get(cursor), Err(first - cursor));
            }
            prop_assert_eq!(history.get(history.end()), Ok(None));
        }
    }
}
