//! The state of the application at one member, and how newcomers get it.

use bytes::Bytes;
use quorate_membership::{Change, Member, View};
use quorate_protocols::Restore;

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

/// The application of a group at one of its members.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// `None` while a newcomer has not got it.
    state: Option<State>,
    /// The part of a state that has come.
    filling: Vec<u8>,
}

impl Replica {
    pub(crate) fn apply(&mut self, payload: &[u8], ordered: bool) {
        if let Some(state) = &mut self.state {
            state.apply(payload, ordered);
        }
    }

    /// A view begins; a founding one with nothing. Returns the state at its beginning.
    pub(crate) fn enter(&mut self, me: Member, view: &View) -> Option<&State> {
        if view.changes.contains(&(me, Change::Founded)) {
            self.state = Some(State::default());
        }
        self.state.as_ref()
    }

    /// The state of now for newcomers, in at least so many bytes.
    pub(crate) fn snapshot(&self, bytes_min: usize) -> Option<Bytes> {
        self.state.as_ref().map(|state| state.to_bytes(bytes_min))
    }

    /// State has come. Returns whether that was all of it.
    pub(crate) fn restore(&mut self, restore: Restore) -> bool {
        match restore {
            Restore::Begin { .. } => *self = Self::default(),
            Restore::Bytes(bytes) => self.filling.extend_from_slice(&bytes),
            Restore::End => {
                self.state = State::from_bytes(&std::mem::take(&mut self.filling));
                return true;
            }
        }
        false
    }
}
