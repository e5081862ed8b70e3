//! A subscription at the user's end.

use std::{collections::BTreeMap, sync::Arc};

use actix::Recipient;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Position, Want};
use tokio::sync::oneshot;

use super::talk::Ask;
use crate::{
    bus::{Delivery, Local, Missed, SubscribeError, SubscribeOptions, Subscribed, Unsubscribe},
    queue::Feed,
};

/// Whom to tell that a subscription stands, and where it is ended.
type Waiting = (oneshot::Sender<Result<Subscribed, SubscribeError>>, Recipient<Unsubscribe>);

/// A subscription at the user's end: what it has got so far, so that it goes on at another node.
#[derive(Debug)]
pub(super) struct Reading {
    local: Local,
    options: SubscribeOptions,
    /// What was got of each group.
    after: BTreeMap<GroupId, Position>,
    /// Who waits for it to stand.
    done: Option<Waiting>,
    /// Messages that were handed over since room for more was told.
    handed_over: usize,
    /// Whether it stood at a node before, or its subscriber was told that it stands.
    stood: bool,
    /// Whether the node that is used now has answered.
    answered: bool,
    /// How often in succession nodes have refused it.
    refusals: u32,
    /// Whether something may be missed before it begins, which is still to be said.
    gap: bool,
    /// Where it began in the one group that it reads.
    began: Option<Position>,
    /// Who takes it over, and from which position on.
    heir: Option<(Position, oneshot::Sender<Handed>)>,
}

/// A subscription that somebody else takes over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    /// How far it has come, if that is known.
    pub(crate) seen: Option<Position>,
    /// Whether it had begun to read.
    pub(crate) stood: bool,
}

impl Reading {
    pub(super) fn new(
        want: Want,
        options: SubscribeOptions,
        feed: Arc<Feed<Delivery>>,
        after: Vec<(GroupId, Position)>,
        done: Option<Waiting>,
    ) -> Self {
        let local = Local::new(want, options.overflow, feed);
        let after: BTreeMap<_, _> = after.into_iter().collect();
        let began = after.values().next().copied();
        Self {
            local,
            options,
            after,
            done,
            handed_over: 0,
            stood: false,
            answered: false,
            refusals: 0,
            gap: false,
            began,
            heir: None,
        }
    }

    /// Somebody takes it over as soon as it has come to a position.
    pub(super) fn promise(&mut self, from: Position, heir: oneshot::Sender<Handed>) {
        self.heir = Some((from, heir));
    }

    /// Whether it has come so far that it can be taken over, or can get no further, or was promised to begin
    /// and has not.
    pub(super) fn is_due(&self, is_stuck: bool) -> bool {
        let Some((from, _)) = &self.heir else { return false };
        is_stuck || self.seen().map_or(!self.answered, |seen| from.is_after(seen) == Some(false))
    }

    fn seen(&self) -> Option<Position> {
        self.local.given().or(self.began)
    }

    /// Hands it over. What it has got and not given to its reader yet comes again.
    pub(super) fn hand_over(self) {
        let handed = Handed { seen: self.seen(), stood: self.stood };
        if let Some((_, heir)) = self.heir {
            // Whoever is gone gave the subscription up.
            let _ = heir.send(handed);
        }
    }

    /// What is asked of the next node.
    pub(super) fn ask(&mut self, id: u64) -> Ask {
        // What waits here already takes room as well; the next node counts anew.
        self.handed_over = 0;
        self.answered = false;
        let after = self.after.iter().map(|(group, position)| (*group, *position)).collect();
        // What was passed on meanwhile went to others.
        self.gap |= self.stood && self.after.is_empty();
        let (pattern, options) = (self.local.want.pattern.clone(), self.options.clone());
        Ask::Subscribe { id, pattern, options, again: self.stood, after }
    }

    /// Whether the node that is used now has answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.answered
    }

    /// The node has refused it, and is to be asked again; returns how often in succession that was so.
    pub(super) const fn refused(&mut self) -> u32 {
        self.refusals = self.refusals.saturating_add(1);
        self.refusals
    }

    /// It stands, or not; returns whether it goes on.
    pub(super) fn on_subscribed(
        &mut self,
        id: u64,
        result: Result<Vec<(GroupId, Position)>, SubscribeError>,
    ) -> bool {
        let goes_on = result.is_ok();
        (self.answered, self.refusals) = (true, 0);
        self.stood |= goes_on;
        if std::mem::take(&mut self.gap) && goes_on {
            self.local.feed.skip(Missed::UNKNOWN);
        }
        if let Ok(from) = &result {
            for (group, position) in from {
                self.after.entry(*group).or_insert(*position);
            }
            self.began = self.began.or_else(|| from.first().map(|(_, position)| *position));
        }
        if let Some((done, uplink)) = self.done.take() {
            drop(done.send(result.map(|from| Subscribed::new(id, from, uplink))));
        } else if let Err(error) = result {
            tracing::warn!(%error, pattern = %self.local.want.pattern, "a subscription ended");
        }
        goes_on
    }

    /// Answers the subscriber though no node in reach has answered: it stands as soon as one does, and is
    /// told then that it may have missed something, unless it goes on at a position.
    pub(super) fn stands_later(&mut self, id: u64) {
        if let Some((done, uplink)) = self.done.take() {
            self.stood = true;
            self.gap = self.after.is_empty();
            drop(done.send(Ok(Subscribed::new(id, Vec::new(), uplink))));
        }
    }

    /// A message has come; returns how much more room is to be told.
    pub(super) fn on_delivery(&mut self, delivery: Delivery, missed: u64) -> Option<u64> {
        if missed > 0 {
            self.local.feed.skip(missed);
        }
        if let Some((group, position)) = delivery.at {
            let last = self.after.insert(group, position);
            if last.is_some_and(|last| position.is_after(last) == Some(false)) {
                self.after.extend(last.map(|last| (group, last)));
                return self.room(1);
            }
        }
        let kept = self.local.give(delivery, None);
        self.room(usize::from(!kept))
    }

    /// The reader has made room; returns how much more is to be told.
    pub(super) fn pump(&mut self) -> Option<u64> {
        let count = self.local.pump();
        self.room(count)
    }

    fn room(&mut self, more: usize) -> Option<u64> {
        self.handed_over += more;
        let due = self.handed_over >= self.options.capacity.max(2) / 2;
        due.then(|| std::mem::take(&mut self.handed_over) as u64)
    }
}

#[cfg(test)]
mod tests;
