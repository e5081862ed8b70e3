//! The voting half: what a member has promised and accepted about the end of one view.

use super::{Ballot, Breach};
use crate::Decree;

/// One member's vote on the end of one view.
///
/// Invariant: `accepted` was accepted at a ballot not above `promised`.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    promised: Option<Ballot>,
    accepted: Option<(Ballot, Decree)>,
    breach: Option<Breach>,
}

/// The ballot came too late: a higher one was promised. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("ballot {0} has been promised already")]
pub struct Outbid(pub Ballot);

impl Acceptor {
    /// An acceptor that has promised nothing.
    pub const fn new(breach: Option<Breach>) -> Self {
        Self { promised: None, accepted: None, breach }
    }

    /// The highest ballot promised.
    pub const fn promised(&self) -> Option<Ballot> {
        self.promised
    }

    /// Whether the view is sealed here: a promise was given.
    pub const fn is_sealed(&self) -> bool {
        self.promised.is_some()
    }

    /// Promises to take part in no lower ballot, and returns what was accepted before.
    ///
    /// # Errors
    /// [`Outbid`] if a higher ballot was promised.
    pub fn promise(&mut self, ballot: Ballot) -> Result<Option<(Ballot, Decree)>, Outbid> {
        self.bid(ballot)?;
        Ok(self.accepted.clone())
    }

    /// Accepts a decree.
    ///
    /// # Errors
    /// [`Outbid`] if a higher ballot was promised.
    pub fn accept(&mut self, ballot: Ballot, decree: Decree) -> Result<(), Outbid> {
        self.bid(ballot)?;
        self.accepted = Some((ballot, decree));
        Ok(())
    }

    /// Forgets the decree accepted, if `is_over` says of it that whether it was decided is known and
    /// no vote depends on it any more. The promise stands.
    pub fn withdraw(&mut self, is_over: impl FnOnce(&Decree) -> bool) {
        self.accepted.take_if(|(_, decree)| is_over(decree));
    }

    fn bid(&mut self, ballot: Ballot) -> Result<(), Outbid> {
        match self.promised {
            Some(promised) if promised > ballot && self.breach != Some(Breach::BreakPromise) => {
                Err(Outbid(promised))
            }
            _ => {
                self.promised = Some(ballot);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cut, NodeId, View, ViewId};

    fn ballot(round: u64) -> Ballot {
        Ballot { round, by: NodeId::new(1) }
    }

    fn decree() -> Decree {
        let id = ViewId { lineage: 1, epoch: 1 };
        let view =
            View { id, members: vec![], witnesses: vec![], learners: vec![], changes: vec![], sides: vec![] };
        Decree { closes: ViewId::default(), cut: Cut::default(), view }
    }

    #[test]
    fn a_promise_shuts_out_lower_ballots_and_reports_what_was_accepted() {
        let mut acceptor = Acceptor::new(None);
        acceptor.accept(ballot(2), decree()).unwrap();
        assert_eq!(acceptor.promise(ballot(1)), Err(Outbid(ballot(2))));
        assert_eq!(acceptor.promise(ballot(3)), Ok(Some((ballot(2), decree()))));
        assert_eq!(acceptor.accept(ballot(2), decree()), Err(Outbid(ballot(3))));
    }

    #[test]
    fn what_was_accepted_is_withdrawn_only_if_it_is_over_and_the_promise_stands() {
        let mut acceptor = Acceptor::new(None);
        acceptor.accept(ballot(2), decree()).unwrap();
        acceptor.withdraw(|_| false);
        assert_eq!(acceptor.promise(ballot(3)), Ok(Some((ballot(2), decree()))));
        acceptor.withdraw(|accepted| *accepted == decree());
        assert_eq!(acceptor.promise(ballot(1)), Err(Outbid(ballot(3))));
        assert_eq!(acceptor.promise(ballot(4)), Ok(None));
    }
}
