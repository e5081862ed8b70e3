//! What the bus promises its users.
//!
//! B1 nobody gets what it does not want, what nobody published, or a message twice; broken by: n2
//! unsubscribes `a` and gets it. B2 a message is routed only to nodes that are linked; broken by: n2
//! has died, and its queue group's share still goes to it. B3 of a queue group one subscriber gets
//! a message. B4 members deliver the same at each position of a bound group, and a reader gets what
//! its node delivers, in that order, once, or is told how many it missed. B5 a request ends once.
//! B9 a subject is bound only while its group is configured here or a linked peer carries it; broken by: n2
//! carries `news` and dies, and n3 has it carry what is published on `news.1`.
//! B6 in a healed cluster every message comes to all who want it, and to one of each queue group.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_membership::{GroupId, Member, NodeId, ViewId};
use quorate_protocols::bus::{Position, Subject, SubscriptionId, Want};

use super::published::Published;
use crate::Violation;

type Receiver = (Member, SubscriptionId);
/// What was delivered, and how much of it was passed.
type Log = (Vec<(Position, Bytes)>, usize);

/// Watches the bus of all nodes.
#[derive(Debug, Default)]
pub(super) struct BusCheck {
    published: BTreeMap<u64, Subject>,
    given: BTreeSet<(u64, Receiver)>,
    shared: BTreeMap<(u64, String), Receiver>,
    positions: BTreeMap<(GroupId, ViewId, u64), Bytes>,
    /// What each life has delivered in a bound group, and how much of it its reader has passed.
    logs: BTreeMap<(Member, GroupId), Log>,
    open: BTreeSet<(Member, u64)>,
    expected: BTreeSet<(u64, Receiver)>,
    expected_shares: BTreeSet<(u64, String)>,
    pub(super) clients: Published,
    violation: Option<Violation>,
}

impl BusCheck {
    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref().or_else(|| self.clients.violation())
    }

    fn fail(&mut self, property: &'static str, what: String) {
        self.violation.get_or_insert(Violation { property, what });
    }

    pub(super) fn on_publish(&mut self, payload: u64, subject: &Subject) {
        self.published.insert(payload, subject.clone());
    }

    /// A message was routed to a node to which there is no link.
    pub(super) fn on_stray_route(&mut self, by: Member, to: NodeId, subject: &Subject) {
        self.fail("B2 routed to linked nodes", format!("{by} routes {subject} to {to}, which is gone"));
    }

    /// A peer counts as a carrier of a group, and there is no link to it.
    pub(super) fn on_stray_carrier(&mut self, at: Member, carrier: NodeId) {
        self.fail("B9 bound while carried", format!("{at} counts {carrier} as a carrier, which is gone"));
    }

    /// A subscriber gets a message; `want` is missing if there is no such subscription.
    pub(super) fn on_give(
        &mut self,
        at: Member,
        id: SubscriptionId,
        want: Option<&Want>,
        subject: &Subject,
        payload: u64,
    ) {
        let to = (at, id);
        let Some(want) = want.filter(|want| want.pattern.matches(subject)) else {
            return self.fail("B1 what is wanted", format!("{at} hands {subject} to {want:?}"));
        };
        if self.published.get(&payload) != Some(subject) {
            return self.fail("B1 nothing out of nothing", format!("{at} hands out {payload} as {subject}"));
        }
        if let Some(queue) = &want.queue
            && let Some(first) = self.shared.insert((payload, queue.clone()), to)
        {
            return self.fail("B3 one of a queue group", format!("{payload} went to {first:?} and {to:?}"));
        }
        if !self.given.insert((payload, to)) {
            self.fail("B1 once", format!("{payload} came to {to:?} again"));
        }
    }

    pub(super) fn on_request(&mut self, by: Member, number: u64) {
        if !self.open.insert((by, number)) {
            self.fail("B5 a request ends once", format!("{by} asks twice under {number}"));
        }
    }

    pub(super) fn on_outcome(&mut self, by: Member, number: u64) {
        if !self.open.remove(&(by, number)) {
            self.fail("B5 a request ends once", format!("request {number} of {by} ended again"));
        }
    }

    pub(super) fn on_crash(&mut self, life: Member) {
        self.open.retain(|(by, _)| *by != life);
        self.logs.retain(|(of, _), _| *of != life);
    }

    /// A node joins a group again: whoever read there begins anew.
    pub(super) fn on_joined(&mut self, life: Member, group: GroupId) {
        self.logs.remove(&(life, group));
    }

    /// A member delivers a message of a bound group at a position.
    pub(super) fn on_position(&mut self, at: Member, group: GroupId, position: Position, payload: &Bytes) {
        let key = (group, position.view, position.index);
        if self.positions.entry(key).or_insert_with(|| payload.clone()) != payload {
            self.fail("B4 same at each position", format!("{at} delivered another message at {position}"));
        }
        self.logs.entry((at, group)).or_default().0.push((position, payload.clone()));
    }

    pub(super) fn on_read(&mut self, at: Member, group: GroupId, position: Position, payload: &Bytes) {
        let (log, read) = self.logs.entry((at, group)).or_default();
        let due = log.get(*read).is_some_and(|(p, m)| *p == position && m == payload);
        *read += 1;
        if !due {
            self.fail("B4 all, in order, once", format!("a reader at {at} got {position} out of turn"));
        }
    }

    pub(super) fn on_missed(&mut self, at: Member, group: GroupId, count: u64) {
        self.logs.entry((at, group)).or_default().1 += count as usize;
    }

    /// A message is published in a healed cluster with these subscriptions.
    pub(super) fn expect(&mut self, payload: u64, subject: &Subject, all: &[(Member, SubscriptionId, Want)]) {
        for (life, id, want) in all.iter().filter(|(.., want)| want.pattern.matches(subject)) {
            match &want.queue {
                None => drop(self.expected.insert((payload, (*life, *id)))),
                Some(queue) => drop(self.expected_shares.insert((payload, queue.clone()))),
            }
        }
    }

    /// What is still missing of what was expected, of answers, and of what readers had to read.
    pub(super) fn missing(&self) -> Option<String> {
        if let Some((payload, to)) = self.expected.iter().find(|it| !self.given.contains(it)) {
            return Some(format!("{payload} never came to {to:?}"));
        }
        if let Some((payload, queue)) = self.expected_shares.iter().find(|it| !self.shared.contains_key(it)) {
            return Some(format!("{payload} came to nobody of `{queue}`"));
        }
        if let Some((by, number)) = self.open.first() {
            return Some(format!("request {number} of {by} has not ended"));
        }
        let behind = self.logs.iter().find(|(_, (log, read))| *read != log.len());
        behind.map(|((at, _), (log, read))| format!("a reader at {at} passed {read} of {}", log.len()))
    }
}
