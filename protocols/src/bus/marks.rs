//! Dropping what a publisher sends twice.

use std::collections::BTreeMap;

use quorate_membership::Member;
use serde::{Deserialize, Serialize};

use super::BusBreach;

/// One session of somebody who publishes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct PublisherId {
    /// The node or client, in its present life.
    pub member: Member,
    /// Tells the sessions of one life apart.
    pub session: u64,
}

/// What a publisher writes on each message to a group.
///
/// It numbers its messages upwards, sends them in order, and sends all that are not acknowledged
/// again, in order, when it changes to another node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// Who publishes.
    pub publisher: PublisherId,
    /// The number of this message.
    pub number: u64,
    /// The number of the publisher's message to this group before this one; zero if none.
    pub previous: u64,
    /// All numbers up to this one have been acknowledged to the publisher.
    pub settled: u64,
}

impl Stamp {
    /// The same as it is written once all up to `number` have passed: it says so of what is before it.
    #[must_use]
    pub fn settled_through(self, number: u64) -> Self {
        let before = number.min(self.number.saturating_sub(1));
        Self { settled: self.settled.max(before), ..self }
    }
}

/// What is to become of a message that the group delivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It goes to the subscribers.
    New,
    /// It was delivered before: drop it, and acknowledge it.
    Duplicate,
    /// One before it is missing: drop it; its publisher's node sends it again.
    Gap,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Mark {
    through: u64,
    touched: u64,
}

/// Why what a peer tells as marks is refused: no member has such marks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MarksError {
    /// More publishers than anybody keeps in mind.
    #[error("marks of {0} publishers: nobody keeps more than {max} in mind", max = Marks::PUBLISHERS_MAX)]
    TooMany(usize),
    /// Publishers that cannot have published at the places where they are said to have.
    #[error("marks that contradict themselves about when publishers were heard")]
    Impossible,
}

/// Marks as they travel.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    publishers: BTreeMap<PublisherId, Mark>,
    delivered: u64,
}

/// How far each publisher has come, as a function of what the group has delivered.
///
/// All members deliver the same messages in the same order, so all of them drop the same ones. A
/// newcomer takes the marks over from a member as they were at the beginning of its first view.
///
/// Each publisher's messages pass exactly once and in its order: a message passes only if all
/// before it have passed or were acknowledged. A publisher that was forgotten, because
/// [`Self::PUBLISHERS_MAX`] others have published since, goes on where it was acknowledged; only
/// what it had in flight may then pass twice.
///
/// Invariant: (I1) `by_age` names each publisher once, at the place where it was heard last.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Told", into = "Told")]
pub struct Marks {
    publishers: BTreeMap<PublisherId, Mark>,
    by_age: BTreeMap<u64, PublisherId>,
    delivered: u64,
    breach: Option<BusBreach>,
}

impl Marks {
    /// How many publishers are kept in mind; the one silent for longest is forgotten.
    pub const PUBLISHERS_MAX: usize = 16_384;

    /// The same with a rule broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_breach(mut self, breach: Option<BusBreach>) -> Self {
        self.breach = breach;
        self
    }

    /// The last number of a publisher that has passed; zero if none is known.
    pub(super) fn through(&self, publisher: PublisherId) -> u64 {
        self.publishers.get(&publisher).map_or(0, |mark| mark.through)
    }

    /// Decides about the next message that the group delivers.
    pub fn admit(&mut self, stamp: &Stamp) -> Admission {
        let known = self.publishers.get(&stamp.publisher).copied();
        let through = self.through(stamp.publisher).max(stamp.settled);
        let admission = if stamp.number <= through && self.breach != Some(BusBreach::RepetitionPasses) {
            Admission::Duplicate
        } else if stamp.previous > through && self.breach != Some(BusBreach::GapPasses) {
            Admission::Gap
        } else {
            Admission::New
        };
        let through = if admission == Admission::New { stamp.number } else { through };
        self.delivered += 1;
        let mark = Mark { through, touched: self.delivered };
        if let Some(known) = known {
            self.by_age.remove(&known.touched);
        }
        self.publishers.insert(stamp.publisher, mark);
        self.by_age.insert(mark.touched, stamp.publisher);
        while self.publishers.len() > Self::PUBLISHERS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.publishers.remove(&oldest);
        }
        admission
    }
}

impl From<Marks> for Told {
    fn from(Marks { publishers, delivered, .. }: Marks) -> Self {
        Self { publishers, delivered }
    }
}

impl TryFrom<Told> for Marks {
    type Error = MarksError;

    fn try_from(Told { publishers, delivered }: Told) -> Result<Self, MarksError> {
        if publishers.len() > Self::PUBLISHERS_MAX {
            return Err(MarksError::TooMany(publishers.len()));
        }
        let by_age: BTreeMap<u64, PublisherId> =
            publishers.iter().map(|(publisher, mark)| (mark.touched, *publisher)).collect();
        let latest = by_age.last_key_value().map_or(0, |(touched, _)| *touched);
        // No group delivers half of all numbers, so counting on from there is safe.
        if by_age.len() != publishers.len() || latest > delivered || delivered > u64::MAX / 2 {
            return Err(MarksError::Impossible);
        }
        Ok(Self { publishers, by_age, delivered, breach: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::{Incarnation, NodeId};

    use super::*;

    fn stamp(publisher: u64, number: u64, previous: u64, settled: u64) -> Stamp {
        let member = Member::new(NodeId::new(publisher), Incarnation::new(1));
        Stamp { publisher: PublisherId { member, session: 0 }, number, previous, settled }
    }

    #[test]
    fn each_message_passes_once_and_in_order_when_a_publisher_changes_nodes_in_mid_flight() {
        let mut marks = Marks::default();
        // Through one node up to 5; 4 and 5 stay unacknowledged and come again through another,
        // whose messages are ordered between those of the first.
        let order = [(1, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 1), (4, 3, 3), (5, 4, 3), (5, 4, 3), (6, 5, 3)];
        let passed = order.iter().filter(|(number, previous, settled)| {
            marks.admit(&stamp(1, *number, *previous, *settled)) == Admission::New
        });
        assert_eq!(passed.map(|m| m.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_message_that_overtook_another_waits_for_its_repetition() {
        let mut marks = Marks::default();
        assert_eq!(marks.admit(&stamp(1, 1, 0, 0)), Admission::New);
        assert_eq!(marks.admit(&stamp(1, 3, 2, 0)), Admission::Gap);
        assert_eq!(marks.admit(&stamp(1, 2, 1, 0)), Admission::New);
        assert_eq!(marks.admit(&stamp(1, 3, 2, 0)), Admission::New);
    }

    #[test]
    fn numbers_given_to_other_groups_are_no_gap() {
        let mut marks = Marks::default();
        assert_eq!(marks.admit(&stamp(1, 7, 0, 4)), Admission::New);
        assert_eq!(marks.admit(&stamp(1, 12, 7, 4)), Admission::New);
        // After a change of nodes the other one knows only what was acknowledged.
        assert_eq!(marks.admit(&stamp(1, 12, 11, 11)), Admission::Duplicate);
        assert_eq!(marks.admit(&stamp(1, 14, 11, 11)), Admission::New);
    }

    #[test]
    fn the_publisher_silent_for_longest_is_forgotten_and_goes_on_where_it_was_acknowledged() {
        let mut marks = Marks::default();
        marks.admit(&stamp(0, 1, 0, 0));
        for publisher in 1..=Marks::PUBLISHERS_MAX as u64 {
            marks.admit(&stamp(publisher, 1, 0, 0));
        }
        assert_eq!(marks.publishers.len(), Marks::PUBLISHERS_MAX);
        assert_eq!(marks.admit(&stamp(0, 2, 1, 1)), Admission::New);
    }

    /// What somebody may tell: publishers with how far they came and when they were heard.
    fn told(delivered: u64, publishers: &[(u64, u64, u64)]) -> Vec<u8> {
        let publishers = publishers.iter().map(|(publisher, through, touched)| {
            (stamp(*publisher, 1, 0, 0).publisher, Mark { through: *through, touched: *touched })
        });
        rmp_serde::to_vec(&Told { publishers: publishers.collect(), delivered }).unwrap()
    }

    proptest! {
        #[test]
        fn marks_that_were_told_are_believed_only_if_some_member_may_have_them(
            delivered in prop_oneof![0_u64..6, Just(u64::MAX)],
            publishers in proptest::collection::vec((0_u64..4, any::<u64>(), 0_u64..6), 0..5),
            stamps in proptest::collection::vec((0_u64..5, any::<[u64; 3]>()), 0..8),
        ) {
            let Ok(mut marks) = rmp_serde::from_slice::<Marks>(&told(delivered, &publishers)) else { return Ok(()) };
            let again: Marks = rmp_serde::from_slice(&rmp_serde::to_vec(&marks).unwrap()).unwrap();
            prop_assert_eq!(&again, &marks);
            for (publisher, [number, previous, settled]) in stamps {
                marks.admit(&stamp(publisher, number, previous, settled));
                prop_assert_eq!(marks.by_age.len(), marks.publishers.len(), "I1");
            }
        }
    }

    #[test]
    fn marks_that_nobody_can_have_are_refused() {
        for (delivered, publishers) in
            [(2, vec![(1, 7, 3)]), (9, vec![(1, 7, 3), (2, 7, 3)]), (u64::MAX, vec![(1, 7, 3)])]
        {
            assert!(rmp_serde::from_slice::<Marks>(&told(delivered, &publishers)).is_err(), "{publishers:?}");
        }
        let many: Vec<_> = (0..=Marks::PUBLISHERS_MAX as u64).map(|it| (it, 1, it)).collect();
        assert!(rmp_serde::from_slice::<Marks>(&told(1 << 20, &many)).is_err());
        assert!(rmp_serde::from_slice::<Marks>(&told(1 << 20, &many[1..])).is_ok());
    }
}
