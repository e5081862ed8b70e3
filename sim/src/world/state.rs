//! The state of the application on each node, and how it is handed over to newcomers.

use std::time::Duration;

use bytes::Bytes;
use quorate_membership::{Change, Member, View, ViewId};
use quorate_protocols::Restore;
use rand::RngExt;

use super::{World, what::What};

const WORDS: usize = 3;

/// What the messages delivered so far add up to. Applying one twice, or not at all, shows for good.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    count: u64,
    sum: u64,
    /// Depends on the order, too; stays zero in groups without a total order.
    chain: u64,
}

impl State {
    pub(crate) fn apply(&mut self, payload: &[u8], ordered: bool) {
        let value = payload.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        if ordered {
            self.chain = (self.chain ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// As bytes, at least so many, of a length that differs from state to state.
    fn to_bytes(&self, min: usize) -> Bytes {
        let mut bytes: Vec<u8> =
            [self.count, self.sum, self.chain].iter().flat_map(|n| n.to_be_bytes()).collect();
        bytes.resize(min.max(bytes.len()) + (self.count % 50) as usize * 97, 7);
        bytes.into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word =
            |index: usize| Some(u64::from_be_bytes(bytes.get(index * 8..index * 8 + 8)?.try_into().ok()?));
        debug_assert!(bytes.len() >= WORDS * 8, "a state that nobody sent");
        Some(Self { count: word(0)?, sum: word(1)?, chain: word(2)? })
    }
}

impl World {
    pub(super) fn apply(&mut self, life: Member, payload: &[u8]) {
        let ordered = self.config.order.is_total();
        if let Some(state) = self.nodes.get_mut(&life.node).and_then(|node| node.state.as_mut()) {
            state.apply(payload, ordered);
        }
    }

    /// A view begins; a founding one with nothing.
    pub(super) fn enter_with_state(&mut self, life: Member, view: &View) {
        let transfers = self.config.state_transfer;
        let Some(node) = self.nodes.get_mut(&life.node) else { return };
        if view.changes.contains(&(life, Change::Founded)) {
            node.state = Some(State::default());
        }
        if transfers {
            self.checker.on_state(life, view, node.state.as_ref());
        }
    }

    /// The state of now is handed over a little later.
    pub(super) fn take_snapshot(&mut self, life: Member, view: ViewId) {
        let state = self.nodes.get(&life.node).and_then(|node| node.state.as_ref());
        let state = state.map(|state| state.to_bytes(self.state_bytes_min));
        let pause = Duration::from_micros(self.rng.random_range(0..30_000));
        if let Some(state) = state {
            self.at(pause, What::Snapshot { by: life, view, state });
        }
    }

    pub(super) fn restore(&mut self, life: Member, restore: Restore) {
        let Some(node) = self.nodes.get_mut(&life.node) else { return };
        match restore {
            Restore::Begin { .. } => (node.state, node.filling) = (None, Vec::new()),
            Restore::Bytes(bytes) => node.filling.extend_from_slice(&bytes),
            Restore::End => {
                self.tally.restored += 1;
                node.state = State::from_bytes(&std::mem::take(&mut node.filling));
            }
        }
    }
}
