//! Submissions that wait until the window opens.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use quorate_protocols::{Batch, Input, Ticket};

use super::{
    Publication, SendError,
    sent::{Progress, Stage},
};
use crate::room::OVERHEAD_BYTES;

/// Bytes of submissions that may wait, besides one that alone is longer: 16 windows of the default
/// size. What was published counts and is never turned away, since its publishers' own room bounds it.
pub(crate) const WAITING_BYTES_MAX: usize = 128 << 20;

/// Whoever waits for the outcome of a submission.
///
/// Ten thousands of them wait for their fate at full load, so they are small.
#[derive(Debug)]
pub(crate) enum Asker {
    /// Of these messages; none once they were accepted.
    Sender(Batch, Arc<Progress>),
    Publisher(Box<Publication>),
}

impl Asker {
    pub(crate) fn fail(self, why: &SendError) {
        match self {
            Self::Sender(_, progress) => progress.fail(why.clone()),
            Self::Publisher(publication) => publication.done.tell(Err(why.clone().into())),
        }
    }

    /// What the group is handed.
    pub(crate) fn input(&self, ticket: Ticket) -> Input {
        match self {
            Self::Sender(payloads, _) => match &payloads[..] {
                [payload] => Input::Submit { ticket, head: Bytes::new(), payload: payload.clone() },
                _ => Input::SubmitAll { ticket, payloads: payloads.clone() },
            },
            Self::Publisher(publication) => {
                let (head, payload) = (publication.head.clone(), publication.payload.clone());
                Input::Submit { ticket, head, payload }
            }
        }
    }

    /// The group has taken it.
    pub(crate) fn accepted(self) -> Self {
        match self {
            Self::Sender(_, progress) => {
                progress.reach(Stage::Accepted);
                Self::Sender(Batch::default(), progress)
            }
            publisher @ Self::Publisher(_) => publisher,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Sender(payloads, _) => payloads.iter().map(|it| it.len() + OVERHEAD_BYTES).sum(),
            Self::Publisher(publication) => {
                OVERHEAD_BYTES + publication.head.len() + publication.payload.len()
            }
        }
    }
}

/// All that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    askers: VecDeque<Asker>,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.askers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.askers.is_empty()
    }

    /// Whether so many messages of so many bytes together may wait, too.
    pub(crate) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.askers.is_empty() || self.bytes + bytes + messages * OVERHEAD_BYTES <= WAITING_BYTES_MAX
    }

    pub(crate) fn push(&mut self, asker: Asker) {
        self.bytes += asker.weight();
        self.askers.push_back(asker);
    }

    /// Puts the oldest one back.
    pub(crate) fn push_back_to_front(&mut self, asker: Asker) {
        self.bytes += asker.weight();
        self.askers.push_front(asker);
    }

    pub(crate) fn pop(&mut self) -> Option<Asker> {
        let asker = self.askers.pop_front()?;
        self.bytes -= asker.weight();
        Some(asker)
    }

    /// Ends all of them.
    pub(crate) fn fail_all(&mut self, why: &SendError) {
        self.bytes = 0;
        for asker in self.askers.drain(..) {
            asker.fail(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(bytes: usize) -> Asker {
        Asker::Sender(Bytes::from(vec![0; bytes]).into(), Progress::new())
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_one_that_alone_is_longer_may_wait() {
        let mut waiting = Waiting::default();
        assert!(waiting.has_room(1, WAITING_BYTES_MAX));
        for _ in 0..4 {
            waiting.push(sender((WAITING_BYTES_MAX / 4) - OVERHEAD_BYTES));
        }
        assert!(!waiting.has_room(1, 0), "an empty one takes room, too");
        let oldest = waiting.pop().unwrap();
        assert!(waiting.has_room(1, 0));
        waiting.push_back_to_front(oldest);
        assert!(!waiting.has_room(1, 0));
        waiting.fail_all(&SendError::Stopped);
        assert!(waiting.is_empty() && waiting.has_room(1, WAITING_BYTES_MAX));
    }
}
