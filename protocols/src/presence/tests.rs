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
    pair.nodes[A].on_unlinked(member.node);
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
