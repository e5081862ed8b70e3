//! What the applications of a node do as members of groups without bound subjects: they multicast, write
//! to one member, ask, answer, and hand their state to newcomers.

use bytes::Bytes;
use quorate_membership::{GroupId, Member, View, ViewId};
use quorate_protocols::{Group, Restore, Ticket};

use super::{World, network::What, publication::Submitted};
use crate::sending::Sending;

impl World {
    /// Sends something in a group, to all or to one.
    pub(super) fn send_in(&mut self, life: Member, id: GroupId) {
        let number = self.payload();
        let parts = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut());
        let (Some(parts), Some(checker)) = (parts, self.checkers.get_mut(&id)) else { return };
        let members = parts.groups.get(&id).and_then(Group::view).map_or(&[][..], |view| &view.members);
        let sending = Sending::draw(&mut self.rng, members, number as usize);
        let numbers = number..number + sending.messages() as u64;
        self.next_payload = numbers.end - 1;
        let ticket = Ticket(number);
        let payloads: Vec<Bytes> = numbers.map(|it| Bytes::copy_from_slice(&it.to_be_bytes())).collect();
        if sending.asks() {
            parts.asked.insert((id, ticket));
        }
        self.tally.submitted += payloads.len() as u64;
        let input = sending.into_input(checker, life, ticket, &payloads);
        parts.tickets.insert((id, ticket), Submitted { payloads, publication: None });
        self.feed(life, id, vec![input]);
    }

    /// A message was delivered at a member.
    pub(super) fn apply(&mut self, life: Member, id: GroupId, payload: &[u8]) {
        let ordered = self.configs.iter().any(|config| config.group == id && config.order.is_total());
        if let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) {
            parts.replicas.entry(id).or_default().apply(payload, ordered);
        }
    }

    /// A view begins at a member.
    pub(super) fn enter_with_state(&mut self, life: Member, id: GroupId, view: &View) {
        let transfers = self.configs.iter().any(|config| config.group == id && config.state_transfer);
        let parts = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut());
        let (Some(parts), Some(checker)) = (parts, self.checkers.get_mut(&id)) else { return };
        let state = parts.replicas.entry(id).or_default().enter(life, view);
        if transfers {
            checker.on_state(life, view, state);
        }
    }

    /// The state of now is handed over a little later.
    pub(super) fn take_snapshot(&mut self, life: Member, group: GroupId, view: ViewId) {
        let parts = self.nodes.get(&life.node).and_then(|node| node.parts.as_ref());
        let state = parts.and_then(|parts| parts.replicas.get(&group)?.snapshot(0));
        if let Some(state) = state {
            self.soon(0..30_000, What::Snapshot { by: life, group, view, state });
        }
    }

    /// State has come to a newcomer.
    pub(super) fn restore(&mut self, life: Member, group: GroupId, restore: Restore) {
        let parts = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut());
        let whole = parts.is_some_and(|parts| parts.replicas.entry(group).or_default().restore(restore));
        self.tally.restored += u64::from(whole);
    }
}
