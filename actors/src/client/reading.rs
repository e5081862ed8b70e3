//! A subscription at the user's end.

use std::{collections::BTreeMap, sync::Arc};

use quorate_membership::GroupId;
use quorate_protocols::bus::{Position, Want};
use tokio::sync::oneshot;

use super::talk::Ask;
use crate::{
    bus::{Delivery, Local, Missed, SubscribeError, SubscribeOptions, Subscribed},
    queue::Feed,
};

/// A subscription at the user's end: what it has got so far, so that it goes on at another node.
#[derive(Debug)]
pub(super) struct Reading {
    local: Local,
    options: SubscribeOptions,
    /// What was got of each group.
    after: BTreeMap<GroupId, Position>,
    /// Who waits for it to stand.
    done: Option<oneshot::Sender<Result<Subscribed, SubscribeError>>>,
    /// Messages that were handed over since room for more was told.
    handed_over: usize,
    /// Whether it stood at a node before.
    stood: bool,
}

impl Reading {
    pub(super) fn new(
        want: Want,
        options: SubscribeOptions,
        feed: Arc<Feed<Delivery>>,
        after: Vec<(GroupId, Position)>,
        done: oneshot::Sender<Result<Subscribed, SubscribeError>>,
    ) -> Self {
        let local = Local::new(want, options.overflow, feed);
        let after = after.into_iter().collect();
        Self { local, options, after, done: Some(done), handed_over: 0, stood: false }
    }

    /// What is asked of the next node.
    pub(super) fn ask(&mut self, id: u64) -> Ask {
        // What waits here already takes room as well; the next node counts anew.
        self.handed_over = 0;
        let after = self.after.iter().map(|(group, position)| (*group, *position)).collect();
        if self.stood && self.after.is_empty() {
            // What was passed on meanwhile went to others.
            self.local.feed.skip(Missed::UNKNOWN);
        }
        let (pattern, options) = (self.local.want.pattern.clone(), self.options.clone());
        Ask::Subscribe { id, pattern, options, again: self.stood, after }
    }

    /// It stands, or not; returns whether it goes on.
    pub(super) fn on_subscribed(
        &mut self,
        id: u64,
        result: Result<Vec<(GroupId, Position)>, SubscribeError>,
    ) -> bool {
        let goes_on = result.is_ok();
        self.stood |= goes_on;
        if let Ok(from) = &result {
            for (group, position) in from {
                self.after.entry(*group).or_insert(*position);
            }
        }
        if let Some(done) = self.done.take() {
            // Whoever gave up unsubscribes by dropping the reader.
            let _ = done.send(result.map(|from| Subscribed { id, from }));
        } else if let Err(error) = result {
            tracing::warn!(%error, pattern = %self.local.want.pattern, "a subscription ended");
        }
        goes_on
    }

    /// Answers the subscriber though no node is in reach: it stands as soon as one is.
    pub(super) fn stands_later(&mut self, id: u64) {
        if let Some(done) = self.done.take() {
            let _ = done.send(Ok(Subscribed { id, from: Vec::new() }));
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
