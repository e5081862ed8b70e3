//! Who is here, whatever links, heartbeats and datagrams come.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::select};
use quorate_membership::{Beat, ClusterIdentity, Member, NodeId, Time, Timing};
use quorate_protocols::{Input, Notice, Presence, PresenceEffect};

use crate::member;

const ME: NodeId = NodeId::new(1);

#[derive(Clone, Debug)]
enum Act {
    Linked(Member, bool),
    Unlinked(NodeId),
    Beat(Member, Beat),
    Frames(Member, u64),
    Swim(Member, Vec<u8>),
    Echo,
    Declare(NodeId),
    Ask(NodeId),
    Check,
    WakeDetector,
    WakeCluster,
    Leave,
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..5_u64, 1 => select(vec![u64::MAX, u64::MAX - 1, u64::MAX >> 1, 1 << 32])]
}

fn nodes() -> impl Strategy<Value = NodeId> {
    (1..6_u64).prop_map(NodeId::new)
}

fn members() -> impl Strategy<Value = Member> {
    (1..6_u64, prop_oneof![6 => Just(1), 1 => numbers()]).prop_map(|(node, life)| member(node, life))
}

fn acts() -> impl Strategy<Value = Act> {
    let beats = (members(), numbers(), numbers(), any::<bool>());
    prop_oneof![
        3 => (members(), any::<bool>()).prop_map(|(who, listens)| Act::Linked(who, listens)),
        2 => nodes().prop_map(Act::Unlinked),
        6 => beats.prop_map(|(from, sequence, echo, asks)| Act::Beat(from, Beat { sequence, echo, asks })),
        1 => (members(), numbers()).prop_map(|(from, at)| Act::Frames(from, at)),
        2 => (members(), vec(any::<u8>(), 0..60)).prop_map(|(from, bytes)| Act::Swim(from, bytes)),
        2 => Just(Act::Echo),
        1 => nodes().prop_map(Act::Declare),
        1 => nodes().prop_map(Act::Ask),
        1 => Just(Act::Check),
        4 => Just(Act::WakeDetector),
        2 => Just(Act::WakeCluster),
        1 => Just(Act::Leave),
    ]
}

fn addr(node: NodeId) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4000 + node.get() as u16))
}

/// What a node can be held to, whatever comes.
#[derive(Default)]
struct Home {
    /// Whether each was last told to be in reach.
    told: BTreeMap<NodeId, bool>,
    /// Those of whom it is told next that a former life is out of reach, whether it was in reach or not.
    superseded: BTreeSet<NodeId>,
    linked: BTreeSet<NodeId>,
    declared: BTreeSet<NodeId>,
    /// The last datagram for each, which somebody sends back.
    said: BTreeMap<NodeId, Vec<u8>>,
}

impl Home {
    fn check(&mut self, effects: Vec<PresenceEffect>) {
        for effect in effects {
            match effect {
                PresenceEffect::Tell(Input::Reachable(who)) => {
                    assert_ne!(who.node, ME);
                    assert_ne!(self.told.insert(who.node, true), Some(true), "{who} is told twice");
                }
                PresenceEffect::Noticed(Notice::Superseded { old, .. }) => {
                    self.superseded.insert(old.node);
                }
                PresenceEffect::Tell(Input::Unreachable(node)) => {
                    if self.superseded.remove(&node) {
                        self.told.remove(&node); // of its next life nothing is told yet
                    } else {
                        assert_ne!(self.told.insert(node, false), Some(false), "{node} is told twice");
                    }
                }
                PresenceEffect::Tell(Input::Departed(node)) => {
                    assert_ne!(self.told.remove(&node), Some(true), "{node} is still in reach");
                    assert!(!self.known().contains(&node), "{node} is forgotten though it is wanted");
                }
                PresenceEffect::Beat { to, .. } => assert_ne!(to, ME),
                PresenceEffect::Swim { to, bytes } => {
                    assert_ne!(to, ME);
                    self.said.insert(to, bytes.to_vec());
                }
                PresenceEffect::KeepLink(id) => assert_ne!(id.member.node, ME),
                _ => {}
            }
        }
    }

    fn known(&self) -> BTreeSet<NodeId> {
        self.linked.union(&self.declared).copied().filter(|node| *node != ME).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_change_is_told_once_and_nobody_who_is_wanted_is_forgotten(
        begin in select(vec![0, u64::MAX >> 1, u64::MAX - 1]),
        acts in vec((acts(), prop_oneof![9 => 0..700_u64, 1 => numbers()]), 0..120),
    ) {
        let (mut now, mut out, mut home) = (Time::from_nanos(begin), Vec::new(), Home::default());
        let identity = ClusterIdentity::new(member(ME.get(), 1), addr(ME));
        let mut presence = Presence::new(identity, Timing::DEFAULT, 7, BTreeSet::new(), now, &mut out);
        for (act, pause) in acts {
            now = now + Duration::from_millis(pause);
            match act {
                // A node has no link to itself: the transport sees to that.
                Act::Linked(who, _) | Act::Beat(who, _) | Act::Frames(who, _) | Act::Swim(who, _)
                    if who.node == ME => {}
                Act::Linked(who, listens) => {
                    home.linked.insert(who.node);
                    presence.on_linked(now, who, listens.then(|| addr(who.node)), &mut out);
                }
                Act::Unlinked(node) => {
                    home.linked.remove(&node);
                    presence.on_unlinked(now, node, &mut out);
                }
                Act::Beat(from, beat) => presence.on_beat(now, from, beat, &mut out),
                Act::Frames(from, at) => presence.on_frames(now, from, Time::from_nanos(at), &mut out),
                Act::Swim(from, bytes) => drop(presence.on_swim(now, from, &bytes, &mut out)),
                Act::Echo => {
                    for (node, bytes) in home.said.clone() {
                        let _ = presence.on_swim(now, member(node.get(), 1), &bytes, &mut out);
                    }
                }
                Act::Declare(node) => {
                    home.declared.insert(node);
                    presence.declare(now, [node], &mut out);
                }
                Act::Ask(node) => drop(presence.ask(now, node, &mut out)),
                Act::Check => presence.check(now, &mut out),
                Act::WakeDetector => presence.on_detector_wake(now, &mut out),
                Act::WakeCluster => presence.on_cluster_wake(now, &mut out),
                Act::Leave => presence.leave(now, &mut out),
            }
            home.check(std::mem::take(&mut out));
            let known: BTreeSet<NodeId> = presence.known().iter().map(|it| it.node).collect();
            prop_assert!(known.is_superset(&home.known()), "{known:?}");
            prop_assert!(!known.contains(&ME) && presence.watched().all(|node| node != ME));
        }
    }
}
