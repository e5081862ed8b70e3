//! What the applications do: they multicast, write to one member, ask, and answer.

use std::time::Duration;

use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::{Group, Input, Ticket};
use rand::RngExt;

use super::{World, what::What};
use crate::sending::Sending;

impl World {
    /// Multicasts what was lost, or one new message.
    pub(super) fn submit_again(&mut self, node: NodeId, lost: Option<Bytes>) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        if self.config.witnesses.contains(&node) || self.now > self.submissions_until {
            return;
        }
        self.tally.submitted += 1;
        self.tally.retried += u64::from(lost.is_some());
        let ticket = Ticket(self.tally.submitted);
        let payload = lost.unwrap_or_else(|| Bytes::copy_from_slice(&self.tally.submitted.to_be_bytes()));
        self.checker.on_submit(state.life, payload.clone());
        state.tickets.insert(ticket, vec![payload.clone()]);
        self.feed(node, vec![Input::Submit { ticket, head: Bytes::new(), payload }]);
    }

    pub(super) fn submit(&mut self, node: NodeId) {
        if self.now > self.submissions_until {
            return;
        }
        let pause = Duration::from_micros(self.rng.random_range(1_000..40_000));
        self.at(pause * self.pauses, What::Submit(node));
        if self.greets || self.config.witnesses.contains(&node) {
            return;
        }
        let count = self.rng.random_range(1..4);
        let mut inputs = Vec::new();
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let idle = state.group.as_ref().is_none_or(|group| group.has_left() || group.room() == 0);
        if idle || state.tickets.len() > 200 {
            return;
        }
        for _ in 0..count {
            let ticket = Ticket(self.tally.submitted + 1);
            let members = state.group.as_ref().and_then(Group::view).map_or(&[][..], |view| &view.members);
            let sending = Sending::draw(&mut self.rng, members, count);
            let numbers = (0..sending.messages() as u64).map(|nth| ticket.0 + nth);
            self.tally.submitted += sending.messages() as u64;
            let padded = |number: u64| {
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(payload.len().max(self.message_bytes_min), 0);
                Bytes::from(payload)
            };
            let payloads: Vec<Bytes> = numbers.map(padded).collect();
            if sending.asks() {
                state.asked.insert(ticket);
            }
            inputs.push(sending.into_input(&mut self.checker, state.life, ticket, &payloads));
            state.tickets.insert(ticket, payloads);
        }
        self.feed(node, inputs);
    }
}
