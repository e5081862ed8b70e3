//! What the applications of a run saw, for tests that look at it afterwards.

use std::collections::BTreeSet;

use quorate_membership::{Member, NodeId, Time, View, ViewId};
use quorate_protocols::Event;

/// One event at one member.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Time,
    /// The step of the group's core that it came from; what a view change delivers and the view
    /// itself come from one step.
    pub step: u64,
    /// Who saw it.
    pub by: Member,
    /// What.
    pub event: Event,
}

/// All events of a run in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Vec<Seen>,
    skips_messages: bool,
}

impl History {
    pub(crate) fn without_messages() -> Self {
        Self { skips_messages: true, ..Self::default() }
    }

    pub(crate) fn note(&mut self, seen: Seen) {
        if !(self.skips_messages && matches!(seen.event, Event::Message { .. })) {
            self.events.push(seen);
        }
    }

    /// Everything that anybody saw.
    pub fn all(&self) -> &[Seen] {
        &self.events
    }

    /// What this node saw from one moment up to another, in all of its lives.
    pub fn of(&self, node: NodeId, from: Time, to: Time) -> impl Iterator<Item = &Seen> {
        self.events.iter().filter(move |seen| seen.by.node == node && seen.at >= from && seen.at < to)
    }

    /// The views that this node entered from one moment up to another.
    pub fn views_of(&self, node: NodeId, from: Time, to: Time) -> Vec<View> {
        let entered = self.of(node, from, to).filter_map(|seen| match &seen.event {
            Event::View(view) => Some((**view).clone()),
            _ => None,
        });
        entered.collect()
    }

    /// The different views that anybody entered from a moment on.
    pub fn views(&self, from: Time) -> BTreeSet<ViewId> {
        let late = self.events.iter().filter(|seen| seen.at >= from);
        let views = late.filter_map(|seen| match &seen.event {
            Event::View(view) => Some(view.id),
            _ => None,
        });
        views.collect()
    }

    /// How many messages this node delivered from one moment up to another.
    pub fn deliveries(&self, node: NodeId, from: Time, to: Time) -> usize {
        self.of(node, from, to).filter(|seen| matches!(seen.event, Event::Message { .. })).count()
    }

    /// The first such event that this node saw from a moment on.
    pub fn first(&self, node: NodeId, from: Time, such: impl Fn(&Event) -> bool) -> Option<&Seen> {
        let mut of_node = self.events.iter().filter(|seen| seen.by.node == node && seen.at >= from);
        of_node.find(|seen| such(&seen.event))
    }
}
