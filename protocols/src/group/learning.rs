//! Learners: they receive the stream and count for nothing, until they have caught up.

use quorate_membership::{Member, NodeId, Seq, View, agreement::Breach};

use super::{Body, Effects, Fate, Group, Refusal};

impl Group {
    pub(super) fn is_learner(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.learners.contains(&self.me))
    }

    /// A view begins.
    pub(super) fn note_learners(&mut self, view: &View) {
        self.learning.retain(|member, _| view.learners.contains(member));
        for learner in &view.learners {
            self.learning.entry(*learner).or_insert(self.now);
        }
    }

    /// A learner says how far it has come, and whether it could be a data member.
    pub(super) fn tell_progress(&mut self, out: &mut Effects) {
        let Some(stream) = self.stream.as_ref().filter(|_| self.is_learner()) else { return };
        let early = self.config.breach == Some(Breach::ReadyTooEarly);
        let ready = early || stream.gaps().is_empty() && !self.transfers.is_filling();
        let body = Body::Learning { received: stream.holdings(), ready };
        let members: Vec<NodeId> = self
            .view
            .iter()
            .flat_map(View::acceptors)
            .map(|m| m.node)
            .filter(|n| *n != self.me.node)
            .collect();
        self.post_all(members, self.view_id(), body, out);
    }

    pub(super) fn on_learning(&mut self, from: Member, received: &[Seq], ready: bool) -> Result<(), Refusal> {
        let Some(view) = &self.view else { return Ok(()) };
        let Some(index) = view.learners.iter().position(|m| *m == from) else {
            return Err(Refusal::NotMember { from, view: view.id });
        };
        if let Some(stream) = &mut self.stream {
            let told = stream.on_learner(index, received);
            told.map_err(|error| Refusal::Faulty { from, what: error.to_string() })?;
        }
        if ready {
            self.ready.insert(from, self.now);
        } else {
            self.ready.remove(&from);
        }
        Ok(())
    }

    /// Learners that have caught up and may become data members.
    pub(super) fn promotable<'a>(&'a self, view: &'a View) -> impl Iterator<Item = Member> + 'a {
        let prompt = |member: &Member| {
            // As long as one round: whoever is behind for longer would hold the others back at once.
            let limit = self.now - self.config.timing.round();
            let lag = self.lags.get(*member);
            lag.is_some_and(|lag| lag.since().is_none_or(|since| since > limit))
        };
        let fit = view.learners.iter().copied().filter(|member| self.ready.contains_key(member));
        let fit = fit.filter(move |member| prompt(member) && self.reachable.contains(&member.node));
        fit.filter(|member| !self.lags.is_barred(self.now, member.node) && !self.is_superseded(*member))
    }

    /// A frame that this member asked for is there no longer: it was too far behind for too long.
    pub(super) fn on_freed(&mut self, rank: usize, first: Seq, out: &mut Effects) {
        let holdings = self.stream.as_ref().map(crate::stream::Stream::holdings).unwrap_or_default();
        if holdings.get(rank).is_none_or(|received| received.next() >= first) {
            return;
        }
        self.refills.forget(rank);
        let next = match &self.installing {
            Some((decree, _)) if !self.holds(&decree.cut) => Some(decree.view.clone()),
            _ => self.view.clone().filter(|_| self.is_learner()),
        };
        if let Some(next) = next {
            self.forget_unsettled(Fate::Unknown, out);
            self.go_outside(&next, out);
        }
    }
}
