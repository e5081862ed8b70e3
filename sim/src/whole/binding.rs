//! Which subjects are bound to which groups: what nodes tell each other about it, and a group that a
//! node carries now and then and that binds what another one binds.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{GroupId, Member};
use quorate_protocols::bus::{BindingEffect, Bindings, Carried, Pattern, group_id};

use super::{World, network::Frame, node::Parts};

/// The names of the groups with bound subjects, in the order of their configurations.
const NAMES: [&str; 2] = ["order", "news"];
/// The group that contradicts the second of them, and goes before it.
const RIVAL: &str = "gossip";

fn carried(name: &str, subjects: &str) -> Carried {
    Carried { name: name.to_owned(), patterns: vec![subjects.parse().expect("a pattern")] }
}

/// The name of a group with bound subjects, of which the first groups are.
pub(super) fn bound_name(group: GroupId) -> Option<&'static str> {
    let index = usize::try_from(group.get()).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

impl World {
    /// Lets the bindings of a node do something, and carries out what they want done.
    pub(super) fn bindings<T>(
        &mut self,
        life: Member,
        act: impl FnOnce(&mut Bindings, &mut Vec<BindingEffect>) -> T,
    ) -> Option<T> {
        let parts = self.nodes.get_mut(&life.node)?.parts.as_mut()?;
        let mut out = Vec::new();
        let done = act(&mut parts.bindings, &mut out);
        let mut carriers = parts.bindings.groups().flat_map(|(group, _)| parts.bindings.carriers(group));
        let stray = carriers.find(|carrier| !parts.links.contains_key(carrier));
        drop(carriers);
        if let Some(carrier) = stray {
            self.bus.on_stray_carrier(life, carrier);
        }
        for effect in out {
            match effect {
                BindingEffect::Announce { to, carried } => self.send(life, to, Frame::Carries(carried)),
                BindingEffect::Conflict { .. } => self.tally.conflicts += 1,
                _ => {}
            }
        }
        Some(done)
    }

    /// A node carries a group with bound subjects, or has left it.
    pub(super) fn carry(&mut self, life: Member, group: GroupId, here: bool) {
        let Some(name) = bound_name(group) else { return };
        self.configure(life, carried(name, &format!("{name}.*")), here);
    }

    fn configure(&mut self, life: Member, group: Carried, here: bool) {
        let done = self.bindings(life, |bindings, out| bindings.configure(group, here, out));
        debug_assert!(done.is_none_or(|done| done.is_ok()), "nobody carries so much");
    }

    /// A node begins or ceases to carry the group that contradicts another.
    pub(super) fn toggle_rival(&mut self, life: Member) {
        let Some(parts) = self.nodes[&life.node].parts.as_ref() else { return };
        let carries = parts.bindings.carried().iter().any(|carried| carried.name == RIVAL);
        self.configure(life, carried(RIVAL, "news.>"), !carries);
    }

    /// What is wrong with the bindings that a node of the healed cluster knows.
    pub(super) fn misbound(&self, parts: &Parts) -> Option<String> {
        let rival = |parts: &Parts| parts.bindings.carried().iter().any(|it| it.name == RIVAL);
        let rival = self.nodes.values().filter_map(|node| node.parts.as_ref()).any(rival);
        let [order, news] = NAMES;
        let winner = if rival { carried(RIVAL, "news.>") } else { carried(news, "news.*") };
        let expected = [carried(order, "order.*"), winner].map(|it| (group_id(&it.name), it.patterns));
        let expected: BTreeMap<GroupId, BTreeSet<Pattern>> =
            expected.into_iter().map(|(id, patterns)| (id, patterns.into_iter().collect())).collect();
        let bound = parts.bindings.groups().filter(|(_, bound)| !bound.is_empty());
        let bound: BTreeMap<_, _> = bound.map(|(id, bound)| (id, bound.clone())).collect();
        (bound != expected).then(|| format!("binds {bound:?}"))
    }
}
