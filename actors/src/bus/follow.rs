//! Following a group through the bus: its views and messages, in its order, wherever one reads.
//!
//! A member that keeps a history of a group passes on what it delivers under subjects that nobody may
//! publish on, so that credit, positions and going on at another node are those of subscriptions.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use quorate_membership::{GroupId, Incarnation, Member, NodeId, View};
use quorate_protocols::bus::{Pattern, Position, SubjectError};

use super::{Delivery, Missed, Subscription};

/// The first word of the subjects of events.
const ROOT: &str = "_events.";
const VIEW: &str = "view";

/// One thing that happened in a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Followed {
    /// Its place in the group's order, which outlives the node at which it was read; that of a view is
    /// its beginning.
    pub at: Position,
    /// What it was.
    pub what: Happened,
    /// What of the group was missed just before it.
    pub missed: Option<Missed>,
}

/// What may happen in a group.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Happened {
    /// A view began.
    View(View),
    /// A message was delivered, be it a multicast or a publication on a bound subject.
    Message {
        /// The member that sent it.
        sender: Member,
        /// The message.
        payload: Bytes,
    },
}

/// The stream of a group's views and messages. Dropping it ends the interest. A slow reader holds up
/// nobody; it misses what the group's history no longer keeps, and is told so.
#[derive(Debug)]
pub struct Follower {
    subscription: Subscription,
    at: Option<Position>,
}

impl Follower {
    pub(super) const fn new(subscription: Subscription, at: Option<Position>) -> Self {
        Self { subscription, at }
    }

    /// How far it has come: whoever [follows](crate::Bus::follow) again from behind this position, at
    /// any node, misses nothing that is still kept.
    pub const fn position(&self) -> Option<Position> {
        self.at
    }

    /// Waits for the next event; `None` once the bus is stopped and all was read.
    pub async fn next(&mut self) -> Option<Followed> {
        StreamExt::next(self).await
    }
}

impl Stream for Follower {
    type Item = Followed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Followed>> {
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.subscription).poll_next(cx) else {
                return Poll::Pending;
            };
            let Some(delivery) = next else { return Poll::Ready(None) };
            if let Some(event) = read(delivery) {
                self.at = Some(event.at);
                return Poll::Ready(Some(event));
            }
            tracing::error!("a node told an event that no correct node tells");
        }
    }
}

/// Selects the events of a group.
pub(crate) fn events_of(group: GroupId) -> Result<Pattern, SubjectError> {
    format!("{ROOT}{:x}.>", group.get()).parse()
}

/// Whether a pattern selects the events of this group and nothing else.
pub(crate) fn follows(pattern: &Pattern, group: GroupId) -> bool {
    is_reserved(pattern.as_str()) && events_of(group).is_ok_and(|events| events == *pattern)
}

/// Whether the text of a subject or pattern belongs to events, so that nobody may publish on it.
pub(crate) fn is_reserved(text: &str) -> bool {
    text.starts_with(ROOT)
}

/// A view, as it is told to those who follow the group.
pub(crate) fn tell_view(group: GroupId, at: Position, view: &View) -> Option<Delivery> {
    let payload = rmp_serde::to_vec_named(view).ok()?.into();
    tell(group, at, VIEW, payload)
}

/// A message, as it is told to those who follow the group.
pub(crate) fn tell_message(group: GroupId, at: Position, sender: Member, payload: Bytes) -> Option<Delivery> {
    tell(group, at, &format!("message.{}.{}", sender.node.get(), sender.incarnation.get()), payload)
}

fn tell(group: GroupId, at: Position, what: &str, payload: Bytes) -> Option<Delivery> {
    let subject = format!("{ROOT}{:x}.{what}", group.get()).parse().ok()?;
    Some(Delivery { subject, payload, reply_to: None, at: Some((group, at)), missed: None })
}

fn read(delivery: Delivery) -> Option<Followed> {
    let Delivery { subject, payload, at, missed, .. } = delivery;
    let (_, what) = subject.as_str().strip_prefix(ROOT)?.split_once('.')?;
    let what = if what == VIEW {
        Happened::View(rmp_serde::from_slice(&payload).ok()?)
    } else {
        let (node, incarnation) = what.strip_prefix("message.")?.split_once('.')?;
        let node = NodeId::new(node.parse().ok()?);
        Happened::Message { sender: Member::new(node, Incarnation::new(incarnation.parse().ok()?)), payload }
    };
    Some(Followed { at: at?.1, what, missed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::{Change, ViewId};
    use quorate_protocols::bus::Subject;

    use super::*;

    proptest! {
        #[test]
        fn what_is_told_is_read(group: u64, node: u64, incarnation: u64, index: u64, payload: Vec<u8>) {
            let group = GroupId::new(group);
            let at = Position { view: ViewId { lineage: 7, epoch: 3 }, index };
            let sender = Member::new(NodeId::new(node), Incarnation::new(incarnation));
            let payload = Bytes::from(payload);
            let told = tell_message(group, at, sender, payload.clone()).unwrap();
            prop_assert!(events_of(group).unwrap().matches(&told.subject) && is_reserved(told.subject.as_str()));
            let what = Happened::Message { sender, payload };
            prop_assert_eq!(read(told), Some(Followed { at, what, missed: None }));
        }

        #[test]
        fn what_is_understood_is_what_could_have_been_told(
            root in prop_oneof![3 => Just(ROOT), 1 => Just("events."), 1 => Just("")],
            what in prop_oneof![
                "[a-z0-9.]{1,40}", "view", "message\\.[0-9]{1,25}(\\.[0-9+]{1,25}){0,2}", "[0-9a-f]{1,3}",
            ],
            placed: bool, payload: Vec<u8>,
        ) {
            let at = Position::beginning(ViewId { lineage: 7, epoch: 3 });
            let Ok(subject) = format!("{root}1.{what}").parse::<Subject>() else { return Ok(()) };
            let group = GroupId::new(1);
            let at_group = placed.then_some((group, at));
            let payload = Bytes::from(payload);
            let told = Delivery { subject, payload, reply_to: None, at: at_group, missed: None };
            if let Some(Followed { at: found, what, .. }) = read(told.clone()) {
                prop_assert!(placed && found == at && is_reserved(told.subject.as_str()));
                let again = match what {
                    Happened::View(view) => tell_view(group, at, &view).and_then(read).map(|it| it.what),
                    Happened::Message { sender, payload } => {
                        tell_message(group, at, sender, payload).and_then(read).map(|it| it.what)
                    }
                };
                prop_assert_eq!(read(told).map(|it| it.what), again);
            }
        }

        #[test]
        fn a_view_that_is_told_is_read_and_a_damaged_one_is_no_harm(
            members in prop::collection::vec(any::<[u64; 2]>(), 0..4),
            place in any::<prop::sample::Index>(), byte: u8,
        ) {
            let member = |[node, life]: [u64; 2]| Member::new(NodeId::new(node), Incarnation::new(life));
            let members: Vec<Member> = members.into_iter().map(member).collect();
            let changes = members.iter().map(|member| (*member, Change::Joined)).collect();
            let id = ViewId { lineage: 7, epoch: 3 };
            let (witnesses, learners, sides) = (members.clone(), Vec::new(), Vec::new());
            let view = View { id, members, witnesses, learners, changes, sides };
            let told = tell_view(GroupId::new(1), Position::beginning(id), &view).unwrap();
            prop_assert_eq!(read(told.clone()).map(|it| it.what), Some(Happened::View(view)));
            let mut bytes = told.payload.to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let damaged = read(Delivery { payload: bytes.into(), ..told });
            prop_assert!(damaged.is_none_or(|it| matches!(it.what, Happened::View(_))));
        }
    }

    #[test]
    fn the_events_of_a_group_are_those_of_no_other() {
        let events = events_of(GroupId::new(10)).unwrap();
        assert!(follows(&events, GroupId::new(10)));
        assert!(!follows(&events, GroupId::new(11)));
        assert!(!follows(&">".parse().unwrap(), GroupId::new(10)));
    }
}
