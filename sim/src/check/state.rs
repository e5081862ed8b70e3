//! State transfer: members that enter a view have the same state, newcomers included.
//!
//! The state counts what was delivered, so whatever is missed or applied twice shows.
//! Broken by: n3 is admitted by v4 with the state of n1 after the first message of v4.

use std::collections::BTreeMap;

use quorate_membership::{Member, View, ViewId};

use super::Violation;
use crate::replica::State;

/// Compares the states of all who enter a view.
#[derive(Debug, Default)]
pub(super) struct States(BTreeMap<ViewId, (Member, State)>);

impl States {
    pub(super) fn on_view(&mut self, at: Member, view: &View, state: Option<&State>) -> Option<Violation> {
        let property = "S7 state at the cut";
        if view.witnesses.contains(&at) {
            return None;
        }
        let Some(state) = state else {
            return Some(Violation { property, what: format!("{at} entered {view} without its state") });
        };
        let (other, theirs) = self.0.entry(view.id).or_insert_with(|| (at, state.clone()));
        let what = || format!("{at} entered {view} with {state:?}, {other} with {theirs:?}");
        (theirs != state).then(|| Violation { property, what: what() })
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, NodeId};

    use super::*;

    fn view(members: Vec<Member>) -> View {
        let id = ViewId { lineage: 1, epoch: 4 };
        let (witnesses, learners, changes, sides) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        View { id, members, witnesses, learners, changes, sides }
    }

    #[test]
    fn a_message_applied_twice_and_a_state_that_is_missing_are_noticed() {
        let [one, two, three] = [1, 2, 3].map(|node| Member::new(NodeId::new(node), Incarnation::new(1)));
        let (view, mut states) = (view(vec![one, two, three]), States::default());
        let (mut once, mut twice) = (State::default(), State::default());
        once.apply(b"x", false);
        twice.apply(b"x", false);
        assert_eq!(states.on_view(one, &view, Some(&once)), None);
        assert_eq!(states.on_view(two, &view, Some(&twice)), None);
        twice.apply(b"x", false);
        assert!(states.on_view(three, &view, Some(&twice)).is_some());
        assert!(states.on_view(three, &view, None).is_some());
    }
}
