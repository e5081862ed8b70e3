//! Partitionable groups: who is on this side, who is on another, and which sides could merge.
//!
//! Every member begins in a view of its own, so a newcomer, a member that restarted and a side of
//! a partition are the same thing: a side that others merge with. Members tell their coordinator
//! whom they hear beyond the view; coordinators tell each other their views and whom all of
//! their members hear. Sides merge only where everybody hears everybody, so that a link that is
//! still broken cannot undo the merge at once.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::{Change, Member, NodeId, Time, View, ViewId};

use super::{Body, Decree, Effects, Group, Message};

/// What is known here of other sides.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// What members of this side hear beyond it, and when they said so.
    hears: BTreeMap<Member, (Time, BTreeSet<NodeId>)>,
    /// Other sides by coordinator.
    others: BTreeMap<Member, Other>,
    /// Who is heard beyond this side, and since when it is just these.
    outside: (BTreeSet<NodeId>, Time),
}

#[derive(Debug)]
struct Other {
    at: Time,
    view: View,
    /// Nodes beyond it that all of its members hear.
    reach: BTreeSet<NodeId>,
}

impl Other {
    fn hears(&self, view: &View) -> bool {
        view.members.iter().all(|m| self.reach.contains(&m.node))
    }
}

impl Sides {
    /// A view begins: what was said about the one before says nothing about it.
    pub(super) fn clear(&mut self) {
        self.hears.clear();
        self.others.clear();
        self.outside.0.clear();
    }
}

impl Group {
    /// The side of one with which every member begins.
    pub(super) fn begin_alone(&mut self, out: &mut Effects) {
        self.highest_round += 1;
        let id = ViewId { lineage: self.new_lineage(), epoch: 1 };
        let (witnesses, learners, sides) = (Vec::new(), Vec::new(), Vec::new());
        let changes = vec![(self.me, Change::Founded)];
        let view = View { id, members: vec![self.me], witnesses, learners, changes, sides };
        self.enter(view, None, out);
    }

    /// Takes in what means something else in a partitionable group than in others, or comes from
    /// another side; the rest is handed back.
    pub(super) fn on_side_message(
        &mut self,
        from: Member,
        message: Message,
        out: &mut Effects,
    ) -> Option<Message> {
        let mine = self.view_id();
        let here = message.view == mine;
        match message.body {
            Body::Current { view, .. } | Body::Decided(Decree { view, .. }) => {
                self.on_told_view(from, &view, out);
            }
            Body::Side { view, reach, .. } => self.on_side(from, view, reach, out),
            Body::Hears { nodes } if here => {
                self.sides.hears.insert(from, (self.now, nodes.into_iter().collect()));
            }
            Body::AskOffer { ballot } if here => self.on_ask_offer(from, ballot, out),
            Body::Offer { answers, offer } => self.on_offer(message.view, answers, offer, out),
            // Who leads a merge speaks to the other sides in their coordinators' names.
            Body::Hold { ballot, decree } if here => {
                if let Some(decree) = self.as_seen_here(&decree.view) {
                    self.on_hold(from, ballot, decree, out);
                }
            }
            Body::Accept { ballot, decree } if here => {
                if let Some(decree) = self.as_seen_here(&decree.view) {
                    self.on_accept(from, ballot, decree, out);
                }
            }
            Body::Holding { ballot } if !here => {
                if let Some(own) = self.ballot_for(message.view, ballot) {
                    self.on_holding(from, own, out);
                }
            }
            Body::Accepted { ballot } if !here => {
                if let Some(own) = self.ballot_for(message.view, ballot) {
                    self.on_accepted(from, own, out);
                }
            }
            Body::Refused { promised } if !here => self.on_refused_elsewhere(message.view, promised),
            Body::Join { .. } | Body::Gone | Body::Hears { .. } | Body::AskOffer { .. } => {}
            Body::Where => return Some(message),
            _ if here => return Some(message),
            _ => self.on_other_side(from, message, out),
        }
        None
    }

    /// The decree for this member's side that a view of several sides stands for.
    fn as_seen_here(&self, view: &View) -> Option<Decree> {
        let present = self.view.as_ref()?;
        let side = view.side(present.id, self.me)?;
        let fits = side.cut.0.len() == present.members.len()
            && side.members.iter().all(|member| present.members.contains(member));
        fits.then(|| Decree { closes: present.id, cut: side.cut.clone(), view: view.clone() })
    }

    /// A view that stands, as its members say: this member follows if it leads on from here; else
    /// those who went there have parted from it.
    fn on_told_view(&mut self, from: Member, view: &View, out: &mut Effects) {
        let mine = self.view_id();
        if view.id == mine {
            return self.see(from);
        }
        if let Some(decree) = self.as_seen_here(view) {
            return self.on_decided(from, decree, out);
        }
        let left_behind = view.sides.iter().find(|side| side.closes == mine);
        if let Some(side) = left_behind.filter(|_| self.wants_out) {
            // They have let this member go.
            let decree = Decree { closes: mine, cut: side.cut.clone(), view: view.clone() };
            return self.on_decided(from, decree, out);
        }
        self.drop_early(view.id);
        if let Some(side) = left_behind {
            let parted: Vec<Member> = side.members.iter().copied().filter(|m| *m != self.me).collect();
            self.gone.extend(parted.into_iter().map(|member| (member, end_of(mine))));
        } else {
            self.note_elsewhere(from, view.id, out);
        }
    }

    /// A member of this view says that it is in another one.
    fn note_elsewhere(&mut self, from: Member, other: ViewId, out: &mut Effects) {
        let Some(view) = self.view.as_ref().filter(|view| view.has(from)) else { return };
        // Its views have growing numbers, so one that is not beyond its side's is an old one.
        let came = view.comes_from(from);
        if came.is_none_or(|came| other.epoch > came.epoch) {
            let end = end_of(view.id);
            self.gone.insert(from, end);
        } else if came == Some(other) {
            self.answer_where(from.node, other, out); // it is still on its way
        }
    }

    /// A message of a view that is not the present one here.
    fn on_other_side(&mut self, from: Member, message: Message, out: &mut Effects) {
        let mine = self.view_id();
        if let Body::Fetch(gap) = message.body {
            return self.on_fetch(from, message.view, gap, out);
        }
        let was_here = self.past.iter().any(|past| past.decree.closes == message.view);
        if !was_here && message.view.epoch > mine.epoch {
            let asked = self.early.iter().any(|(other, _)| *other == from);
            self.keep_early(from, message);
            if !asked {
                self.post(from.node, mine, Body::Where, out);
            }
        } else if message.body.waits_in_its_view() {
            self.answer_where(from.node, message.view, out);
        }
    }

    /// Nothing of a view that cannot be entered from here is waited for.
    fn drop_early(&mut self, view: ViewId) {
        self.early.retain(|(_, message)| message.view != view);
        self.early_bytes = self.early.iter().map(|(_, message)| message.body.weight()).sum();
    }

    /// Nodes beyond this side that are heard here and may belong to the group.
    pub(super) fn outside(&self) -> impl Iterator<Item = NodeId> + '_ {
        let view = self.view.as_ref().filter(|_| self.config.partitionable);
        let beyond = move |node: &NodeId| view.is_some_and(|view| !view.has_node(*node));
        self.contacts.nodes().into_iter().filter(move |node| beyond(node) && self.reachable.contains(node))
    }

    /// Tells the coordinator what is heard beyond this side; the coordinator tells the other sides.
    pub(super) fn tick_sides(&mut self, out: &mut Effects) {
        let oldest = self.now - self.config.timing.detect();
        self.sides.hears.retain(|_, (at, _)| *at >= oldest);
        self.sides.others.retain(|_, other| other.at >= oldest);
        let nodes: BTreeSet<NodeId> = self.outside().collect();
        if nodes != self.sides.outside.0 {
            self.sides.outside = (nodes.clone(), self.now);
        }
        let (Some(coordinator), Some(view)) = (self.coordinator(), &self.view) else { return };
        if nodes.is_empty() {
            return;
        }
        let (mine, view) = (view.id, view.clone());
        if coordinator == self.me {
            let reach = self.common_reach().into_iter().collect();
            self.post_all(nodes, mine, Body::Side { view, reach, charter: self.genesis.lineage }, out);
        } else {
            let nodes = nodes.into_iter().collect();
            self.post(coordinator.node, mine, Body::Hears { nodes }, out);
        }
    }

    fn on_side(&mut self, from: Member, view: View, reach: Vec<NodeId>, out: &mut Effects) {
        let mine = self.view_id();
        let Some(present) = &self.view else { return };
        if view.id == mine {
            self.see(from);
        } else if present.has(from) {
            self.post(from.node, mine, Body::Where, out); // it may have gone on from here
        } else if view.members.contains(&from) {
            let other = Other { at: self.now, view, reach: reach.into_iter().collect() };
            self.sides.others.insert(from, other);
        }
    }

    /// Nodes beyond this side that all of its members hear.
    fn common_reach(&self) -> BTreeSet<NodeId> {
        let mut reach: BTreeSet<NodeId> = self.outside().collect();
        let others = self.view.iter().flat_map(|view| &view.members).filter(|m| **m != self.me);
        for member in others {
            let heard = self.sides.hears.get(member).map(|(_, nodes)| nodes);
            reach.retain(|node| heard.is_some_and(|heard| heard.contains(node)));
        }
        reach
    }

    /// The sides that this coordinator should merge with now: none if one of them has a coordinator
    /// with a lower name, for that one leads.
    pub(super) fn mergeable(&self) -> Vec<(Member, View)> {
        let Some(view) = self.view.as_ref().filter(|_| self.config.partitionable) else { return Vec::new() };
        // What heals does so in pieces: two heartbeats bring them together into one merge.
        if self.now < self.sides.outside.1 + self.config.timing.heartbeat() * 2 {
            return Vec::new();
        }
        let reach = self.common_reach();
        let alive = |view: &View| view.members.iter().all(|m| !self.is_superseded(*m));
        let fit = |other: &Other| {
            let apart = other.view.members.iter().all(|m| !view.has_node(m.node));
            let heard = other.view.members.iter().all(|m| reach.contains(&m.node));
            apart && heard && other.hears(view) && alive(&other.view)
        };
        let mut chosen: Vec<(Member, &Other)> = Vec::new();
        for (coordinator, other) in self.sides.others.iter().filter(|(_, other)| fit(other)) {
            if coordinator.node < self.me.node {
                return Vec::new();
            }
            let goes_with = |(_, one): &(Member, &Other)| {
                let apart = other.view.members.iter().all(|m| !one.view.has_node(m.node));
                apart && one.hears(&other.view) && other.hears(&one.view)
            };
            if chosen.iter().all(goes_with) {
                chosen.push((*coordinator, other));
            }
        }
        chosen.into_iter().map(|(coordinator, other)| (coordinator, other.view.clone())).collect()
    }
}

/// Beyond every view of this lineage: whoever went another way votes in none of them any more.
const fn end_of(view: ViewId) -> ViewId {
    ViewId { epoch: u64::MAX, ..view }
}
