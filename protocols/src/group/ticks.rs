//! What is done again while something waits for others.

use std::time::Duration;

use quorate_membership::{Member, Time, View};

use super::{Effects, Group};
use crate::stream::Stream;

impl Group {
    pub(super) fn on_wake(&mut self, out: &mut Effects) {
        if self.next_tick.is_some_and(|at| self.now < at) {
            return;
        }
        self.late = self.next_tick.map_or(Duration::ZERO, |at| self.now.since(at));
        self.next_tick = None;
        self.tick_evidence(out);
        self.tick_lags(out);
        self.tick_attempt(out);
        self.tick_sealed(out);
        self.tick_entry(out);
        self.tick_untold(out);
        self.tick_sides(out);
        self.tick_doubt(out);
        self.tick_relaying(out);
        self.tick_traffic(out);
        self.tick_letters(out);
        self.tick_transfers(out);
    }

    /// How long to wait until the next tick.
    ///
    /// Links lose nothing while they stand, so what is asked again is most often on its way. Many groups are founded at
    /// a time, and change their views at a time when a node dies: if each asked as often as it does for a single lost
    /// frame, a node would be kept so busy by repeated questions that no answer came in time. So the longer it
    /// lasts, and the later this process comes to it, the more seldom it asks.
    ///
    /// What somebody waits for beyond a view is asked for as often as ever: data, and who of the founders is lost, which
    /// the others forget if it is not said again.
    pub(super) fn pause(&self) -> Duration {
        let timing = self.config.timing;
        let (least, most) = (timing.resend().max(self.late * 2).min(timing.round() / 2), timing.round() / 2);
        // After a detection time, and then every two.
        let seldom = |since: Time| self.now.since(since).clamp(timing.round(), timing.round() * 2);
        if self.view.as_ref().is_some_and(|view| view.id.is_genesis()) {
            // Founders that begin, or come into reach, are asked and ask at once. Of one that is out of reach the others
            // have to be told before they forget it.
            let pace = if self.lost_since.is_empty() { seldom(self.born) } else { most };
            // When a majority may go on without the rest, and when another attempt may be made, it looks.
            let looks = [self.born + timing.founding(), self.not_before].into_iter();
            let looks = looks.filter(|at| *at > self.now).map(|at| at.since(self.now));
            return looks.chain([pace]).min().unwrap_or(pace);
        }
        if !self.is_busy() && self.unseen().next().is_some() {
            return seldom(self.entered); // all that is missing is that others enter the view
        }
        let has_data = self.is_learner()
            || self.installing.is_some()
            || self.stream.as_ref().is_some_and(Stream::is_waiting);
        let since = self.under_way_since().filter(|_| !has_data);
        since.map_or(Duration::ZERO, |since| self.now.since(since)).clamp(least, most)
    }

    /// Since when a view is on its way: to be closed, for a loss or because it is sealed, or to be entered by all or
    /// by this member. Each question renews the seal, so the earliest of them counts.
    fn under_way_since(&self) -> Option<Time> {
        let lost = self.lost_since.values().copied().max();
        let entering = (self.view.is_none() || self.unseen().next().is_some()).then_some(self.entered);
        lost.into_iter().chain(self.sealed_at).min().or(entering)
    }

    pub(super) fn needs_tick(&self) -> bool {
        !self.left && (self.is_busy() || self.unseen().next().is_some())
    }

    /// Whether there is more to do at ticks than to see that all have entered the view.
    fn is_busy(&self) -> bool {
        let Some(view) = &self.view else { return true };
        view.id.is_genesis()
            || self.is_sealed()
            || self.attempt.is_some()
            || self.installing.is_some()
            || self.doubt.is_some()
            || self.alone
            || !self.lost_since.is_empty()
            || !self.unheard.is_empty()
            || !self.joiners.is_empty()
            || !self.leaving.is_empty()
            || self.wants_out
            || !self.early.is_empty()
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
        let member = |number| Member::new(NodeId::new(number), Incarnation::new(1));
        let me = member(1);
        let config = GroupConfig::new(GroupId::new(1), (1..=3).map(NodeId::new).collect());
        let timing = config.timing;
        let mut now = Time::ZERO;
        // Nobody else is there, or their nodes are and do not answer.
        let absent = (timing.round() / 2, timing.round() / 2);
        let silent = (timing.round(), timing.round() * 2);
        for (reached, paces) in [(None, absent), (Some([2, 3]), silent)] {
            let (mut group, mut wakes) = (Group::new(config.clone(), me, now), Vec::new());
            for number in reached.into_iter().flatten() {
                group.handle(now, Input::Reachable(member(number)), &mut out).expect("no refusal");
            }
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
            assert_eq!((wakes[0], wakes[39]), paces, "{wakes:?}");
            assert!(wakes.is_sorted(), "{wakes:?}");
        }

        let alone = GroupConfig::new(GroupId::new(1), vec![me.node]);
        let mut group = Group::new(alone, me, now);
        let later = now + timing.round() * 4;
        group.handle(later, Input::Wake, &mut out).expect("no refusal");
        group.flush(later, &mut out);
        assert_eq!((group.view_id().epoch, group.pause()), (1, timing.resend()));
    }
}
