//! The roll call: who has joined, or lost touch, has the whole membership read out to it.
//!
//! Gossip is best effort, and SWIM's own answer to a newcomer names as many members as fit into one
//! datagram, by chance. So each node goes through the membership of its peers page by page, in the
//! order of the nodes, one page a turn; and without pause until a whole round has brought nothing
//! new. A round costs a datagram per thirty members.
//!
//! The reader tells the peer what it knows better, and whom it misses on the page: either the peer
//! has not heard of them, or it knows that they are down and says so in turn. So whoever missed the
//! news of a failure hears it within a round, long before it would have probed that node itself.

use std::{collections::BTreeSet, ops::Bound};

use bytes::Bytes;
use foca::{Header, Member as Update, Message, State};
use serde::{Deserialize, Serialize};

use super::{
    Cluster, ClusterEffect, ClusterIdentity, Runtime,
    alarms::Alarm,
    codec::{self, Datagram},
    config,
};
use crate::{NodeId, Time};

/// What a roll call says, before the updates if it is a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(super) enum Roll {
    /// Who is up among the nodes after this one?
    Ask { after: Option<NodeId> },
    /// These are, and more after the last of them, or no more.
    Page { after: Option<NodeId>, more: bool },
    /// You seem not to know this.
    Tell,
}

/// How far this node has come.
#[derive(Debug)]
pub(super) struct Reader {
    /// Where the next page begins.
    after: Option<NodeId>,
    /// The peer that was asked last.
    asked: NodeId,
    /// Whether this round has brought something new.
    news: bool,
    /// Whether to read on without pause.
    hurry: bool,
}

impl Reader {
    /// Every node begins with the peer next to it, so that not all ask the same one.
    pub(super) fn new(me: NodeId) -> Self {
        Self { after: None, asked: me, news: false, hurry: false }
    }
}

impl Cluster {
    /// The cluster has let this node in, perhaps again: reads the whole roll.
    pub(super) fn start_reading(&mut self, now: Time) {
        self.reader = Reader { hurry: true, ..Reader::new(self.reader.asked) };
        self.alarms.set(now, Alarm::Read);
    }

    /// Asks the next peer for the next page, and again after a while, whether it answers or not.
    pub(super) fn read_on(&mut self, now: Time, out: &mut Vec<ClusterEffect>) {
        let rest = (Bound::Excluded(self.reader.asked), Bound::Unbounded);
        let next = self.up.range(rest).next().or_else(|| self.up.iter().next());
        if let Some((&node, &peer)) = next {
            self.reader.asked = node;
            self.ask(peer, out);
        }
        let pause = config::ask_every(self.timing);
        self.alarms.set(now + if self.reader.hurry { self.timing.detect() } else { pause }, Alarm::Read);
    }

    fn ask(&self, peer: ClusterIdentity, out: &mut Vec<ClusterEffect>) {
        let (bytes, _) = self.roll_call(peer, Roll::Ask { after: self.reader.after }, std::iter::empty());
        out.push(ClusterEffect::Send { to: peer, bytes });
    }

    fn roll_call<'a>(
        &self,
        dst: ClusterIdentity,
        roll: Roll,
        updates: impl Iterator<Item = &'a Update<ClusterIdentity>>,
    ) -> (Bytes, usize) {
        // A roll call says nothing about suspicions of its sender, so it names no refutals.
        let header = Header { src: *self.identity(), src_incarnation: 0, dst, message: Message::Broadcast };
        codec::roll_call(&header, &roll, updates).expect("plain data can be encoded")
    }

    /// Takes in a roll call. Questions of any node of the cluster are answered, since this node may
    /// not have heard yet that it was let in; answers are taken from members that are up.
    pub(super) fn on_roll(&mut self, now: Time, datagram: Datagram, out: &mut Vec<ClusterEffect>) {
        let (Some(roll), peer) = (datagram.roll, datagram.header.src) else { return };
        let up = self.up.get(&peer.member.node) == Some(&peer);
        if datagram.header.dst != *self.identity() || !(up || matches!(roll, Roll::Ask { .. })) {
            return;
        }
        let updates = datagram.updates;
        match roll {
            Roll::Ask { after } => self.answer(peer, after, out),
            Roll::Tell => {
                let corrections = self.known_down_of(&updates);
                self.learn(now, updates, out);
                self.tell(peer, &corrections, out);
            }
            Roll::Page { after, more } => {
                let last = updates.last().map(|update| update.id().member.node).filter(|_| more);
                let mut corrections = self.known_down_of(&updates);
                corrections.extend(self.missing_on(&updates, peer.member.node, after, last));
                self.learn(now, updates, out);
                self.tell(peer, &corrections, out);
                self.turn_page(peer, last, out);
            }
        }
    }

    fn learn(&mut self, now: Time, updates: Vec<Update<ClusterIdentity>>, out: &mut Vec<ClusterEffect>) {
        let (before, mut runtime) = (out.len(), Runtime::new());
        let done = self.swim.apply_many(updates.into_iter(), true, &mut runtime);
        debug_assert!(done.is_ok(), "every message fits: {done:?}");
        self.settle(now, runtime, out);
        self.reader.news |= out[before..].iter().any(|it| matches!(it, ClusterEffect::Up(_)));
    }

    fn tell(&self, peer: ClusterIdentity, what: &[Update<ClusterIdentity>], out: &mut Vec<ClusterEffect>) {
        // What there is no room for is found again in the next round.
        if !what.is_empty() {
            let (bytes, _) = self.roll_call(peer, Roll::Tell, what.iter());
            out.push(ClusterEffect::Send { to: peer, bytes });
        }
    }

    /// Those named as up that are down as far as is known here.
    fn known_down_of(&self, updates: &[Update<ClusterIdentity>]) -> Vec<Update<ClusterIdentity>> {
        let down = self.swim.iter_membership_state().filter(|known| known.state() == State::Down);
        let named = |known: &Update<ClusterIdentity>| {
            let is_up = |it: &Update<_>| it.state() != State::Down;
            updates
                .iter()
                .any(|it| it.id().member.node == known.id().member.node && is_up(it) && it.id() <= known.id())
        };
        down.filter(|known| known.id().member.node != self.node && named(known)).cloned().collect()
    }

    /// Those that are up here, belong on the page, and are not on it.
    fn missing_on(
        &self,
        page: &[Update<ClusterIdentity>],
        author: NodeId,
        after: Option<NodeId>,
        last: Option<NodeId>,
    ) -> Vec<Update<ClusterIdentity>> {
        let named = page.iter().map(|update| update.id().member.node).chain([author]);
        let named: BTreeSet<_> = named.collect();
        let belongs =
            |node: NodeId| after.is_none_or(|after| node > after) && last.is_none_or(|last| node <= last);
        let up = self.swim.iter_members().filter(|known| belongs(known.id().member.node));
        up.filter(|known| !named.contains(&known.id().member.node)).cloned().collect()
    }

    fn turn_page(&mut self, peer: ClusterIdentity, after: Option<NodeId>, out: &mut Vec<ClusterEffect>) {
        self.reader.after = after;
        if after.is_none() {
            self.reader.hurry &= self.reader.news;
            self.reader.news = false;
        }
        if self.reader.hurry {
            self.ask(peer, out);
        }
    }

    fn answer(&self, peer: ClusterIdentity, after: Option<NodeId>, out: &mut Vec<ClusterEffect>) {
        let rest = |node: NodeId| after.is_none_or(|after| node > after);
        let mut page: Vec<_> = self.swim.iter_members().filter(|it| rest(it.id().member.node)).collect();
        page.sort_unstable_by_key(|update| update.id().member.node);
        let call = |more| self.roll_call(peer, Roll::Page { after, more }, page.iter().copied());
        let (part, count) = call(true);
        let bytes = if count < page.len() { part } else { call(false).0 };
        out.push(ClusterEffect::Send { to: peer, bytes });
    }
}
