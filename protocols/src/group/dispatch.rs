//! Where a message goes: by its body, and by whether its view is the present one here.

use quorate_membership::{Member, agreement::Breach};

use super::{Body, Effects, Group, Message, Refusal};
use crate::{Frame, direct::Letters};

/// Messages of views still to come that are kept.
const EARLY_MAX: usize = 4096;
/// Bytes of their payloads: more than a correct group has in flight by default.
const EARLY_BYTES_MAX: usize = 128 << 20;

impl Group {
    pub(super) fn on_message(
        &mut self,
        from: Member,
        message: Message,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        if self.left {
            self.on_message_after_leaving(from, &message, out);
            return Ok(());
        }
        if from != self.me {
            self.check_plausible(from, &message)?;
        }
        self.meet(from, out);
        if from != self.me && !self.check_charter(from, &message, out)? {
            return Ok(());
        }
        let message = if self.config.partitionable {
            let Some(message) = self.on_side_message(from, message, out) else { return Ok(()) };
            message
        } else {
            message
        };
        self.say_gone(from, &message, out);
        match message.body {
            Body::Join { hears } => {
                self.on_join(from, message.view, hears, out);
                return Ok(());
            }
            Body::Current { view, asked } => {
                self.on_current(from, &view, asked, out);
                return Ok(());
            }
            Body::WantState { snapshot, offset, credit } => {
                self.on_want_state(from, snapshot, (offset, credit), out);
                return Ok(());
            }
            Body::State { label, batch } => {
                self.on_state(from, label, &batch, out);
                return Ok(());
            }
            Body::NoState { snapshot } => {
                self.on_no_state(from, snapshot);
                return Ok(());
            }
            Body::Gone => {
                self.on_gone(from, message.view, out);
                return Ok(());
            }
            Body::Where => {
                if message.view == self.view_id() {
                    self.see(from);
                }
                self.answer_where(from.node, message.view, out);
                self.ask_founder(from.node, out);
                return Ok(());
            }
            Body::Decided(decree) => {
                self.on_decided(from, decree, out);
                return Ok(());
            }
            Body::Hold { ballot, decree } if self.view.is_none() => {
                self.on_hold_outside(from, ballot, &decree, out);
                return Ok(());
            }
            _ => {}
        }
        let Some(view) = &self.view else {
            if message.body.waits_in_its_view() {
                self.answer_where(from.node, message.view, out); // it may know how that view ended
            }
            self.keep_early(from, message);
            return Ok(());
        };
        let opinion = matches!(message.body, Body::Opinion { .. });
        if message.view != view.id && !(opinion && self.config.breach == Some(Breach::OldOpinions)) {
            self.on_other_view(from, message, out);
            return Ok(());
        }
        // A newcomer says that it holds the cut before the view that lists it stands.
        let newcomer = matches!(message.body, Body::Holding { .. });
        let stale = !view.has(from) && !newcomer;
        let careless = matches!(self.config.breach, Some(Breach::StaleIncarnation | Breach::AnyLife));
        let tolerated = careless && view.has_node(from.node);
        if stale && !tolerated {
            return Err(Refusal::NotMember { from, view: view.id });
        }
        self.see(from);
        self.on_body(from, message.body, out)
    }

    fn on_body(&mut self, from: Member, body: Body, out: &mut Effects) -> Result<(), Refusal> {
        match body {
            Body::Data { row, requests, heads, batch, row_wanted } => {
                let (seq, clock, after) = (row.sent, row.clock, row.delivered.clone());
                self.on_data(from, &row, Frame { seq, clock, after, requests, heads, batch }, row_wanted)
            }
            Body::Part(part) => self.on_part(from, part, out),
            Body::Direct { first, purposes, batch } => {
                self.on_direct(from, Letters { first, purposes, batch: batch.into() }, out)
            }
            Body::DirectDelivered { through } => self.on_direct_delivered(from, through, out),
            Body::AskDelivered { closed } => {
                self.on_ask_delivered(from, closed, out);
                Ok(())
            }
            Body::ToldDelivered { closed, through } => {
                self.on_told_delivered(from, closed, through, out);
                Ok(())
            }
            Body::Status { row, probe } => self.on_status(from, &row, probe),
            Body::Fetch(gap) => {
                self.on_fetch(from, self.view_id(), gap, out);
                Ok(())
            }
            Body::Refill { rank, frames } => self.on_refill(from, rank, frames, out),
            Body::Freed { rank, first } => {
                self.on_freed(rank, first, out);
                Ok(())
            }
            Body::Learning { received, ready } => self.on_learning(from, &received, ready),
            Body::Opinion { lost, sealed } => {
                self.on_opinion(from, &lost, sealed);
                Ok(())
            }
            Body::Confirm { round } => {
                self.on_confirm(from, round, out);
                Ok(())
            }
            Body::Confirmed { round } => {
                self.on_confirmed(from, round, out);
                Ok(())
            }
            Body::Prepare { ballot } => {
                self.on_prepare(from, ballot, out);
                Ok(())
            }
            Body::Promise(promise) => {
                self.on_promise(from, *promise, out);
                Ok(())
            }
            Body::Refused { promised } => {
                self.on_refused(promised);
                Ok(())
            }
            Body::Hold { ballot, decree } => {
                self.on_hold(from, ballot, decree, out);
                Ok(())
            }
            Body::Holding { ballot } => {
                self.on_holding(from, ballot, out);
                Ok(())
            }
            Body::Accept { ballot, decree } => {
                self.on_accept(from, ballot, decree, out);
                Ok(())
            }
            Body::Accepted { ballot } => {
                self.on_accepted(from, ballot, out);
                Ok(())
            }
            Body::Leave => {
                self.leaving.insert(from);
                Ok(())
            }
            Body::Charter(_)
            | Body::Join { .. }
            | Body::Gone
            | Body::Current { .. }
            | Body::Where
            | Body::Decided(_)
            | Body::WantState { .. }
            | Body::State { .. }
            | Body::NoState { .. }
            | Body::Side { .. }
            | Body::Hears { .. }
            | Body::AskOffer { .. }
            | Body::Offer { .. } => Ok(()),
        }
    }

    /// A message of a view that is not the present one here.
    fn on_other_view(&mut self, from: Member, message: Message, out: &mut Effects) {
        let mine = self.view_id();
        if self.config.breach == Some(Breach::LateData) && message.view.epoch < mine.epoch {
            self.announce_late(from, &message, out);
        }
        if message.view.lineage == mine.lineage && message.view.epoch > mine.epoch
            || mine.is_genesis() && !message.view.is_genesis()
        {
            let asked = self.early.iter().any(|(other, _)| *other == from);
            if let Body::Prepare { ballot } = message.body
                && matches!(self.config.breach, Some(Breach::ContributeUnactivated | Breach::AnyLife))
            {
                self.promise_unactivated(from, message.view, ballot, out);
            }
            self.keep_early(from, message);
            // One that has promised is about to be told, and asks at its next tick if it is not.
            if !asked && !self.is_sealed() {
                self.post(from.node, mine, Body::Where, out);
            }
        } else if let Body::Fetch(gap) = message.body {
            self.on_fetch(from, message.view, gap, out);
        } else if message.body.waits_in_its_view() {
            self.answer_where(from.node, message.view, out);
        }
    }

    pub(super) fn keep_early(&mut self, from: Member, message: Message) {
        let bytes = message.body.weight();
        if self.early.len() < EARLY_MAX && self.early_bytes + bytes <= EARLY_BYTES_MAX {
            self.early_bytes += bytes;
            self.early.push((from, message));
        }
    }
}
