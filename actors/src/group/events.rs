//! What happens in a group, as one stream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use quorate_membership::{Member, Time};
use quorate_protocols::{Event, Messages};

use super::{GroupState, SnapshotRequest};
use crate::queue::{Feed, Offer, Offered, Reader, Slot, queue};

/// One thing that happened in a group.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A view, a message, or a change in this member's standing. Messages come one by one, never as
    /// [`Event::Messages`].
    Event(Event),
    /// Newcomers need the state of the application: answer with what it is now, before the events that
    /// follow. Only for those who [keep it](crate::Node::join_with_state).
    Snapshot(SnapshotRequest),
    /// This member is a newcomer, and this is the state of the group: it takes the place of whatever
    /// the application has. The views and messages that follow go on from there. Only for those who
    /// [keep it](crate::Node::join_with_state).
    Restore(GroupState),
    /// A member has held the others back for half of the time that the group's limits allow.
    Lagging {
        /// The member.
        member: Member,
        /// Bytes that a majority of the others has and it lacks.
        bytes: usize,
        /// For how long it has lagged.
        lags_for: Duration,
        /// When the group's policy for slow members acts, which the changes of the next view tell;
        /// `None` if the others wait for it however long it takes.
        policy_acts_in: Option<Duration>,
    },
    /// A member that was lagging has made up for it.
    CaughtUp {
        /// The member.
        member: Member,
    },
    /// The reader was too slow: so many events are missing here.
    Missed(u64),
}

impl GroupEvent {
    /// What the core tells, with spans in place of moments that only this node's clock knows.
    pub(crate) fn of(event: Event, now: impl FnOnce() -> Time) -> Self {
        match event {
            Event::Lagging { member, bytes, since, policy_acts_at } => {
                let now = now();
                let (lags_for, policy_acts_in) = (now.since(since), policy_acts_at.map(|at| at.since(now)));
                Self::Lagging { member, bytes, lags_for, policy_acts_in }
            }
            Event::CaughtUp { member } => Self::CaughtUp { member },
            other => Self::Event(other),
        }
    }

    /// Bytes that it occupies in a queue.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Event(
                Event::Message { payload, .. }
                | Event::Direct { payload, .. }
                | Event::Request { payload, .. },
            ) => payload.len(),
            _ => 0,
        }
    }
}

/// What readers are shown at once: one event, or messages of which each is one.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    One(GroupEvent),
    Many(Messages),
}

impl Shown {
    /// The events, one by one.
    pub(crate) fn each(self) -> impl Iterator<Item = GroupEvent> {
        let (one, many) = match self {
            Self::One(event) => (Some(event), None),
            Self::Many(messages) => (None, Some(messages)),
        };
        let each = many.into_iter().flat_map(|messages| Event::Messages(messages).each());
        one.into_iter().chain(each.map(GroupEvent::Event))
    }
}

/// How somebody reads a group's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventOptions {
    /// Events that may wait for the reader. Default 65,536: a group that goes on after a wait delivers
    /// at once what has gathered, and a prompt reader must not miss it. The messages of the frame that it is reading
    /// do not count.
    pub capacity: usize,
    /// Bytes of messages that may wait for the reader, besides one that alone is larger. Default
    /// 64 MiB: eight members' windows of the default size. Below the windows of all members together
    /// a prompt reader may miss events.
    pub bytes: usize,
    /// What happens when the reader falls further behind. It never holds up the group.
    pub behind: Behind,
}

/// What happens to a reader of events that falls behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Behind {
    /// It misses events and is told how many.
    #[default]
    Skip,
    /// Its stream ends, for readers that cannot go on with a gap.
    End,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self { capacity: 65_536, bytes: 64 << 20, behind: Behind::Skip }
    }
}

/// The stream of a group's events. Dropping it ends the interest.
#[derive(Debug)]
pub struct GroupEvents {
    reader: Reader<Shown>,
    /// Messages that were taken out together, and the place of the next.
    rest: Option<(Messages, u32)>,
}

impl GroupEvents {
    /// Waits for the next event; `None` once the group is stopped here and all was read.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        StreamExt::next(self).await
    }
}

impl Stream for GroupEvents {
    type Item = GroupEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GroupEvent>> {
        if self.rest.is_none() {
            let Some(slot) = ready!(Pin::new(&mut self.reader).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            match slot {
                Slot::Item(Shown::One(event)) => return Poll::Ready(Some(event)),
                Slot::Missed(count) => return Poll::Ready(Some(GroupEvent::Missed(count))),
                Slot::Item(Shown::Many(messages)) => self.rest = Some((messages, 0)),
            }
        }
        let Some((messages, place)) = &mut self.rest else { return Poll::Ready(None) };
        let event = GroupEvent::Event(messages.at(*place));
        *place += 1;
        if *place as usize == messages.batch.len() {
            self.rest = None;
        }
        Poll::Ready(Some(event))
    }
}

/// The group's end of a reader.
#[derive(Debug)]
pub(crate) struct EventFeed {
    feed: Feed<Shown>,
    behind: Behind,
}

pub(crate) fn reader(options: EventOptions) -> (EventFeed, GroupEvents) {
    let (feed, reader) = queue(options.capacity, options.bytes);
    (EventFeed { feed, behind: options.behind }, stream(reader))
}

pub(crate) const fn stream(reader: Reader<Shown>) -> GroupEvents {
    GroupEvents { reader, rest: None }
}

impl EventFeed {
    /// Returns whether the reader goes on.
    pub(crate) fn tell_all(&self, shown: impl IntoIterator<Item = Shown>) -> bool {
        let mut shown = shown.into_iter().peekable();
        while let Some(next) = shown.next() {
            let goes_on = match next {
                Shown::Many(messages) => self.tell_many(messages),
                one @ Shown::One(_) => {
                    let others = std::iter::from_fn(|| shown.next_if(|it| matches!(it, Shown::One(_))));
                    self.tell_each(std::iter::once(one).chain(others).flat_map(Shown::each))
                }
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// If there is no room for all of them, as many as there is room for.
    fn tell_many(&self, messages: Messages) -> bool {
        let bytes = messages.batch.iter().map(Bytes::len).sum();
        let count = messages.batch.len();
        match self.feed.offer_many(Shown::Many(messages), count, bytes) {
            Offer::Taken => true,
            Offer::Full(messages) => self.tell_each(messages.each()),
            Offer::Abandoned => false,
        }
    }

    fn tell_each(&self, events: impl Iterator<Item = GroupEvent>) -> bool {
        let weighed = events.map(|event| {
            let weight = event.weight();
            (Shown::One(event), weight)
        });
        let Offered { left_out, goes_on } = self.feed.offer_all(weighed, self.behind == Behind::Skip);
        if left_out > 0 {
            metrics::counter!("quorate_group_events_missed_total").increment(left_out);
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, NodeId};

    use super::*;

    #[test]
    fn a_member_that_lags_is_reported_in_spans_of_time() {
        let member = Member::new(NodeId::new(3), Incarnation::new(1));
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        let event = Event::Lagging { member, bytes: 7, since: at(100), policy_acts_at: Some(at(900)) };
        let told = GroupEvent::of(event, || at(400));
        let (lags_for, policy_acts_in) = (Duration::from_millis(300), Some(Duration::from_millis(500)));
        assert_eq!(told, GroupEvent::Lagging { member, bytes: 7, lags_for, policy_acts_in });
    }
}
