//! Nodes that are linked and do not answer: who subscribes waits for them only so long, and others are
//! asked instead.

use std::collections::{BTreeMap, BTreeSet};

use actix::prelude::*;
use quorate_membership::NodeId;

use super::{talk::Ask, uplink::Uplink};

/// The longest pause before a node that has refused a subscription is asked again, in spans of
/// [`service`](quorate_membership::Timing::service).
const PAUSE_MAX: u32 = 16;

/// What is known of the linked nodes that owe an answer.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Nodes that left a subscription unanswered for too long and have said nothing since.
    silent: BTreeSet<NodeId>,
    /// How often a node was told that its user begins without having welcomed it. What it says before
    /// belongs to what was asked of it earlier and was taken back.
    unwelcome: BTreeMap<NodeId, u64>,
}

impl Silence {
    /// Keeps in mind only nodes that may be used: what is known of the others went with their links.
    pub(super) fn keep(&mut self, candidates: &[NodeId]) {
        self.silent.retain(|node| candidates.contains(node));
        self.unwelcome.retain(|node, _| candidates.contains(node));
    }

    fn note(&mut self, node: NodeId) {
        self.silent.insert(node);
    }

    /// A node has said something. Returns whether it was taken for one that does not.
    pub(super) fn ends(&mut self, node: NodeId) -> bool {
        self.silent.remove(&node)
    }

    pub(super) fn begins(&mut self, node: NodeId) {
        *self.unwelcome.entry(node).or_default() += 1;
    }

    pub(super) fn welcomes(&mut self, node: NodeId) {
        if let Some(owed) = self.unwelcome.get_mut(&node) {
            *owed = owed.saturating_sub(1);
        }
    }

    /// Whether what a node says answers what is asked of it now.
    pub(super) fn is_welcome(&self, node: NodeId) -> bool {
        self.unwelcome.get(&node).is_none_or(|owed| *owed == 0)
    }

    /// Which of the linked nodes is used: the present one as long as it answers or no other does, else
    /// the first that does.
    pub(super) fn choose(&self, active: Option<NodeId>, linked: &[NodeId]) -> Option<NodeId> {
        let answers = |node: &NodeId| !self.silent.contains(node);
        let first = linked.iter().copied().find(answers);
        active.filter(answers).or(first).or(active).or_else(|| linked.first().copied())
    }
}

impl Uplink {
    /// Has a look at subscriptions that were just asked for, once the node had its time to answer.
    pub(super) fn watch(&self, readings: Vec<u64>, ctx: &mut Context<Self>) {
        let (Some(patience), Some(_)) = (self.patience, self.active) else { return };
        let era = self.era;
        ctx.run_later(patience, move |actor, ctx| {
            if actor.era == era {
                actor.on_overdue(readings, ctx);
            }
        });
    }

    /// Subscriptions that are unanswered stand all the same, and go on trying: at another node, if there
    /// is one that answers.
    fn on_overdue(&mut self, readings: Vec<u64>, ctx: &mut Context<Self>) {
        let mut overdue = false;
        for id in readings {
            if let Some(reading) = self.readings.get_mut(&id).filter(|reading| !reading.is_answered()) {
                reading.stands_later(id);
                self.hand_over_due(id);
                overdue = true;
            }
        }
        if let Some(node) = self.active.filter(|_| overdue) {
            metrics::counter!("quorate_bus_silent_carriers_total").increment(1);
            tracing::warn!(%node, "the node that is used does not let subscribers read in time");
            self.silence.note(node);
            self.choose(ctx);
        }
    }

    /// The node has refused a subscription that has to stand: it is asked again, with growing pauses,
    /// unless it is no longer used by then.
    pub(super) fn ask_again(&self, id: u64, refusals: u32, ctx: &mut Context<Self>) {
        let Some(patience) = self.patience else { return };
        let era = self.era;
        let pause = patience / 4 * 2_u32.saturating_pow(refusals.saturating_sub(1)).min(4 * PAUSE_MAX);
        ctx.run_later(pause, move |actor, ctx| {
            if actor.era == era
                && let Some(ask) = actor.readings.get_mut(&id).map(|reading| reading.ask(id))
            {
                actor.ask(&ask);
                actor.watch(vec![id], ctx);
            }
        });
    }

    /// Ends at a node what it serves and is not used for any more, though its link stands.
    pub(super) fn take_leave(&self, node: NodeId) {
        for id in self.readings.keys() {
            self.ask_of(node, &Ask::Unsubscribe { id: *id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId::new(1);
    const B: NodeId = NodeId::new(2);

    #[test]
    fn a_node_that_does_not_answer_is_left_for_one_that_does_and_for_no_other() {
        let mut silence = Silence::default();
        assert_eq!(silence.choose(None, &[A, B]), Some(A));
        assert_eq!(silence.choose(Some(B), &[A, B]), Some(B), "it answers");
        silence.note(B);
        assert_eq!(silence.choose(Some(B), &[A, B]), Some(A));
        silence.note(A);
        assert_eq!(silence.choose(Some(B), &[A, B]), Some(B), "nobody answers");
        assert_eq!(silence.choose(None, &[A, B]), Some(A), "one of them may come to");
        assert!(silence.ends(A) && !silence.ends(A));
        assert_eq!(silence.choose(Some(B), &[A, B]), Some(A));
        assert_eq!(silence.choose(Some(B), &[B]), Some(B));
        silence.keep(&[A]);
        assert_eq!(silence.choose(None, &[B]), Some(B), "its next link is another matter");
        assert_eq!(silence.choose(None, &[]), None);
    }

    #[test]
    fn what_a_node_says_counts_once_it_has_welcomed_its_user_as_often_as_that_began() {
        let mut silence = Silence::default();
        silence.begins(A);
        silence.begins(A);
        silence.welcomes(A);
        assert!(!silence.is_welcome(A) && silence.is_welcome(B));
        silence.welcomes(A);
        assert!(silence.is_welcome(A));
        silence.welcomes(A);
        silence.begins(A);
        assert!(!silence.is_welcome(A));
        silence.keep(&[]);
        assert!(silence.is_welcome(A));
    }
}
