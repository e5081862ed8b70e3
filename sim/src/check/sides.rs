//! Partitionable groups: who comes along, and what they have delivered.
//!
//! | property | in one sentence |
//! |---|---|
//! | transitional set | of those who enter a view, exactly the members of my transitional set come out of the same view as I |
//! | exact cut | who goes on has delivered exactly the cut of its side |
//!
//! Transitional set broken by: n1 leaves v3 for v5 and is told that n2 comes along, which enters v5
//! out of v4. Exact cut: n1 enters v5 having delivered s6 of v3, and the cut of its side says s7.
//!
//! Source: Chockler, Keidar and Vitenberg, "Group Communication Specifications" (ACM Computing
//! Surveys 2001), property 4.2 (transitional set).

use std::collections::BTreeMap;

use quorate_membership::{Member, Seq, View, ViewId};

use super::Violation;

const TRANSITIONAL: &str = "transitional set";
const EXACT: &str = "exact cut of the side";

/// How a member came into a view.
#[derive(Debug)]
struct Entry {
    from: Option<ViewId>,
    with: Vec<Member>,
}

/// Watches how views of a partitionable group follow each other.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// What each member was told last about who comes along.
    told: BTreeMap<Member, (ViewId, Vec<Member>)>,
    entries: BTreeMap<ViewId, BTreeMap<Member, Entry>>,
}

impl Sides {
    pub(super) fn on_transitional(&mut self, at: Member, closes: ViewId, members: Vec<Member>) {
        self.told.insert(at, (closes, members));
    }

    /// A member leaves its view for none: whoever it was told of goes on without it.
    pub(super) fn on_outside(&mut self, at: Member) {
        self.told.remove(&at);
    }

    /// A member enters a view, having delivered this much per sender in the one before.
    pub(super) fn on_view(
        &mut self,
        at: Member,
        view: &View,
        before: Option<(&View, BTreeMap<Member, Seq>)>,
    ) -> Option<Violation> {
        let told = self.told.remove(&at);
        let (from, with) = match (&before, told) {
            (None, None) => (None, vec![at]),
            (Some((old, _)), Some((closes, with))) if old.id == closes => (Some(closes), with),
            (old, told) => {
                let what = format!("{at} enters {view} out of {old:?}, and was told of {told:?}");
                return Some(Violation { property: TRANSITIONAL, what });
            }
        };
        if let Some(stranger) = with.iter().find(|m| !view.has(**m)) {
            let what = format!("{at} is told that {stranger} comes along into {view}");
            return Some(Violation { property: TRANSITIONAL, what });
        }
        let entries = self.entries.entry(view.id).or_default();
        for (other, entry) in entries.iter() {
            let together = entry.from.is_some() && entry.from == from;
            if with.contains(other) != together || entry.with.contains(&at) != together {
                let what = format!(
                    "{at} enters {view} out of {from:?} with {with:?}, {other} out of {:?} with {:?}",
                    entry.from, entry.with
                );
                return Some(Violation { property: TRANSITIONAL, what });
            }
        }
        entries.insert(at, Entry { from, with });
        let (old, delivered) = before?;
        let side = view.side(old.id, at);
        let Some(side) = side else {
            return Some(Violation { property: EXACT, what: format!("{at} enters {view} by no side") });
        };
        let got = |sender: &Member| delivered.get(sender).copied().unwrap_or_default();
        let differs = old.members.iter().zip(&side.cut.0).find(|(sender, cut)| got(sender) != **cut);
        differs.map(|(sender, cut)| {
            let what = format!("{at} leaves {} with {} of {sender}, the cut is {cut}", old.id, got(sender));
            Violation { property: EXACT, what }
        })
    }
}
