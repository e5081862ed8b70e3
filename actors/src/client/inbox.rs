//! Requests of the user's own, and the answers that come back.

use std::collections::BTreeMap;

use quorate_protocols::bus::{Pattern, PublisherId, Subject, SubjectError};
use tokio::sync::oneshot;

use crate::bus::{Delivery, PublishError, RequestError};

/// Every so many requests those that nobody waits for any more are forgotten.
const SWEEP_EVERY: u64 = 1024;

type Asker = oneshot::Sender<Result<Delivery, RequestError>>;

/// The subjects on which answers come, and who waits for which.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The first words of all these subjects.
    prefix: String,
    last: u64,
    /// By its number: the number of its publication, and who asks.
    open: BTreeMap<u64, (u64, Asker)>,
}

impl Inbox {
    pub(super) fn new(PublisherId { member, session }: PublisherId) -> Self {
        let prefix = format!("_inbox.c{}.{}.{session}", member.node.get(), member.incarnation);
        Self { prefix, last: 0, open: BTreeMap::new() }
    }

    /// Selects all answers.
    pub(super) fn pattern(&self) -> Result<Pattern, SubjectError> {
        format!("{}.>", self.prefix).parse()
    }

    /// A number for the next request, and where its answer is to come.
    pub(super) fn next(&mut self) -> Result<(u64, Subject), SubjectError> {
        self.last += 1;
        if self.last.is_multiple_of(SWEEP_EVERY) {
            self.open.retain(|_, (_, asker)| !asker.is_closed());
        }
        Ok((self.last, format!("{}.{}", self.prefix, self.last).parse()?))
    }

    /// The request was published under a number.
    pub(super) fn wait(&mut self, request: u64, publication: u64, asker: Asker) {
        self.open.insert(request, (publication, asker));
    }

    /// A publication failed: if it was a request, its asker hears why.
    pub(super) fn fail(&mut self, publication: u64, error: &PublishError) {
        let failed = self.open.extract_if(.., |_, (of, _)| *of == publication).next();
        if let Some((_, (_, asker))) = failed {
            // Whoever no longer waits does not care.
            let _ = asker.send(Err(match error.clone() {
                PublishError::NoResponders(subject) => RequestError::NoResponders(subject),
                other => other.into(),
            }));
        }
    }

    /// An answer has come.
    pub(super) fn answer(&mut self, delivery: Delivery) {
        let number = delivery.subject.as_str().rsplit('.').next().and_then(|word| word.parse().ok());
        if let Some((_, asker)) = number.and_then(|number: u64| self.open.remove(&number)) {
            // It may have timed out.
            let _ = asker.send(Ok(delivery));
        }
    }
}
