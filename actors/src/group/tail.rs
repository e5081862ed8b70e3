//! Reading what a group has delivered of late, at the reader's own pace.

use std::sync::Arc;

use bytes::Bytes;
use quorate_membership::{GroupId, Member, View};
use quorate_protocols::bus::{History, Pattern, Position, Subject};

use crate::{
    bus::{Delivery, Envelope, Overflow, is_reserved, tell_message, tell_view},
    queue::{Feed, Offer},
};

/// What an entry takes beside its texts and its payload: its fields, the counts of two shared texts, and
/// the slack of a queue that grows by doubling.
pub(super) const ENTRY_BYTES: usize = 256;
/// What one member or change of a view takes.
const MEMBER_BYTES: usize = 64;

/// Something that the group has delivered.
#[derive(Debug)]
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

    /// Bytes that it takes, with all that it costs to keep it.
    pub(super) fn weight(&self) -> usize {
        ENTRY_BYTES
            + match self {
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
    pub(super) feed: Arc<Feed<Delivery>>,
    cursor: u64,
    /// What lies up to here was seen at another node, which may have been ahead.
    after: Option<Position>,
}

impl Tail {
    pub(super) fn new(
        pattern: Pattern,
        overflow: Overflow,
        feed: Arc<Feed<Delivery>>,
        cursor: u64,
        after: Option<Position>,
    ) -> Self {
        let follows = is_reserved(pattern.as_str());
        Self { pattern, follows, overflow, feed, cursor, after }
    }

    /// Hands over what has come, as far as there is room. Returns whether anybody still reads.
    pub(super) fn pump(&mut self, group: GroupId, history: &History<Entry>) -> bool {
        loop {
            let (position, entry) = match history.get(self.cursor) {
                Err(dropped) => {
                    self.feed.skip(dropped);
                    self.cursor += dropped;
                    continue;
                }
                Ok(None) => return !self.feed.is_abandoned(),
                Ok(Some(next)) => next,
            };
            let seen = self.after.is_some_and(|after| position.is_after(after) == Some(false));
            let Some(delivery) = self.select(group, position, entry).filter(|_| !seen) else {
                self.cursor += 1;
                continue;
            };
            self.after = None;
            let weight = delivery.weight();
            match (self.feed.offer(delivery, weight), self.overflow) {
                (Offer::Taken, _) => {}
                (Offer::Full(_), Overflow::Skip) => self.feed.skip(1),
                // It goes on here when the reader has made room.
                (Offer::Full(_), Overflow::Buffer | Overflow::Backpressure) => return true,
                (Offer::Abandoned, _) => return false,
            }
            self.cursor += 1;
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
