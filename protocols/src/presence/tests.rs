//! Two nodes and what they know of each other.

use quorate_membership::Incarnation;

use super::*;

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

fn identity(index: usize, life: u64) -> ClusterIdentity {
    let member = Member::new(NodeId::new(index as u64), Incarnation::new(life));
    ClusterIdentity::new(member, SocketAddr::from(([127, 0, 0, 1], 4000 + index as u16)))
}

/// Two nodes, neither of them declared, and a link of a millisecond that neither has yet.
struct Pair {
    nodes: [Presence; 2],
    lives: [ClusterIdentity; 2],
    wakes: [[Option<Time>; 2]; 2],
    /// For whom, from whom, and what.
    flying: Vec<(usize, Member, PresenceEffect)>,
    told: Vec<(usize, Input)>,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        let lives = [identity(A, 1), identity(B, 1)];
        let nodes = lives.map(|life| {
            let (seed, none) = (life.member.node.get(), BTreeSet::new());
            Presence::new(life, Timing::DEFAULT, seed, none, ms(0), &mut Vec::new())
        });
        Self { nodes, lives, wakes: [[None; 2]; 2], flying: Vec::new(), told: Vec::new(), now: 0 }
    }

    fn met() -> Self {
        let mut pair = Self::new();
        pair.link();
        pair.run(1000, true);
        pair
    }

    fn link(&mut self) {
        for index in [A, B] {
            let peer = self.lives[1 - index];
            self.step(index, |it, now, out| it.on_linked(now, peer.member, Some(peer.addr), out));
        }
    }

    fn step(&mut self, index: usize, act: impl FnOnce(&mut Presence, Time, &mut Vec<PresenceEffect>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[index], ms(self.now), &mut out);
        for effect in out {
            match effect {
                PresenceEffect::WakeDetectorAt(at) => self.wakes[index][0] = Some(at),
                PresenceEffect::WakeClusterAt(at) => self.wakes[index][1] = Some(at),
                PresenceEffect::Tell(input) => self.told.push((index, input)),
                PresenceEffect::Beat { .. } | PresenceEffect::Swim { .. } => {
                    self.flying.push((1 - index, self.lives[index].member, effect));
                }
                _ => {}
            }
        }
    }

    /// The nodes that the groups of one were told to be unreachable.
    fn lost_by(&self, index: usize) -> Vec<NodeId> {
        let lost = |input: &Input| if let Input::Unreachable(node) = input { Some(*node) } else { None };
        self.told.iter().filter(|(at, _)| *at == index).filter_map(|(_, input)| lost(input)).collect()
    }

    fn run(&mut self, millis: u64, passes: bool) {
        for _ in 0..millis {
            self.now += 1;
            for (to, from, datagram) in std::mem::take(&mut self.flying) {
                match datagram {
                    _ if !passes => {}
                    PresenceEffect::Beat { beat, .. } => {
                        self.step(to, |it, now, out| it.on_beat(now, from, beat, out));
                    }
                    PresenceEffect::Swim { bytes, .. } => {
                        self.step(to, |it, now, out| drop(it.on_swim(now, from, &bytes, out)));
                    }
                    _ => {}
                }
            }
            for index in [A, B] {
                let due = self.wakes[index].map(|at| at.is_some_and(|at| at <= ms(self.now)));
                if due[0] {
                    self.step(index, Presence::on_detector_wake);
                }
                if due[1] {
                    self.step(index, Presence::on_cluster_wake);
                }
            }
        }
    }
}

#[test]
fn who_is_linked_comes_into_the_cluster_and_is_reachable() {
    let mut pair = Pair::new();
    assert_eq!(pair.nodes[A].known(), []);
    pair.link();
    pair.run(1000, true);
    let ClusterIdentity { member, addr, .. } = pair.lives[B];
    let met = KnownNode {
        node: member.node,
        member: Some(member),
        addr: Some(addr),
        in_cluster: true,
        linked: true,
        reachable: true,
        lost_at: None,
    };
    assert_eq!(pair.nodes[A].known(), [met]);
    let introduced = pair.nodes[A].introduction();
    let [Input::Contacts(contacts), Input::Reachable(reachable)] = &introduced[..] else {
        panic!("{introduced:?}");
    };
    assert_eq!((&contacts[..], *reachable), (&[member.node][..], member));
    pair.step(A, |it, now, out| it.on_unlinked(now, member.node, out));
    assert_eq!(pair.nodes[A].known(), [KnownNode { linked: false, ..met }]);
}

#[test]
fn a_lost_node_is_lost_since_it_fell_silent_until_it_is_heard_again() {
    let mut pair = Pair::met();
    let begin = pair.now;
    pair.told.clear();
    pair.run(700, false);
    let node = pair.lives[B].member.node;
    assert_eq!(pair.lost_by(A), [node]);
    let lost = pair.nodes[A].known()[0];
    assert!(!lost.reachable && lost.linked);
    let at = lost.lost_at.expect("lost");
    assert!(ms(begin) < at && at <= ms(begin + 500), "{at:?}");
    pair.run(1000, true);
    let back = pair.nodes[A].known()[0];
    assert!(back.reachable && back.lost_at.is_none());
}

#[test]
fn a_declared_node_that_was_never_heard_is_not_lost() {
    let mut pair = Pair::new();
    let node = pair.lives[B].member.node;
    pair.step(A, |it, now, out| it.declare(now, [node], out));
    pair.run(1000, false);
    assert_eq!(pair.lost_by(A), [node], "its groups know that they cannot count on it");
    let peer = pair.nodes[A].known()[0];
    assert_eq!((peer.reachable, peer.member, peer.lost_at), (false, None, None));
}

/// The nodes of which the groups of one were told that they need not be remembered.
fn let_go(pair: &Pair, index: usize) -> Vec<NodeId> {
    let gone = |input: &Input| if let Input::Departed(node) = input { Some(*node) } else { None };
    pair.told.iter().filter(|(at, _)| *at == index).filter_map(|(_, input)| gone(input)).collect()
}

#[test]
fn a_node_that_was_declared_down_is_watched_only_until_its_link_is_gone() {
    let mut pair = Pair::met();
    let node = pair.lives[B].member.node;
    pair.run(20_000, false);
    assert_eq!(pair.lost_by(A), [node]);
    assert!(!pair.nodes[A].known()[0].in_cluster, "it is down");
    assert!(pair.nodes[A].watched().eq([node]), "its link may bring it back");
    pair.step(A, |it, now, out| it.on_unlinked(now, node, out));
    assert_eq!((pair.nodes[A].watched().count(), let_go(&pair, A)), (0, vec![node]));
    assert_eq!(pair.nodes[A].known(), []);
    pair.link();
    pair.run(30_000, true);
    assert!(pair.nodes[A].known()[0].reachable, "it is watched again");
}

#[test]
fn a_node_whose_link_is_gone_is_watched_only_until_it_is_down() {
    let mut pair = Pair::met();
    let node = pair.lives[B].member.node;
    pair.step(A, |it, now, out| it.on_unlinked(now, node, out));
    assert!(pair.nodes[A].watched().eq([node]), "the cluster has not lost it");
    pair.run(20_000, false);
    assert_eq!((pair.nodes[A].watched().count(), let_go(&pair, A)), (0, vec![node]));
}

#[test]
fn a_declared_node_is_watched_for_ever() {
    let mut pair = Pair::met();
    let node = pair.lives[B].member.node;
    pair.step(A, |it, now, out| it.declare(now, [node], out));
    pair.step(A, |it, now, out| it.on_unlinked(now, node, out));
    pair.run(20_000, false);
    assert!(pair.nodes[A].watched().eq([node]) && let_go(&pair, A).is_empty());
}

#[test]
fn nodes_that_came_and_went_leave_nothing_behind() {
    let mut pair = Pair::met();
    for number in 100..200 {
        let passing = identity(number, 1);
        let (member, addr) = (passing.member, Some(passing.addr));
        pair.step(A, |it, now, out| it.on_linked(now, member, addr, out));
        let beat = Beat { sequence: 1, echo: 0, asks: false };
        pair.step(A, |it, now, out| it.on_beat(now, member, beat, out));
        pair.run(10, true);
        pair.step(A, |it, now, out| it.on_unlinked(now, member.node, out));
    }
    assert!(pair.nodes[A].watched().eq([pair.lives[B].member.node]));
    assert_eq!((pair.nodes[A].known().len(), let_go(&pair, A).len()), (1, 100));
}

#[test]
fn a_heartbeat_of_a_life_before_the_linked_one_counts_for_nothing() {
    let mut pair = Pair::new();
    let [early, late] = [1, 2].map(|life| identity(B, life));
    pair.step(A, |it, now, out| it.on_linked(now, late.member, Some(late.addr), out));
    for sequence in 1..10 {
        let echo = (1 << 32) + 1; // what A has sent first
        let beat = Beat { sequence, echo, asks: false };
        pair.step(A, |it, now, out| it.on_beat(now, early.member, beat, out));
    }
    assert!(!pair.nodes[A].known()[0].reachable);
}
