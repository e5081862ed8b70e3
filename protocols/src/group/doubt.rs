//! After a stall, and after having been without a majority: nothing is served until a majority says
//! that the view still stands.
//!
//! A process that stood still may wake up in a view that the others have closed, with a queue full
//! of its messages; one that was cut off may come back to such a view, or be told to enter one. So it
//! asks the members whether they have promised to close the view. Each answer names the question, because an answer without it
//! could have been sent before the stall.
//! Once a majority has said no, no later view had been decided when the question was asked.
//!
//! Source: the read confirmation of Ongaro, "Consensus: Bridging Theory and Practice" (2014),
//! section 6.4, asked about a view instead of a term.

use std::collections::BTreeSet;

use quorate_membership::{Member, NodeId, Time, View, agreement::Breach};

use super::{Body, Effects, Group};

/// The open question whether the view still stands.
#[derive(Debug)]
pub(super) struct Doubt {
    round: u64,
    asked_at: Time,
    confirmed: BTreeSet<NodeId>,
}

impl Group {
    /// This process stood still: what it believes is as old as the stall was long.
    pub(super) fn on_stalled(&mut self, out: &mut Effects) {
        if self.config.breach == Some(Breach::ServeAfterStall) || self.left {
            return;
        }
        // Distrust the own suspicions first: nobody could be heard meanwhile.
        self.lost_since.values_mut().for_each(|since| *since = self.now);
        self.opinions.clear();
        if self.attempt.take().is_some() {
            self.not_before = self.now + self.config.timing.detect(); // somebody else is at it by now
        }
        if !self.config.partitionable {
            self.doubt_view(out); // a side needs nobody's leave to go on
        }
    }

    /// From now on nothing is served until a majority has confirmed the view.
    pub(super) fn doubt_view(&mut self, out: &mut Effects) {
        self.doubt = Some(Doubt { round: 0, asked_at: self.now, confirmed: BTreeSet::new() });
        self.doubt_anew(out);
    }

    /// Asks about the present view; answers about an earlier one prove nothing.
    pub(super) fn doubt_anew(&mut self, out: &mut Effects) {
        let Some(doubt) = &mut self.doubt else { return };
        self.doubts += 1;
        *doubt = Doubt { round: self.doubts, asked_at: self.now, confirmed: BTreeSet::new() };
        self.watch_majority(out);
        self.ask_to_confirm(out);
    }

    /// Asks again; after a while everybody: who has confirmed the view may have given its lineage up since, and says so
    /// only when asked.
    pub(super) fn tick_doubt(&mut self, out: &mut Effects) {
        let patience = self.config.timing.founding();
        if self.doubt.as_ref().is_some_and(|doubt| self.now >= doubt.asked_at + patience) {
            self.doubt_anew(out);
        } else {
            self.ask_to_confirm(out);
        }
    }

    fn ask_to_confirm(&mut self, out: &mut Effects) {
        let (Some(doubt), Some(view)) = (&self.doubt, &self.view) else { return };
        if view.id.is_genesis() {
            return; // there is nothing to serve yet
        }
        let silent = view.acceptors().map(|m| m.node).filter(|node| !doubt.confirmed.contains(node));
        let (silent, round) = (silent.collect::<Vec<_>>(), doubt.round);
        self.post_all(silent, self.view_id(), Body::Confirm { round }, out);
    }

    /// A member asks whether the view stands: it does as far as this one has not promised to close it.
    pub(super) fn on_confirm(&mut self, from: Member, round: u64, out: &mut Effects) {
        if self.is_open() {
            self.post(from.node, self.view_id(), Body::Confirmed { round }, out);
        }
    }

    pub(super) fn on_confirmed(&mut self, from: Member, round: u64, out: &mut Effects) {
        let quorum = self.view.as_ref().map_or(usize::MAX, View::agreement_quorum);
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.round == round) else { return };
        doubt.confirmed.insert(from.node);
        if doubt.confirmed.len() >= quorum {
            self.doubt = None;
            self.row_due = true;
            self.watch_majority(out);
        }
    }
}
