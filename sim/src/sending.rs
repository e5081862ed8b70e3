//! How the application at a member sends something: to all, to one, or asking for answers.

use bytes::Bytes;
use quorate_membership::Member;
use quorate_protocols::{Audience, Collect, Input, Ticket};
use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

use crate::Checker;

/// What becomes of a payload that an application sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sending {
    /// To all, so many messages at once.
    Multicast(usize),
    Letter(Member),
    /// A request to all, or to one.
    Request(Option<Member>, Collect),
}

impl Sending {
    /// Mostly to all of these members; some requests want what the `turn` decides.
    pub(crate) fn draw(rng: &mut SmallRng, members: &[Member], turn: usize) -> Self {
        let kind = rng.random_range(0..20);
        let letter = members.choose(rng).copied().filter(|_| kind < 4);
        match (kind, letter) {
            (3..5, _) => Self::Request(letter, [Collect::First, Collect::Majority, Collect::All][turn % 3]),
            (_, Some(to)) => Self::Letter(to),
            (18.., _) => Self::Multicast(2 + turn % 3),
            _ => Self::Multicast(1),
        }
    }

    /// Whether answers are collected.
    pub(crate) const fn asks(self) -> bool {
        matches!(self, Self::Request(..))
    }

    /// How many payloads it takes.
    pub(crate) const fn messages(self) -> usize {
        if let Self::Multicast(messages) = self { messages } else { 1 }
    }

    /// What the group is told, once the checker knows.
    pub(crate) fn into_input(
        self,
        checker: &mut Checker,
        by: Member,
        ticket: Ticket,
        payloads: &[Bytes],
    ) -> Input {
        match self {
            Self::Letter(to) | Self::Request(Some(to), _) => {
                checker.letters.on_send(by, to, payloads[0].clone());
            }
            Self::Multicast(_) | Self::Request(None, _) => {
                for payload in payloads {
                    checker.on_submit(by, payload.clone());
                }
            }
        }
        let payload = payloads[0].clone();
        match self {
            Self::Multicast(1) => Input::Submit { ticket, head: Bytes::new(), payload },
            Self::Multicast(_) => Input::SubmitAll { ticket, payloads: payloads.to_vec().into() },
            Self::Letter(to) => Input::SendTo { ticket, to, payload },
            Self::Request(to, collect) => {
                checker.letters.on_ask(by, ticket, payload.clone());
                Input::Ask { ticket, to: to.map_or(Audience::Group, Audience::One), payload, collect }
            }
        }
    }
}

/// The ticket of what an application sends.
pub(crate) const fn ticket_of(input: &Input) -> Option<Ticket> {
    match input {
        Input::Submit { ticket, .. }
        | Input::SubmitAll { ticket, .. }
        | Input::SendTo { ticket, .. }
        | Input::Ask { ticket, .. } => Some(*ticket),
        _ => None,
    }
}
