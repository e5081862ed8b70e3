//! What is delivered, and in which views: V1, V2 (which is I8), V3, V4 and V6.
//!
//! V1 broken by: n1 delivers in v2 what n2 sent in v1. V2: n1 and n2 go from v1 to v2, and only n1
//! has delivered m in v1. V3: n3 delivers m as uniform and dies; n1 closes the view without m. V4:
//! n0 enters v4 = {n0, n1}, n2 enters v4 = {n1, n2}. V6: n1 delivers the second frame of n2 before
//! the first.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_membership::{Member, Seq, View, ViewId};
use quorate_protocols::Order;

use super::{Name, Violation};

/// What one life of a node has seen.
#[derive(Debug, Default)]
struct Life {
    view: Option<View>,
    /// Whether what it delivers is for those only who come along.
    transitional: bool,
    /// What it delivered in its view, in order.
    delivered: Vec<Name>,
    /// The last frame and place delivered per sender.
    last: BTreeMap<Member, (Seq, u32)>,
}

/// What a message's sender had delivered when it submitted: the view, and per sender a frame.
#[derive(Clone, Debug)]
struct Past {
    view: ViewId,
    delivered: BTreeMap<Member, Seq>,
}

/// Watches all deliveries and views of one group.
#[derive(Debug)]
pub(super) struct Delivery {
    order: Order,
    partitionable: bool,
    lives: BTreeMap<Member, Life>,
    views: BTreeMap<ViewId, View>,
    /// What those who closed a view had delivered in it; in a partitionable group, those who went
    /// on to the same next view.
    closings: BTreeMap<(ViewId, Option<ViewId>), (Member, Vec<Name>)>,
    /// What must be in a view's closing, and who says so.
    promised: BTreeMap<ViewId, BTreeMap<Name, Member>>,
    submitted: BTreeMap<Bytes, Past>,
    seen: BTreeMap<Bytes, (ViewId, Name)>,
    violation: Option<Violation>,
}

impl Delivery {
    /// Watches a group of this order.
    pub(super) const fn new(order: Order, partitionable: bool) -> Self {
        Self {
            order,
            partitionable,
            lives: BTreeMap::new(),
            views: BTreeMap::new(),
            closings: BTreeMap::new(),
            promised: BTreeMap::new(),
            submitted: BTreeMap::new(),
            seen: BTreeMap::new(),
            violation: None,
        }
    }

    /// The first property that did not hold.
    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The view that this life is in, and how far it has delivered of each sender.
    pub(super) fn progress(&self, at: Member) -> Option<(&View, BTreeMap<Member, Seq>)> {
        let life = self.lives.get(&at)?;
        let last = life.last.iter().map(|(sender, (seq, _))| (*sender, *seq)).collect();
        Some((life.view.as_ref()?, last))
    }

    /// The view that this life is in.
    pub(super) fn view_of(&self, at: Member) -> Option<ViewId> {
        self.lives.get(&at)?.view.as_ref().map(|view| view.id)
    }

    /// Number of different views installed.
    pub(super) fn views(&self) -> usize {
        self.views.len()
    }

    fn fail(&mut self, property: &'static str, what: String) {
        self.violation.get_or_insert(Violation { property, what });
    }

    /// A member submits a message whose payload nobody else uses.
    pub(super) fn on_submit(&mut self, by: Member, payload: Bytes) {
        let life = self.lives.entry(by).or_default();
        let view = life.view.as_ref().map_or_else(ViewId::default, |view| view.id);
        let delivered = life.last.iter().map(|(sender, (seq, _))| (*sender, *seq)).collect();
        self.submitted.insert(payload, Past { view, delivered });
    }

    pub(super) fn is_submitted(&self, payload: &Bytes) -> bool {
        self.submitted.contains_key(payload)
    }

    /// A member enters a view.
    pub(super) fn on_view(&mut self, at: Member, view: &View) {
        let known = self.views.entry(view.id).or_insert_with(|| view.clone());
        if known != view {
            let what = format!("{at} entered {view}, but others {known}");
            return self.fail("V4 one view per number", what);
        }
        if !view.has(at) {
            return self.fail("V4 one view per number", format!("{at} entered {view} and is not in it"));
        }
        let life = self.lives.entry(at).or_default();
        let before = life.view.replace(view.clone());
        let delivered = std::mem::take(&mut life.delivered);
        life.last.clear();
        life.transitional = false;
        if let Some(before) = before {
            if before.id.lineage == view.id.lineage && before.id.epoch + 1 != view.id.epoch {
                return self.fail("V4 no gaps", format!("{at} went from {} to {}", before.id, view.id));
            }
            if before.rank(at).is_some() || before.learners.contains(&at) {
                self.close(at, before.id, view.id, delivered);
            }
        }
    }

    /// A member is told who comes along into its next view.
    pub(super) fn on_transitional(&mut self, at: Member) {
        self.lives.entry(at).or_default().transitional = true;
    }

    /// A member was removed, or its lineage was lost: it has closed nothing.
    pub(super) fn on_outside(&mut self, at: Member) {
        let life = self.lives.entry(at).or_default();
        life.view = None;
        life.delivered.clear();
        life.last.clear();
    }

    /// Two who close the same view have the same decree (V4), so they must have delivered the same. In
    /// a partitionable group that holds for those who come into the same view.
    fn close(&mut self, at: Member, view: ViewId, next: ViewId, mut delivered: Vec<Name>) {
        let key = (view, self.partitionable.then_some(next));
        if !self.order.is_total() {
            delivered.sort_unstable();
        }
        if let Some((other, theirs)) = self.closings.get(&key) {
            if *theirs != delivered {
                let differs = theirs.iter().zip(&delivered).position(|(a, b)| a != b);
                let what = format!(
                    "{at} closed {view} with {} messages, {other} with {}; first difference at {differs:?}",
                    delivered.len(),
                    theirs.len()
                );
                self.fail("V2 same messages", what);
            }
            return;
        }
        let all: BTreeSet<&Name> = delivered.iter().collect();
        let promised = self.promised.get(&view);
        let missing = promised.and_then(|p| p.iter().find(|(name, _)| !all.contains(name)));
        if let Some((name, by)) = missing {
            let what = format!("{at} closed {view} without {name:?}, which was uniform at {by}");
            return self.fail("V3 uniform", what);
        }
        self.closings.insert(key, (at, delivered));
    }

    /// A member delivers a message.
    pub(super) fn on_message(&mut self, at: Member, view: ViewId, name: Name, payload: &Bytes) {
        let causal = self.order > Order::Fifo;
        let life = self.lives.entry(at).or_default();
        if life.view.as_ref().map(|v| v.id) != Some(view) {
            let what = format!("{at} delivered {name:?} of {view} in {:?}", life.view);
            return self.fail("V1 sending view", what);
        }
        let place = (name.1, name.2);
        if life.last.get(&name.0).is_some_and(|last| *last >= place) {
            return self.fail("V6 once, in sender order", format!("{at} delivered {name:?} again or late"));
        }
        let Some(past) = self.submitted.get(payload) else {
            return self
                .fail("V6 nothing out of nothing", format!("{at} delivered {name:?}, never submitted"));
        };
        let lacks = |(sender, seq): (&Member, &Seq)| {
            *sender != name.0 && life.last.get(sender).is_none_or(|(last, _)| last < seq)
        };
        if causal && past.view == view && past.delivered.iter().any(lacks) {
            return self.fail("V6 causal order", format!("{at} delivered {name:?} before what caused it"));
        }
        life.last.insert(name.0, place);
        life.delivered.push(name);
        if *self.seen.entry(payload.clone()).or_insert((view, name)) != (view, name) {
            return self.fail("V6 once", format!("{at} delivered {name:?} in {view} under a second name"));
        }
        if self.order == Order::Uniform {
            self.promise(at, view, name);
        }
    }

    /// A sender was told that its message is uniform: it has delivered it, and all who close the view do.
    pub(super) fn on_uniform(&mut self, at: Member, payload: &Bytes) {
        match self.seen.get(payload).copied() {
            Some((view, name)) => {
                let life = self.lives.get(&at).filter(|life| life.view.as_ref().map(|v| v.id) == Some(view));
                let last = life.and_then(|life| life.last.get(&name.0));
                if last.is_none_or(|last| *last < (name.1, name.2)) {
                    let what = format!("{at} was told that {name:?} is uniform, but has not delivered it");
                    return self.fail("V3 uniform", what);
                }
                self.promise(at, view, name);
            }
            None => self.fail("V3 uniform", format!("{at} was told that an undelivered message is uniform")),
        }
    }

    /// A message just delivered is marked as uniform, or as not yet so.
    pub(super) fn on_mark(&mut self, at: Member, uniform: bool, payload: &Bytes) {
        if uniform {
            self.on_uniform(at, payload);
        } else if self.order == Order::Uniform {
            self.fail("V3 uniform", format!("{at} delivered in uniform order what it calls not yet uniform"));
        }
    }

    fn promise(&mut self, at: Member, view: ViewId, name: Name) {
        if self.lives.get(&at).is_some_and(|life| life.transitional) {
            return; // it is promised to those only who come along, and they are compared at its end
        }
        let of_view = (view, None)..(ViewId { epoch: view.epoch + 1, ..view }, None);
        for (_, (by, closing)) in self.closings.range(of_view) {
            let held = if self.order.is_total() {
                closing.contains(&name)
            } else {
                closing.binary_search(&name).is_ok()
            };
            if !held {
                let what = format!("{name:?} became uniform at {at} though {by} closed {view} without it");
                return self.fail("V3 uniform", what);
            }
        }
        self.promised.entry(view).or_default().insert(name, at);
    }
}
