//! Whatever is delivered and told, members decide alike and nothing grows without bound.

use std::{collections::BTreeMap, ops::Bound};

use super::{
    tests::{id, member, own, view},
    *,
};
use proptest::prelude::*;

/// Something that a shell may do.
#[derive(Clone, Debug)]
enum Act {
    View { epoch: u64, members: Vec<u64>, joined: Vec<u64>, bytes: usize },
    Message { sender: u64, stamp: Option<(u64, [u64; 3])>, bytes: usize },
    Nonsense,
    Outside,
    Ask,
    Learn { from: u64, epoch: u64, stamps: Vec<(u64, [u64; 3])> },
    Fate { publisher: u64, number: u64, arrived: bool },
    Begin(Option<(u64, u64)>),
    Read,
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..5, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)]
}

fn stamps() -> impl Strategy<Value = (u64, [u64; 3])> {
    (1_u64..5, [number(), number(), number()])
}

fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0_usize..2000, 2 => 0_usize..(48 << 20), 1 => Just(1 << 40)]
}

fn nodes() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(1_u64..5, 0..4)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (number(), nodes(), nodes(), bytes())
            .prop_map(|(epoch, members, joined, bytes)| Act::View { epoch, members, joined, bytes }),
        8 => (1_u64..5, proptest::option::of(stamps()), bytes())
            .prop_map(|(sender, stamp, bytes)| Act::Message { sender, stamp, bytes }),
        1 => Just(Act::Nonsense),
        1 => Just(Act::Outside),
        2 => Just(Act::Ask),
        2 => (1_u64..5, number(), proptest::collection::vec(stamps(), 0..4))
            .prop_map(|(from, epoch, stamps)| Act::Learn { from, epoch, stamps }),
        2 => (1_u64..5, number(), any::<bool>())
            .prop_map(|(publisher, number, arrived)| Act::Fate { publisher, number, arrived }),
        1 => proptest::option::of((number(), number())).prop_map(Act::Begin),
        3 => Just(Act::Read),
    ]
}

fn stamp((publisher, [number, previous, settled]): (u64, [u64; 3])) -> Stamp {
    Stamp { publisher: PublisherId { member: member(publisher), session: 0 }, number, previous, settled }
}

proptest! {
    #[test]
    fn arbitrary_inputs_neither_panic_nor_make_it_keep_more_than_it_may(
        history_bytes in 0_usize..4000,
        acts in proptest::collection::vec(act(), 0..120),
    ) {
        let mut bound = BoundGroup::new(own(1), true, history_bytes);
        let (mut cursor, mut submitted) = (bound.begin(None), 0);
        for act in acts {
            match act {
                Act::View { epoch, members, joined, bytes } => {
                    bound.on_view(&view(epoch, &members, &joined), (), bytes);
                }
                Act::Message { sender, stamp: said, bytes } => {
                    submitted += usize::from(sender == 1);
                    bound.on_message(member(sender), said.map(stamp), (), bytes);
                }
                Act::Nonsense => bound.on_nonsense(),
                Act::Outside => bound.on_outside(),
                Act::Ask => drop(bound.ask()),
                Act::Learn { from, epoch, stamps } => {
                    let mut marks = Marks::default();
                    for said in stamps {
                        marks.admit(&stamp(said));
                    }
                    let _ = bound.learn(member(from), id(epoch), marks, |_, _| {});
                }
                Act::Fate { publisher, number, arrived } => {
                    let publisher = PublisherId { member: member(publisher), session: 0 };
                    bound.on_fate(Stamp { publisher, number, previous: 0, settled: 0 }, arrived);
                }
                Act::Begin(after) => {
                    cursor = bound.begin(after.map(|(epoch, index)| Position { view: id(epoch), index }));
                }
                Act::Read => {
                    if let Read::Entry(position, ()) = bound.read(&mut cursor) {
                        cursor.pass(position);
                    }
                }
            }
            let waiting = bound.newcomer.as_ref().map_or(0, Newcomer::waiting_bytes);
            prop_assert!(bound.history.is_within_bytes(), "I1");
            prop_assert!(waiting <= BoundGroup::<()>::WAITING_BYTES_MAX, "I2");
            prop_assert!(bound.snapshots.iter().all(|it| !it.newcomers.is_disjoint(&bound.present)), "I3");
            prop_assert!(bound.own.remembered() <= submitted);
        }
    }
}

/// What a group delivers, in its order.
#[derive(Clone, Debug)]
enum Delivered {
    View(View),
    Message(Member, Stamp),
}

/// A publisher that repeats what is not acknowledged whenever it changes nodes.
#[derive(Clone, Debug, Default)]
struct Publisher {
    last: u64,
    settled: u64,
}

/// Makes what a group delivers out of dice: publications in order, repetitions of those that are not
/// settled, overtaking ones, and views in which members come and go.
fn history(dice: &[(u8, u8)]) -> Vec<Delivered> {
    let mut members: Vec<u64> = vec![1, 2, 3];
    let mut epoch = 1;
    let mut all = vec![Delivered::View(view(1, &members, &[]))];
    let mut publishers: BTreeMap<u64, Publisher> = BTreeMap::new();
    for (kind, value) in dice {
        let pick = usize::from(*value);
        let who = 10 + u64::from(value % 3);
        match kind % 16 {
            0 if members.len() < 5 => {
                let news = (1..=6).find(|node| !members.contains(node)).unwrap_or(6);
                members.push(news);
                epoch += 1;
                all.push(Delivered::View(view(epoch, &members, &[news])));
            }
            1 if members.len() > 2 => {
                members.remove(pick % members.len());
                epoch += 1;
                all.push(Delivered::View(view(epoch, &members, &[])));
            }
            2 => drop(publishers.entry(who).and_modify(|it| it.settled = it.last)),
            other => {
                let publisher = publishers.entry(who).or_default();
                let number = match other {
                    3..6 => (publisher.settled + u64::from(value / 3 % 3) + 1).min(publisher.last + 2),
                    _ => publisher.last + 1,
                };
                let previous = number - 1;
                // What is not yet published passes only in its turn.
                if previous <= publisher.last {
                    publisher.last = publisher.last.max(number);
                }
                let settled = publisher.settled.min(previous);
                let publisher = PublisherId { member: member(who), session: 0 };
                let stamp = Stamp { publisher, number, previous, settled };
                let sender = member(members[pick % members.len()]);
                all.push(Delivered::Message(sender, stamp));
            }
        }
    }
    all
}

/// One member as it takes in what its group delivers.
struct Follower {
    node: u64,
    next: usize,
    /// Where it is no longer a member.
    end: usize,
    /// Whether it had to leave because nobody was left to tell it the marks.
    gave_up: bool,
    core: BoundGroup<()>,
    decided: BTreeMap<(u64, u64), Decision>,
}

impl Follower {
    fn new(node: u64, begin: usize, all: &[Delivered], history_bytes: usize) -> Self {
        let gone = |it: &Delivered| matches!(it, Delivered::View(v) if !v.members.contains(&member(node)));
        let end = all[begin..].iter().position(gone).map_or(all.len(), |after| begin + after);
        let core = BoundGroup::new(own(node), true, history_bytes);
        Self { node, next: begin, end, gave_up: false, core, decided: BTreeMap::new() }
    }

    /// Takes in what comes next, as far as it is a member.
    fn step(&mut self, all: &[Delivered], steps: usize) {
        let stop = self.end.min(self.next.saturating_add(steps));
        while self.next < stop && !self.gave_up {
            let delivered = &all[self.next];
            self.next += 1;
            let arrival = match delivered {
                Delivered::View(view) => self.core.on_view(view, (), 0),
                Delivered::Message(sender, stamp) => self.core.on_message(*sender, Some(*stamp), (), 0),
            };
            if let Arrival::Decided(decision) = arrival {
                self.note(decision);
            }
            self.gave_up = self.core.take_given_up();
        }
        if self.gave_up || self.next == self.end && self.end < all.len() {
            self.core.on_outside();
        }
    }

    fn note(&mut self, decision: Decision) {
        let Position { view, index } = decision.position;
        assert_eq!(self.decided.insert((view.epoch, index), decision), None, "decided twice");
    }
}

/// A newcomer asks a member; the answer comes at once, or never.
fn ask(followers: &mut [Follower], index: usize) {
    let core = &mut followers[index].core;
    let Some((view, asked)) = core.ask() else { return };
    // A liar is not believed, whatever it tells.
    let mut lies = Marks::default();
    lies.admit(&stamp((10, [5, 0, 0])));
    core.learn(member(99), view, lies, |_, _| {}).unwrap_err();
    let told = |it: &Follower| it.core.snapshot(view).filter(|_| it.node == asked.node.get()).cloned();
    let Some(marks) = followers.iter().find_map(told) else { return };
    let mut decisions = Vec::new();
    followers[index].core.learn(asked, view, marks, |decision, _| decisions.push(decision)).unwrap();
    for decision in decisions {
        followers[index].note(decision);
    }
}

/// Founders follow from the beginning, newcomers from their first view on.
fn followers(all: &[Delivered], history_bytes: usize) -> Vec<Follower> {
    let mut followers = Vec::new();
    for (at, delivered) in all.iter().enumerate() {
        let Delivered::View(view) = delivered else { continue };
        let founding = view.members.iter().filter(|_| at == 0);
        let joining = view.changes.iter().map(|(it, _)| it);
        let new = |it: &Member| Follower::new(it.node.get(), at, all, history_bytes);
        followers.extend(founding.chain(joining).map(new));
    }
    followers
}

/// Lets all come to their ends, side by side. Who has just learnt can tell the next one. Those who had to
/// leave are not in the views that follow.
fn finish(followers: &mut [Follower], all: &mut Vec<Delivered>) {
    loop {
        for index in (0..followers.len()).cycle().take(followers.len() * (all.len() + followers.len() * 5)) {
            followers[index].step(all, 1);
            ask(followers, index);
        }
        let views =
            all.iter().rev().filter_map(|it| if let Delivered::View(v) = it { Some(v) } else { None });
        let Some(last) = views.into_iter().next() else { return };
        let end = all.len();
        let stay =
            |it: &&mut Follower| it.end == end && !it.gave_up && last.members.contains(&member(it.node));
        let staying: Vec<&mut Follower> = followers.iter_mut().filter(stay).collect();
        let members: Vec<u64> = staying.iter().map(|it| it.node).collect();
        if members.len() == last.members.len() {
            return;
        }
        for it in staying {
            it.end += 1;
        }
        all.push(Delivered::View(view(last.id.epoch + 1, &members, &[])));
    }
}

proptest! {
    #[test]
    fn a_reader_that_goes_from_member_to_member_gets_all_once_and_in_order_or_is_told(
        dice in proptest::collection::vec(any::<(u8, u8)>(), 1..200),
        turns in proptest::collection::vec((any::<u8>(), 0_usize..20, any::<u8>(), 0_usize..20), 0..200),
        history_bytes in 0_usize..10_000,
    ) {
        let mut all = history(&dice);
        let mut followers = followers(&all, history_bytes);
        let mut reader: Option<(usize, Cursor)> = None;
        // The places of what it gets; none where it is told that something is missing.
        let mut got: Vec<Option<(u64, u64)>> = Vec::new();
        for (who, steps, goes, reads) in turns {
            let index = usize::from(who) % followers.len();
            followers[index].step(&all, steps);
            ask(&mut followers, index);
            if goes % 4 == 0 {
                let seen = reader.and_then(|(_, cursor)| cursor.seen());
                got.extend(seen.is_none().then_some(None));
                reader = Some((index, followers[index].core.begin(seen)));
            }
            let Some((at, cursor)) = &mut reader else { continue };
            for _ in 0..reads {
                match followers[*at].core.read(cursor) {
                    Read::Nothing => break,
                    Read::Missed { .. } => got.push(None),
                    Read::Entry(position, ()) => {
                        got.push(Some((position.view.epoch, position.index)));
                        cursor.pass(position);
                    }
                }
            }
        }
        finish(&mut followers, &mut all);
        let passes = |(at, it): (&(u64, u64), &Decision)| (it.admission == Admission::New).then_some(*at);
        let passed: BTreeSet<(u64, u64)> = followers.iter().flat_map(|it| it.decided.iter().filter_map(passes)).collect();
        prop_assert!(got.iter().flatten().all(|it| passed.contains(it)));
        for pair in got.windows(2) {
            let [Some(one), Some(next)] = pair else { continue };
            prop_assert_eq!(passed.range((Bound::Excluded(*one), Bound::Unbounded)).next(), Some(next));
        }
    }

    #[test]
    fn all_members_admit_the_same_publications_at_the_same_positions(
        dice in proptest::collection::vec(any::<(u8, u8)>(), 1..200),
        turns in proptest::collection::vec((any::<u8>(), 0_usize..20), 0..200),
    ) {
        let mut all = history(&dice);
        let mut followers = followers(&all, 1 << 30);
        for (who, steps) in turns {
            let index = usize::from(who) % followers.len();
            followers[index].step(&all, steps);
            ask(&mut followers, index);
        }
        finish(&mut followers, &mut all);
        let (mut first, mut passed) = (BTreeMap::new(), BTreeMap::new());
        for follower in &followers {
            prop_assert!(!follower.core.is_undecided());
            for (at, decision) in &follower.decided {
                prop_assert_eq!(first.entry(*at).or_insert(*decision), decision);
            }
        }
        let places: Vec<(u64, u64)> = first.keys().copied().collect();
        if !followers.iter().any(|it| it.gave_up) {
            prop_assert_eq!(places, self::places(&all));
        }
        for decision in first.into_values().filter(|it| it.admission == Admission::New) {
            let Some(stamp) = decision.stamp else { continue };
            let before = passed.insert(stamp.publisher, stamp.number).unwrap_or(0);
            prop_assert_eq!(stamp.number, before + 1, "once and in order");
        }
    }
}

/// The view and the index of each thing delivered.
fn places(all: &[Delivered]) -> Vec<(u64, u64)> {
    let mut at = (0, 0);
    let place = |it: &Delivered| {
        at = match it {
            Delivered::View(view) => (view.id.epoch, 0),
            Delivered::Message(..) => (at.0, at.1 + 1),
        };
        at
    };
    all.iter().map(place).collect()
}
