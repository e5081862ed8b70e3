//! Which subjects are bound to which groups, as one state machine of a node's bus.
//!
//! The shell tells it which peers are linked, which groups they say they carry and which are configured
//! here, and carries out its effects in order over one reliable lane per link.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{GroupId, NodeId};

use super::{
    BusBreach, Carried, CarriesRefused, LinkId, Pattern, Subject,
    carried::{group_id, is_reserved},
    index::PatternIndex,
};

/// What the bus of a node wants done about bindings, in the order pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BindingEffect {
    /// Tell a peer all that is carried here.
    Announce {
        /// The peer.
        to: NodeId,
        /// The groups.
        carried: Vec<Carried>,
    },
    /// Other subjects than before are bound to a group, or it was not known before: whoever reads them
    /// reads the group from now on, and nobody else does.
    Changed(GroupId),
    /// Nobody in reach carries a group, and it is not configured here: nothing is known of it, and these
    /// subjects are no longer bound to it.
    Forgotten(GroupId, BTreeSet<Pattern>),
    /// Other peers than before carry a group.
    Carriers(GroupId),
    /// Two groups have common subjects, which from now on are bound to one of them only.
    Conflict {
        /// The name of the group that keeps its subjects.
        kept: String,
        /// The name of the one whose subjects, all of them, are bound to nothing.
        set_aside: String,
    },
    /// Nodes that carry a group do not say the same of its subjects; those of all of them are bound to it.
    Differ(String),
}

/// What is known of a group.
#[derive(Debug, Default)]
struct Known {
    name: String,
    /// The subjects configured here.
    configured: Option<BTreeSet<Pattern>>,
    /// Whether this node carries it.
    here: bool,
    /// The linked peers that carry it, with the subjects that each says.
    carriers: BTreeMap<NodeId, BTreeSet<Pattern>>,
    /// The subjects bound to it by all that is known; none if it is set aside.
    bound: BTreeSet<Pattern>,
    /// The name of the group for which it is set aside.
    set_aside_for: Option<String>,
    differs: bool,
}

impl Known {
    fn is_carried(&self) -> bool {
        self.here || !self.carriers.is_empty()
    }

    /// The subjects that all who carry it say; those configured here count if nobody carries it.
    fn said(&self) -> (BTreeSet<Pattern>, bool) {
        let own = self.configured.iter().filter(|_| self.here || self.carriers.is_empty());
        let all: BTreeSet<&BTreeSet<Pattern>> = own.chain(self.carriers.values()).collect();
        (all.iter().flat_map(|it| it.iter().cloned()).collect(), all.len() > 1)
    }
}

#[derive(Debug)]
struct Peer {
    link: LinkId,
    said: BTreeSet<GroupId>,
}

/// The bindings of subjects to groups, as one node knows them.
///
/// Of groups with common subjects the one with the lowest name keeps its subjects, and those of the
/// others are bound to nothing; a group that somebody carries goes before one that is only configured
/// here. So all nodes that are linked to the same carriers agree. A binding ends when its group is
/// neither configured here nor carried by a linked peer: what a peer says goes with its link.
///
/// Invariants: (I1) each group is configured here or carried by a linked peer; (I2) what is kept of a
/// peer is bounded by [`Carried::GROUPS_MAX`] and [`Carried::BYTES_MAX`]; (I3) no two groups have common
/// subjects bound to them; (I4) the index names what is bound to each group, and nothing else.
#[derive(Debug, Default)]
pub struct Bindings {
    groups: BTreeMap<GroupId, Known>,
    /// What is bound to all of them.
    bound: PatternIndex<GroupId>,
    peers: BTreeMap<NodeId, Peer>,
    breach: Option<BusBreach>,
}

impl Bindings {
    /// The same with a rule broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_breach(mut self, breach: Option<BusBreach>) -> Self {
        self.breach = breach;
        self
    }

    /// A peer is linked: it is told what is carried here. A link that it had before is gone.
    pub fn on_link(&mut self, peer: NodeId, link: LinkId, out: &mut Vec<BindingEffect>) {
        self.take_back(peer, BTreeMap::new(), out);
        self.peers.insert(peer, Peer { link, said: BTreeSet::new() });
        out.push(BindingEffect::Announce { to: peer, carried: self.carried() });
    }

    /// A link is gone, and with it what the peer carries, unless it has another already.
    pub fn on_unlink(&mut self, peer: NodeId, link: LinkId, out: &mut Vec<BindingEffect>) {
        if self.is_linked(peer, link) {
            if self.breach != Some(BusBreach::StaleBinding) {
                self.take_back(peer, BTreeMap::new(), out);
            }
            self.peers.remove(&peer);
        }
    }

    fn is_linked(&self, peer: NodeId, link: LinkId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.link == link)
    }

    /// A peer has said on a link which groups it carries: these and no others. What comes from a link
    /// that is gone does not count.
    ///
    /// # Errors
    /// [`CarriesRefused`]; what it said before stands.
    pub fn on_carries(
        &mut self,
        from: NodeId,
        link: LinkId,
        carried: Vec<Carried>,
        out: &mut Vec<BindingEffect>,
    ) -> Result<(), CarriesRefused> {
        Carried::check(carried.iter())?;
        if self.is_linked(from, link) {
            let said = carried.into_iter().map(|it| (group_id(&it.name), it));
            self.take_back(from, said.collect(), out);
        }
        Ok(())
    }

    /// A group is configured here, and carried here or not. All linked peers are told.
    ///
    /// # Errors
    /// [`CarriesRefused`] if no peer would keep it; nothing has changed.
    pub fn configure(
        &mut self,
        group: Carried,
        here: bool,
        out: &mut Vec<BindingEffect>,
    ) -> Result<(), CarriesRefused> {
        let id = group_id(&group.name);
        let mut all = self.configured(|other, _| other != id);
        all.push(group);
        Carried::check(all.iter())?;
        let Some(Carried { name, patterns }) = all.pop() else { return Ok(()) };
        let news = !self.groups.contains_key(&id);
        let known = self.groups.entry(id).or_default();
        known.name = name;
        known.configured = Some(patterns.into_iter().collect());
        known.here = here;
        self.resolve(news.then_some(id).into_iter().collect(), out);
        let carried = self.carried();
        for to in self.peers.keys() {
            out.push(BindingEffect::Announce { to: *to, carried: carried.clone() });
        }
        Ok(())
    }

    fn configured(&self, which: impl Fn(GroupId, &Known) -> bool) -> Vec<Carried> {
        let chosen = self.groups.iter().filter(|(id, known)| which(**id, known));
        let carried = chosen.filter_map(|(_, known)| {
            let patterns = known.configured.as_ref()?.iter().cloned().collect();
            Some(Carried { name: known.name.clone(), patterns })
        });
        carried.collect()
    }

    /// What is carried here.
    pub fn carried(&self) -> Vec<Carried> {
        self.configured(|_, known| known.here)
    }

    /// Puts what a peer carries in the place of what it said before.
    fn take_back(&mut self, peer: NodeId, said: BTreeMap<GroupId, Carried>, out: &mut Vec<BindingEffect>) {
        let Some(it) = self.peers.get_mut(&peer) else { return };
        let before = std::mem::replace(&mut it.said, said.keys().copied().collect());
        let (mut changed, mut news) = (BTreeSet::new(), BTreeSet::new());
        for id in before.into_iter().filter(|id| !said.contains_key(id)) {
            if let Some(known) = self.groups.get_mut(&id) {
                known.carriers.remove(&peer);
                changed.insert(id);
            }
        }
        for (id, Carried { name, patterns }) in said {
            if !self.groups.contains_key(&id) {
                news.insert(id);
            }
            let known = self.groups.entry(id).or_insert_with(|| Known { name, ..Known::default() });
            if known.carriers.insert(peer, patterns.into_iter().collect()).is_none() {
                changed.insert(id);
            }
        }
        let gone = |_: &GroupId, known: &mut Known| known.configured.is_none() && known.carriers.is_empty();
        let forgotten: Vec<_> = self.groups.extract_if(.., gone).map(|(id, it)| (id, it.bound)).collect();
        changed.retain(|id| self.groups.contains_key(id));
        out.extend(forgotten.into_iter().map(|(id, bound)| BindingEffect::Forgotten(id, bound)));
        out.extend(changed.into_iter().map(BindingEffect::Carriers));
        self.resolve(news, out);
    }

    /// Works out to which group each subject is bound.
    fn resolve(&mut self, mut changed: BTreeSet<GroupId>, out: &mut Vec<BindingEffect>) {
        let mut order: Vec<(bool, String, GroupId)> =
            self.groups.iter().map(|(id, it)| (!it.is_carried(), it.name.clone(), *id)).collect();
        order.sort_unstable();
        let mut bound: Vec<(Pattern, GroupId)> = Vec::new();
        for (_, _, id) in order {
            let Some((said, differs)) = self.groups.get(&id).map(Known::said) else { continue };
            let clash = bound.iter().find(|(taken, _)| said.iter().any(|pattern| pattern.overlaps(taken)));
            let clash = clash.and_then(|(_, other)| Some(self.groups.get(other)?.name.clone()));
            let Some(known) = self.groups.get_mut(&id) else { continue };
            let said = if clash.is_some() { BTreeSet::new() } else { said };
            bound.extend(said.iter().map(|pattern| (pattern.clone(), id)));
            if clash != known.set_aside_for
                && let Some(kept) = &clash
            {
                let set_aside = known.name.clone();
                out.push(BindingEffect::Conflict { kept: kept.clone(), set_aside });
            }
            if differs && !known.differs {
                out.push(BindingEffect::Differ(known.name.clone()));
            }
            (known.set_aside_for, known.differs) = (clash, differs);
            if known.bound != said {
                known.bound = said;
                changed.insert(id);
            }
        }
        self.bound = PatternIndex::default();
        for (pattern, id) in bound {
            self.bound.insert(pattern, id);
        }
        out.extend(changed.into_iter().map(BindingEffect::Changed));
    }

    /// The group to which a subject is bound. Those of the bus itself are bound to none.
    pub fn group_of(&self, subject: &Subject) -> Option<GroupId> {
        self.bound.find(subject).next().copied().filter(|_| !is_reserved(subject))
    }

    /// All groups that are known, with the subjects bound to each.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &BTreeSet<Pattern>)> + '_ {
        self.groups.iter().map(|(id, known)| (*id, &known.bound))
    }

    /// The subjects bound to a group.
    pub fn bound(&self, group: GroupId) -> Option<&BTreeSet<Pattern>> {
        self.groups.get(&group).map(|known| &known.bound)
    }

    /// Whether anything is known of a group.
    pub fn knows(&self, group: GroupId) -> bool {
        self.groups.contains_key(&group)
    }

    /// Whether all subjects that a pattern selects are bound to one group.
    pub fn covers(&self, pattern: &Pattern) -> bool {
        self.groups.values().any(|known| known.bound.iter().any(|bound| bound.covers(pattern)))
    }

    /// The linked peers that carry a group.
    pub fn carriers(&self, group: GroupId) -> impl Iterator<Item = NodeId> + '_ {
        self.groups.get(&group).into_iter().flat_map(|known| known.carriers.keys().copied())
    }
}

#[cfg(test)]
mod tests;
