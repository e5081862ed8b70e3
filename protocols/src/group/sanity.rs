//! What no correct member says, whatever it knows: refused before anything of it is heeded.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_membership::{Decree, Member, Side, View, agreement::Ballot};

use super::{Body, Group, Message, Refusal, entry::HEARS_MAX};
use crate::stream::COUNT_MAX;

impl Group {
    /// Checks the numbers and the shape of what was received against what can be.
    pub(super) fn check_plausible(&self, from: Member, message: &Message) -> Result<(), Refusal> {
        let fault = match &message.body {
            Body::Data { heads, batch, .. } => check_heads(heads, batch),
            Body::Refill { frames, .. } => {
                frames.iter().find_map(|frame| check_heads(&frame.heads, &frame.batch))
            }
            Body::Part(part) => part.fault(),
            Body::Direct { first, batch, .. } => {
                let last = first.get().saturating_add(batch.len() as u64);
                (last > COUNT_MAX).then_some("letters at positions that nobody reaches")
            }
            Body::Prepare { ballot } | Body::Refused { promised: ballot } => check_ballot(*ballot),
            Body::Hold { ballot, decree } | Body::Accept { ballot, decree } => {
                check_ballot(*ballot).or_else(|| self.check_decree(decree))
            }
            Body::Promise(promise) => promise
                .accepted
                .as_ref()
                .and_then(|(ballot, decree)| check_ballot(*ballot).or_else(|| self.check_decree(decree))),
            Body::Decided(decree) => self.check_decree(decree),
            Body::State { batch, .. } => (batch.len() > 1).then_some("two chunks of a snapshot at a time"),
            Body::Current { view, .. } | Body::Side { view, .. } => self.check_view(view),
            Body::Offer { offer, .. } => check_ballot(offer.ballot),
            Body::Join { hears: nodes } | Body::Opinion { lost: nodes, .. } => {
                (nodes.len() > HEARS_MAX).then_some("more nodes than a cluster has")
            }
            _ => None,
        };
        fault.map_or(Ok(()), |what| Err(Refusal::Faulty { from, what: what.to_owned() }))
    }

    fn check_decree(&self, decree: &Decree) -> Option<&'static str> {
        let (closes, opens) = (decree.closes, decree.view.id);
        let follows = closes.epoch.checked_add(1) == Some(opens.epoch)
            && (closes.is_genesis() || closes.lineage == opens.lineage);
        let merges = self.config.partitionable && closes.epoch < opens.epoch;
        if !(follows || merges) {
            return Some("a decree whose view does not follow the one that it closes");
        }
        // A genesis has no messages; of a view that is not known here the size is not known either.
        let closed = self.view.as_ref().filter(|view| view.id == closes);
        let counters = if closes.is_genesis() { Some(0) } else { closed.map(|view| view.members.len()) };
        if counters.is_some_and(|counters| counters != decree.cut.0.len()) {
            return Some("a cut of a view of another size");
        }
        self.check_view(&decree.view)
    }

    fn check_view(&self, view: &View) -> Option<&'static str> {
        let present = self.view.as_ref();
        let fits = |side: &Side| {
            present.is_none_or(|it| it.id != side.closes || it.members.len() == side.cut.0.len())
        };
        let misfit = !view.sides.iter().all(fits);
        misfit.then_some("a cut of a view of another size").or_else(|| check_view(view))
    }
}

fn check_heads(heads: &[Bytes], batch: &[Bytes]) -> Option<&'static str> {
    let fits = heads.is_empty() || heads.len() == batch.len();
    (!fits).then_some("heads that are not as many as the messages")
}

fn check_ballot(ballot: Ballot) -> Option<&'static str> {
    (ballot.round > COUNT_MAX).then_some("a round that nobody reaches")
}

fn check_view(view: &View) -> Option<&'static str> {
    let nodes: BTreeSet<_> = view.participants().map(|member| member.node).collect();
    if view.members.is_empty() {
        Some("a view without members")
    } else if nodes.len() < view.participants().count() {
        Some("a view with a node in two places")
    } else {
        (view.id.epoch > COUNT_MAX).then_some("an epoch that nobody reaches")
    }
}
