//! What is done again while something waits for others.

use std::time::Duration;

use quorate_membership::{Member, View};

use super::{Effects, Group};
use crate::stream::Stream;

impl Group {
    pub(super) fn on_wake(&mut self, out: &mut Effects) {
        if self.next_tick.is_some_and(|at| self.now < at) {
            return;
        }
        self.next_tick = None;
        self.tick_evidence(out);
        self.tick_lags(out);
        self.tick_attempt(out);
        self.tick_sealed(out);
        self.tick_entry(out);
        self.tick_untold(out);
        self.tick_sides(out);
        self.ask_to_confirm(out);
        self.tick_relaying(out);
        self.tick_traffic(out);
        self.tick_letters(out);
        self.tick_transfers(out);
    }

    /// How long to wait until the next tick. Groups are founded many at a time: if each asked as often as it does
    /// later, a busy machine would be kept so busy by repeated questions that no answer came in time. So the longer a
    /// founding lasts the more seldom it asks, down to twice in the time that one round has.
    pub(super) fn pause(&self) -> Duration {
        let timing = self.config.timing;
        if self.view.as_ref().is_some_and(|view| view.id.is_genesis()) {
            (self.now.since(self.born) / 2).clamp(timing.resend(), timing.round() / 2)
        } else {
            timing.resend()
        }
    }

    pub(super) fn needs_tick(&self) -> bool {
        if self.left {
            return false;
        }
        let Some(view) = &self.view else { return true };
        view.id.is_genesis()
            || self.is_sealed()
            || self.attempt.is_some()
            || self.installing.is_some()
            || self.doubt.is_some()
            || self.alone
            || !self.lost_since.is_empty()
            || !self.joiners.is_empty()
            || !self.leaving.is_empty()
            || self.wants_out
            || !self.early.is_empty()
            || self.unseen().next().is_some()
            || self.directs.is_waiting()
            || !view.learners.is_empty()
            || self.outside().next().is_some()
            || self.to_tell().next().is_some()
            || self.stream.as_ref().is_some_and(Stream::is_waiting)
    }

    /// Participants of the view from which nothing was heard in it yet.
    pub(super) fn unseen(&self) -> impl Iterator<Item = Member> + '_ {
        let all = self.view.iter().flat_map(View::participants);
        // Learners say nothing to each other.
        let learns = self.is_learner();
        let all = all.filter(move |m| !learns || self.view.as_ref().is_some_and(|view| view.is_acceptor(*m)));
        all.filter(|m| m.node != self.me.node && !self.seen.contains(&m.node))
    }

    /// Something was heard from a member in the present view.
    pub(super) fn see(&mut self, from: Member) {
        if self.view.as_ref().is_some_and(|view| view.has(from)) {
            self.seen.insert(from.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{GroupId, Incarnation, NodeId, Time};

    use super::*;
    use crate::{Effect, GroupConfig, Input};

    #[test]
    fn a_founding_asks_the_more_seldom_the_longer_it_lasts_and_a_group_that_stands_as_often_as_ever() {
        let mut out = Effects::new();
        let me = Member::new(NodeId::new(1), Incarnation::new(1));
        let config = GroupConfig::new(GroupId::new(1), (1..=3).map(NodeId::new).collect());
        let timing = config.timing;
        let (mut group, mut now) = (Group::new(config, me, Time::ZERO), Time::ZERO);
        let mut wakes = Vec::new();
        // Nobody else is there.
        for _ in 0..40 {
            group.handle(now, Input::Wake, &mut out).expect("no refusal");
            group.flush(now, &mut out);
            let at = out
                .drain(..)
                .find_map(|effect| if let Effect::WakeAt(at) = effect { Some(at) } else { None });
            let at = at.expect("it goes on asking");
            wakes.push(at.since(now));
            now = at;
        }
        assert_eq!((wakes[0], wakes[39]), (timing.resend(), timing.round() / 2));
        assert!(wakes.is_sorted(), "{wakes:?}");

        let alone = GroupConfig::new(GroupId::new(1), vec![me.node]);
        let mut group = Group::new(alone, me, now);
        let later = now + timing.round() * 4;
        group.handle(later, Input::Wake, &mut out).expect("no refusal");
        group.flush(later, &mut out);
        assert_eq!((group.view_id().epoch, group.pause()), (1, timing.resend()));
    }
}
