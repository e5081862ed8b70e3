//! Views: the agreed membership of a group, and the cut at which one gives way to the next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Member, NodeId};

/// Position in one sender's stream within one view; the first frame is 1, and 0 means "none".
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first frame.
    pub const NONE: Self = Self(0);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the position.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1)) // a peer may name the last one there is
    }

    /// The position before this one; `NONE` has none and stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// Number of a view: strictly increasing within a lineage, without gaps. Shown as `v3`.
///
/// The lineage names one founding of the group; a group that lost its majority for good and is
/// founded anew has another. That of a genesis, which is not a founding yet, names what the founders
/// take the group to be. In a partitionable group every view has a lineage of its own, as two sides may have views with the same number.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ViewId {
    /// Which founding of the group this view descends from, or which attempt to close views made it.
    pub lineage: u64,
    /// The view's number within the lineage.
    pub epoch: u64,
}

impl ViewId {
    /// Whether this is a genesis: the view of declared founders, before anything was agreed.
    pub const fn is_genesis(self) -> bool {
        self.epoch == 0
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.epoch)
    }
}

/// Why a member appears in or is missing from a view, compared with the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// It founded the group.
    Founded,
    /// It asked to join and was admitted, or it learned enough to become a data member.
    Joined,
    /// It asked to join and was admitted as a learner.
    Learns,
    /// It asked to leave.
    Left,
    /// Enough members lost it, or it did not answer while the view was closed.
    Unreachable,
    /// Its node runs a newer incarnation.
    Superseded,
    /// It held the others back for longer than the group's policy allows. If it is among the
    /// learners it goes on as one.
    TooSlow,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Founded => "founded",
            Self::Joined => "joined",
            Self::Learns => "learns",
            Self::Left => "left",
            Self::Unreachable => "unreachable",
            Self::Superseded => "superseded",
            Self::TooSlow => "too slow",
        })
    }
}

/// An agreed membership of a group.
///
/// Data members hold the group's messages; acceptors vote on the next view. Witnesses vote and
/// hold nothing, so they count for agreement and never for holding. Learners receive everything
/// and count for nothing, until they have caught up and a later view makes them data members.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The view's number.
    pub id: ViewId,
    /// The data members in rank order: the senior first, who coordinates.
    pub members: Vec<Member>,
    /// Members that vote and hold no data.
    pub witnesses: Vec<Member>,
    /// Members that receive and neither vote nor hold.
    pub learners: Vec<Member>,
    /// What differs from the view before, and why. Where several views were closed, the one before
    /// is that of the first side.
    pub changes: Vec<(Member, Change)>,
    /// Partitionable groups: which views were closed for this one, and where each was cut; several if
    /// sides of a partition have merged, none if a member begins alone. Empty in primary groups.
    pub sides: Vec<Side>,
}

/// Members that come from the same view together: the transitional set of each of them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The view that they leave.
    pub closes: ViewId,
    /// Where it is cut for them; who parted from them has another cut.
    pub cut: Cut,
    /// Those who go together, in rank order.
    pub members: Vec<Member>,
}

impl View {
    /// The side by which `member` comes here out of the view `closes`.
    pub fn side(&self, closes: ViewId, member: Member) -> Option<&Side> {
        self.sides.iter().find(|side| side.closes == closes && side.members.contains(&member))
    }

    /// The view out of which `member` comes here; `None` in a primary group, or if it began alone.
    pub fn comes_from(&self, member: Member) -> Option<ViewId> {
        self.sides.iter().find(|side| side.members.contains(&member)).map(|side| side.closes)
    }

    /// Returns the rank of a data member, by member; in the genesis by node alone.
    pub fn rank(&self, member: Member) -> Option<usize> {
        self.members.iter().position(|m| self.same(*m, member))
    }

    /// Whether `member` may vote on the next view.
    pub fn is_acceptor(&self, member: Member) -> bool {
        self.acceptors().any(|m| self.same(m, member))
    }

    /// All who vote: data members, then witnesses.
    pub fn acceptors(&self) -> impl Iterator<Item = Member> + '_ {
        self.members.iter().chain(&self.witnesses).copied()
    }

    /// All who are in the view in any role.
    pub fn participants(&self) -> impl Iterator<Item = Member> + '_ {
        self.acceptors().chain(self.learners.iter().copied())
    }

    /// Whether `member` is in the view in any role.
    pub fn has(&self, member: Member) -> bool {
        self.participants().any(|m| self.same(m, member))
    }

    /// Whether a node takes part in this view in any role and life.
    pub fn has_node(&self, node: NodeId) -> bool {
        self.participants().any(|m| m.node == node)
    }

    /// Number of acceptors that decide the next view.
    pub fn agreement_quorum(&self) -> usize {
        majority(self.members.len() + self.witnesses.len())
    }

    fn same(&self, listed: Member, asked: Member) -> bool {
        listed == asked || (self.id.is_genesis() && listed.node == asked.node)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{", self.id)?;
        for (i, member) in self.members.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, member.node)?;
        }
        for witness in &self.witnesses {
            write!(f, ", {} (witness)", witness.node)?;
        }
        for learner in &self.learners {
            write!(f, ", {} (learner)", learner.node)?;
        }
        f.write_str("}")
    }
}

/// The smallest number that is more than half of `n`.
pub const fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// How many data members must have sealed a view of `n` before it may be closed, if a message
/// counts as held once `w` of them have it.
///
/// Any `w` holders and any `n - w + 1` sealed members have one in common: `w + (n - w + 1) > n`.
/// That one acknowledged before it sealed, so the message is among what it reports.
///
/// Source: the intersection argument of Gifford, "Weighted voting for replicated data" (SOSP
/// 1979), section 3, applied to closing a view.
pub const fn closing_quorum(n: usize, w: usize) -> usize {
    (n + 1).saturating_sub(w)
}

/// The agreed end of a view: for each of its data members, in rank order, the last frame of that
/// sender that is delivered in the view.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cut(pub Vec<Seq>);

/// What is agreed upon when a view ends: the next one, and the cut of the present one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Decree {
    /// The view that is closed.
    pub closes: ViewId,
    /// Where it is cut.
    pub cut: Cut,
    /// The view that is opened.
    pub view: View,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holding_quorum_meets_every_closing_quorum() {
        for n in 1..=9 {
            for w in 1..=n {
                assert!(w + closing_quorum(n, w) > n);
            }
            assert!(majority(n) * 2 > n);
        }
    }
}
