//! Reading what a group has delivered of late, at the reader's own pace.

use std::sync::Arc;

use bytes::Bytes;
use quorate_membership::{GroupId, Member, View};
use quorate_protocols::bus::{BoundGroup, Cursor, Pattern, Position, Read, Subject};
use tokio::sync::oneshot;

use crate::{
    bus::{Delivery, Envelope, Missed, Overflow, is_reserved, tell_message, tell_view},
    queue::{Feed, Offer},
};

/// What one member or change of a view takes.
const MEMBER_BYTES: usize = 64;

/// Something that the group has delivered.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    View(View),
    Message {
        sender: Member,
        /// The subject on which it was published and where an answer is expected, unless it was sent to
        /// the group itself.
        published: Option<(Subject, Option<Subject>)>,
        payload: Bytes,
    },
}

impl Entry {
    pub(super) fn published(sender: Member, envelope: Envelope, payload: Bytes) -> Self {
        let Envelope { subject, reply_to, .. } = envelope;
        Self::Message { sender, published: Some((subject, reply_to)), payload }
    }

    /// Bytes that it takes beside its fields.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::View(view) => (view.participants().count() + view.changes.len()) * MEMBER_BYTES,
            Self::Message { published, payload, .. } => {
                let (subject, reply_to) =
                    published.as_ref().map_or((None, None), |(subject, to)| (Some(subject), to.as_ref()));
                let text = |subject: &Subject| subject.as_str().len();
                payload.len() + subject.map_or(0, text) + reply_to.map_or(0, text)
            }
        }
    }
}

/// A subscriber that reads the history.
#[derive(Debug)]
pub(super) struct Tail {
    pattern: Pattern,
    /// Whether it follows the group itself instead of subjects.
    follows: bool,
    overflow: Overflow,
    feed: Arc<Feed<Delivery>>,
    cursor: Cursor,
    /// Who takes it over.
    heir: Option<oneshot::Sender<Position>>,
}

impl Tail {
    pub(super) fn new(
        pattern: Pattern,
        overflow: Overflow,
        feed: Arc<Feed<Delivery>>,
        cursor: Cursor,
    ) -> Self {
        let follows = is_reserved(pattern.as_str());
        Self { pattern, follows, overflow, feed, cursor, heir: None }
    }

    /// How far it has come.
    pub(super) const fn seen(&self) -> Option<Position> {
        self.cursor.seen()
    }

    /// Somebody takes it over, should it be ended here.
    pub(super) fn promise(&mut self, heir: oneshot::Sender<Position>) {
        self.heir = Some(heir);
    }

    /// Hands it over. How far it has come is returned if nobody is there yet to take it over.
    pub(super) fn end(self) -> Option<Position> {
        let seen = self.seen()?;
        match self.heir {
            Some(heir) => {
                // Whoever is gone gave the subscriber up.
                let _ = heir.send(seen);
                None
            }
            None => Some(seen),
        }
    }

    /// Hands over what has come, as far as there is room. Returns whether anybody still reads.
    pub(super) fn pump(&mut self, group: GroupId, core: &BoundGroup<Entry>) -> bool {
        loop {
            let (position, entry) = match core.read(&mut self.cursor) {
                Read::Nothing => return !self.feed.is_abandoned(),
                Read::Missed { entries, others } => {
                    self.feed.skip(if others { Missed::UNKNOWN } else { entries });
                    continue;
                }
                Read::Entry(position, entry) => (position, entry),
            };
            let Some(delivery) = self.select(group, position, entry) else {
                self.cursor.pass(position);
                continue;
            };
            let weight = delivery.weight();
            match (self.feed.offer(delivery, weight), self.overflow) {
                (Offer::Taken, _) => {}
                (Offer::Full(_), Overflow::Skip) => self.feed.skip(1),
                // It goes on here when the reader has made room.
                (Offer::Full(_), Overflow::Buffer | Overflow::Backpressure) => return true,
                (Offer::Abandoned, _) => return false,
            }
            self.cursor.pass(position);
        }
    }

    /// What the reader gets of an entry, if it is for it.
    fn select(&self, group: GroupId, position: Position, entry: &Entry) -> Option<Delivery> {
        match entry {
            Entry::View(view) if self.follows => tell_view(group, position, view),
            Entry::Message { sender, payload, .. } if self.follows => {
                tell_message(group, position, *sender, payload.clone())
            }
            Entry::Message { published: Some((subject, reply_to)), payload, .. }
                if self.pattern.matches(subject) =>
            {
                let (subject, reply_to) = (subject.clone(), reply_to.clone());
                let at = Some((group, position));
                Some(Delivery { subject, payload: payload.clone(), reply_to, at, missed: None })
            }
            _ => None,
        }
    }
}
