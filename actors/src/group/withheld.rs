//! Events of the group that wait until a newcomer knows which publications came twice.
//!
//! A publication that comes again is dropped by all members, so none of them shows it. A newcomer tells
//! them apart only by the marks that others tell it, and what comes after a publication must not be shown
//! before it.

use std::collections::VecDeque;

use quorate_protocols::bus::{Admission, BoundGroup};

use super::GroupEvent;

/// What an event counts for beside its payload.
const EVENT_BYTES: usize = BoundGroup::<()>::ENTRY_BYTES;
/// Bytes of events that may wait.
const BYTES_MAX: usize = BoundGroup::<()>::WAITING_BYTES_MAX;

/// More waits than may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Overwhelmed;

/// Events that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    /// Each with whether it is a publication of which nobody knows yet whether it came before.
    events: VecDeque<(GroupEvent, bool)>,
    bytes: usize,
    /// Whether more has come than may wait: what follows is not shown either.
    overwhelmed: bool,
}

impl Withheld {
    /// Returns the event if it may be shown now; else it waits.
    ///
    /// # Errors
    /// [`Overwhelmed`], once: it is dropped with all that waits and all that follows.
    pub(crate) fn pass(
        &mut self,
        event: GroupEvent,
        in_doubt: bool,
    ) -> Result<Option<GroupEvent>, Overwhelmed> {
        if self.events.is_empty() && !in_doubt && !self.overwhelmed {
            return Ok(Some(event));
        }
        self.bytes = self.bytes.saturating_add(event.weight() + EVENT_BYTES);
        self.events.push_back((event, in_doubt));
        if self.bytes <= BYTES_MAX {
            return Ok(None);
        }
        self.events.clear();
        if std::mem::replace(&mut self.overwhelmed, true) { Ok(None) } else { Err(Overwhelmed) }
    }

    /// What was in doubt is decided, in the order in which it came: returns all that may be shown.
    pub(crate) fn release(&mut self, decided: impl IntoIterator<Item = Admission>) -> Vec<GroupEvent> {
        let mut decided = decided.into_iter();
        (self.bytes, self.overwhelmed) = (0, false);
        let shown = self.events.drain(..).filter(|(_, in_doubt)| {
            !in_doubt || decided.next().is_some_and(|admission| admission == Admission::New)
        });
        shown.map(|(event, _)| event).collect()
    }

    /// Nobody will decide any more, since this member is outside its group. All that waits is dropped: it
    /// may stop short of what others show, and must not leave out what is in between.
    pub(crate) fn drop_all(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_membership::{Incarnation, Member, NodeId, Seq, ViewId};
    use quorate_protocols::Event;

    use super::*;

    fn message(index: u32, bytes: usize) -> GroupEvent {
        let (view, seq, uniform) = (ViewId { lineage: 7, epoch: 2 }, Seq::new(1), true);
        let sender = Member::new(NodeId::new(2), Incarnation::new(1));
        let (head, payload) = (Bytes::new(), Bytes::from(vec![0; bytes]));
        GroupEvent::Event(Event::Message { view, sender, seq, index, uniform, head, payload })
    }

    #[test]
    fn what_is_in_doubt_holds_back_what_comes_after_it_and_is_shown_if_it_is_new() {
        let mut withheld = Withheld::default();
        assert_eq!(withheld.pass(message(0, 1), false), Ok(Some(message(0, 1))));
        for (index, in_doubt) in [(1, true), (2, false), (3, true), (4, true), (5, false)] {
            assert_eq!(withheld.pass(message(index, 1), in_doubt), Ok(None));
        }
        let decided = [Admission::Duplicate, Admission::New, Admission::Gap];
        let shown = [2, 3, 5].map(|index| message(index, 1));
        assert_eq!(withheld.release(decided), shown);
        assert_eq!(withheld.pass(message(6, 1), false), Ok(Some(message(6, 1))));
    }

    #[test]
    fn what_waits_is_bounded_and_dropped_together() {
        let mut withheld = Withheld::default();
        for index in 0..63 {
            assert_eq!(withheld.pass(message(index, 1 << 20), true), Ok(None));
        }
        assert_eq!(withheld.pass(message(63, 1 << 20), true), Err(Overwhelmed));
        assert_eq!(withheld.pass(message(63, 1), false), Ok(None), "it is not shown past what was dropped");
        withheld.drop_all();
        assert_eq!(withheld.pass(message(64, 1 << 20), true), Ok(None), "there is room again");
        assert_eq!(withheld.release([Admission::New]), [message(64, 1 << 20)]);
    }
}
