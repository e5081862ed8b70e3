//! What members must agree on before they can be in one group, and those who do not.
//!
//! The genesis is named after it, so that whoever founds or asks to be admitted says with every
//! message what it takes the group to be. Whoever is told otherwise tells its own in return, which
//! is how both sides learn what differs. A stranger counts as if it were out of reach.

use quorate_membership::{Incarnation, Member, NodeId, ViewId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Body, Effects, Event, Group, GroupConfig, Message, Refusal};
use crate::Order;

/// Nodes that are remembered as strangers at one time.
const STRANGERS_MAX: usize = 256;

/// The part of a group's settings in which all its members have to agree.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Charter {
    order: Order,
    founders: Vec<NodeId>,
    witnesses: Vec<NodeId>,
    state_transfer: bool,
    partitionable: bool,
    application: u64,
}

impl Charter {
    pub(super) fn of(config: &GroupConfig) -> Self {
        let sorted = |nodes: &[NodeId]| {
            let mut nodes = nodes.to_vec();
            nodes.sort_unstable();
            nodes
        };
        Self {
            order: config.order,
            founders: sorted(&config.founders),
            witnesses: sorted(&config.witnesses),
            state_transfer: config.state_transfer,
            partitionable: config.partitionable,
            application: config.application,
        }
    }

    /// The view before the first one of a group with this charter.
    pub(super) fn genesis(&self) -> ViewId {
        let bytes = rmp_serde::to_vec(self).expect("numbers and lists can be encoded");
        ViewId { lineage: xxh3_64(&bytes), epoch: 0 }
    }

    /// What differs, in words.
    fn differs(&self, theirs: &Self) -> String {
        let on = |on: bool| if on { "on" } else { "off" };
        let pairs = [
            ("order", self.order.to_string(), theirs.order.to_string()),
            ("founders", list(&self.founders), list(&theirs.founders)),
            ("witnesses", list(&self.witnesses), list(&theirs.witnesses)),
            ("state", on(self.state_transfer).into(), on(theirs.state_transfer).into()),
            ("partitionable", on(self.partitionable).into(), on(theirs.partitionable).into()),
        ];
        let differs = pairs.iter().filter(|(_, mine, others)| mine != others);
        let mut words: Vec<String> =
            differs.map(|(what, mine, others)| format!("{what} is {mine} here and {others} there")).collect();
        if self.application != theirs.application {
            words.push("what the application binds to the group differs".to_owned());
        }
        words.join("; ")
    }
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A node with another charter.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    life: Incarnation,
    /// What differs, once it has told its charter.
    differs: Option<String>,
}

impl Group {
    /// Whether a message is one to this group, and not to another that the sender takes it for.
    pub(super) fn check_charter(
        &mut self,
        from: Member,
        message: &Message,
        out: &mut Effects,
    ) -> Result<bool, Refusal> {
        let same = match &message.body {
            // It names a founding that was given up, not the genesis.
            Body::Gone => true,
            Body::Charter(charter) => {
                self.on_charter(from, charter, out);
                return Ok(false);
            }
            Body::Side { charter, .. } => *charter == self.genesis.lineage,
            _ => !message.view.is_genesis() || message.view == self.genesis,
        };
        if same {
            return Ok(true);
        }
        let known = self.strangers.get(&from.node).is_some_and(|stranger| stranger.differs.is_some());
        self.note_stranger(from, None, out);
        self.tell_charter(from.node, out);
        // Once it has said what differs, that it goes on asking is no news.
        if known { Ok(false) } else { Err(Refusal::OtherCharter { from }) }
    }

    fn on_charter(&mut self, from: Member, theirs: &Charter, out: &mut Effects) {
        if *theirs == self.charter {
            return;
        }
        let differs = self.charter.differs(theirs);
        let known = self.strangers.get(&from.node).is_some_and(|stranger| stranger.differs.is_some());
        self.note_stranger(from, Some(differs.clone()), out);
        if !known {
            self.tell_charter(from.node, out);
            self.tell(Event::Stranger { member: from, differs }, out);
        }
    }

    fn note_stranger(&mut self, from: Member, differs: Option<String>, out: &mut Effects) {
        let stranger = self.strangers.entry(from.node);
        let stranger = stranger.or_insert(Stranger { life: from.incarnation, differs: None });
        stranger.life = from.incarnation;
        if differs.is_some() {
            stranger.differs = differs;
        }
        if self.strangers.len() > STRANGERS_MAX {
            self.strangers.pop_first();
        }
        if !self.lost_since.contains_key(&from.node) {
            self.note_lost(from.node, out);
        }
    }

    fn tell_charter(&mut self, to: NodeId, out: &mut Effects) {
        self.post(to, self.genesis, Body::Charter(self.charter.clone()), out);
    }

    pub(super) fn is_stranger(&self, node: NodeId) -> bool {
        self.strangers.contains_key(&node)
    }

    /// A newer life of a node may have been set up otherwise.
    pub(super) fn forget_stranger(&mut self, member: Member) {
        if self.strangers.get(&member.node).is_some_and(|stranger| stranger.life < member.incarnation) {
            self.strangers.remove(&member.node);
        }
    }

    /// Nodes that take the group for another one than this node does, and what differs.
    pub(super) fn strangers(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.strangers.iter().filter_map(|(node, stranger)| Some((*node, stranger.differs.as_deref()?)))
    }
}
