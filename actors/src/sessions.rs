//! The names under which a node itself publishes.

use std::{cell::Cell, rc::Rc};

use quorate_membership::Member;
use quorate_protocols::bus::PublisherId;

/// Names the sessions of one life of a node. Numbers of publications begin anew with each, so no two bear
/// the same name: a group would take what comes in the second for repetitions. Clones draw from one source.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    member: Member,
    begun: Rc<Cell<u64>>,
}

impl Sessions {
    pub(crate) fn new(member: Member) -> Self {
        Self { member, begun: Rc::default() }
    }

    /// The node in its life.
    pub(crate) const fn member(&self) -> Member {
        self.member
    }

    /// Begins one: a stay of the node in a group, or the use of other nodes for a group.
    pub(crate) fn begin(&self) -> PublisherId {
        let session = self.begun.get();
        self.begun.set(session + 1);
        PublisherId { member: self.member, session }
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, NodeId};

    use super::*;

    #[test]
    fn no_two_sessions_bear_the_same_name() {
        let sessions = Sessions::new(Member::new(NodeId::new(1), Incarnation::new(1)));
        let other = sessions.clone();
        let names = [sessions.begin(), other.begin(), sessions.begin()];
        assert_eq!(names.map(|name| name.session), [0, 1, 2]);
    }
}
