//! The promises of one member.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{Member, Seq, ViewId};
use quorate_protocols::{Effect, Effects, Event, Fate, RequestId, Ticket};

/// What one member can be held to, whatever the others say.
#[derive(Default)]
pub(crate) struct Home {
    view: Option<ViewId>,
    entered: BTreeSet<ViewId>,
    /// Per sender in the present view, the last message delivered.
    last: BTreeMap<Member, (Seq, u32)>,
    fates: BTreeMap<Ticket, Vec<Fate>>,
}

impl Home {
    /// Those of a member that is in this view.
    pub(crate) fn inside(view: Option<ViewId>) -> Self {
        Self { view, entered: view.into_iter().collect(), ..Self::default() }
    }

    /// How many views it has entered since.
    pub(crate) fn views(&self) -> usize {
        self.entered.len().saturating_sub(1)
    }

    pub(crate) fn check(&mut self, out: &Effects) {
        for effect in out {
            match effect {
                Effect::Deliver(Event::View(view)) => {
                    assert!(self.entered.insert(view.id), "{} is entered twice", view.id);
                    let former = self.entered.iter().filter(|id| id.lineage == view.id.lineage);
                    assert!(former.max() == Some(&view.id), "{} after a later one", view.id);
                    (self.view, self.last) = (Some(view.id), BTreeMap::new());
                }
                Effect::Deliver(
                    Event::Message { view, sender, seq, index, .. }
                    | Event::Request {
                        view,
                        request: RequestId { asker: sender, .. },
                        place: Some((seq, index)),
                        ..
                    },
                ) => {
                    assert_eq!(Some(*view), self.view, "V1: delivered in another view");
                    let last = self.last.insert(*sender, (*seq, *index));
                    let (seq_before, index_before) = last.unwrap_or_default();
                    let next_in_batch = *seq == seq_before && *index == index_before + 1;
                    assert!(
                        next_in_batch || *seq > seq_before && *index == 0,
                        "V6: {last:?}, then {seq} {index}"
                    );
                }
                Effect::Deliver(Event::Direct { view, .. }) => assert_eq!(Some(*view), self.view),
                Effect::Fate { ticket, fate } => {
                    let fates = self.fates.entry(*ticket).or_default();
                    let ended =
                        fates.iter().any(|it| matches!(it, Fate::Lost | Fate::Unknown | Fate::Delivered));
                    assert!(!ended && !fates.contains(fate), "{ticket:?}: {fates:?}, then {fate:?}");
                    fates.push(*fate);
                }
                _ => {}
            }
        }
    }
}
