//! Two detectors that watch each other.

use DetectorEffect::{Reachable, RoundTrip, Send, Stalled, Superseded, Unreachable, WakeAt};

use super::{peer::SENT_MAX, *};
use crate::Incarnation;

mod frames;
mod late;
mod meeting;

const A: usize = 0;
const B: usize = 1;
const A_MET: DetectorEffect = Reachable { member: member(A, 1) };
const B_MET: DetectorEffect = Reachable { member: member(B, 1) };
const A_LOST: DetectorEffect = Unreachable { node: NodeId::new(0) };
const B_LOST: DetectorEffect = Unreachable { node: NodeId::new(1) };

const fn member(index: usize, life: u64) -> Member {
    Member::new(NodeId::new(index as u64), Incarnation::new(life))
}

fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

/// Two nodes that watch each other over links of a millisecond; detection in 500 ms.
struct Pair {
    nodes: [Detector; 2],
    awake: [bool; 2],
    wakes: [Time; 2],
    flying: Vec<(usize, Member, Beat)>,
    reports: Vec<(usize, DetectorEffect)>,
    now: u64,
}

impl Pair {
    /// Two nodes that have met.
    fn met() -> Self {
        let mut pair = Self::unmet();
        pair.run(1000, |_, _| true);
        pair.assert_reports(&[(A, B_MET), (B, A_MET)]);
        pair
    }

    /// Two nodes that have just begun to watch each other.
    fn unmet() -> Self {
        let nodes = [A, B].map(|index| Detector::new(member(index, 1), Timing::DEFAULT));
        let wakes = [ms(0); 2];
        let mut pair = Self { nodes, awake: [true; 2], wakes, flying: vec![], reports: vec![], now: 0 };
        pair.restart(A, 1);
        pair.restart(B, 1);
        pair
    }

    fn restart(&mut self, index: usize, life: u64) {
        self.nodes[index] = Detector::new(member(index, life), Timing::DEFAULT);
        self.step(index, |it, now, out| it.watch(now, member(1 - index, 0).node, out));
    }

    fn step(&mut self, index: usize, act: impl FnOnce(&mut Detector, Time, &mut Vec<DetectorEffect>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[index], ms(self.now), &mut out);
        for effect in out {
            match effect {
                WakeAt(at) => self.wakes[index] = at,
                Send { beat, .. } => self.flying.push((1 - index, self.nodes[index].me, beat)),
                report => self.reports.push((index, report)),
            }
        }
    }

    /// Runs so many milliseconds; `passes` says whether the n-th heartbeat to a node arrives.
    fn run(&mut self, millis: u64, passes: impl Fn(usize, u64) -> bool) {
        for _ in 0..millis {
            self.now += 1;
            for (to, from, beat) in std::mem::take(&mut self.flying) {
                if !self.awake[to] {
                    self.flying.push((to, from, beat));
                } else if passes(to, beat.sequence & 0xffff) {
                    self.step(to, |it, now, out| it.on_beat(now, from, beat, out));
                }
            }
            for index in [A, B] {
                while self.awake[index] && self.wakes[index] <= ms(self.now) {
                    self.step(index, Detector::on_wake);
                }
            }
        }
    }

    fn assert_reports(&mut self, expected: &[(usize, DetectorEffect)]) {
        assert_eq!(std::mem::take(&mut self.reports), expected, "at {} ms", self.now);
    }
}

#[test]
fn a_cut_in_one_direction_is_reported_once_by_both_sides_and_so_is_its_end() {
    let mut pair = Pair::met();
    pair.run(499, |_, _| true);
    pair.run(610, |to, _| to != B);
    pair.assert_reports(&[(B, A_LOST), (A, B_LOST)]);
    pair.run(3000, |to, _| to != B);
    pair.assert_reports(&[]);
    pair.run(210, |_, _| true);
    pair.assert_reports(&[(B, A_MET), (A, B_MET)]);
}

#[test]
fn four_lost_heartbeats_out_of_five_accuse_nobody() {
    let mut pair = Pair::met();
    pair.run(20_000, |to, nth| nth % 5 == if to == A { 0 } else { 2 });
    pair.assert_reports(&[]);
}

#[test]
fn a_peer_never_heard_of_is_reported_unreachable_once() {
    let mut alone = Pair::met();
    alone.awake[B] = false;
    alone.restart(A, 1);
    alone.run(499, |_, _| true);
    alone.assert_reports(&[]);
    alone.run(3000, |_, _| true);
    alone.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn a_node_that_stood_still_says_so_and_accuses_nobody_for_a_detection_time() {
    let mut pair = Pair::met();
    pair.awake[A] = false;
    pair.run(2000, |_, _| true);
    pair.assert_reports(&[(B, A_LOST)]);
    pair.awake[A] = true;
    pair.run(1000, |_, _| true);
    let stalled = Stalled { late_by: Duration::from_millis(1945) };
    pair.assert_reports(&[(A, stalled), (B, A_MET)]);
    (pair.awake, pair.flying) = ([false; 2], Vec::new());
    pair.run(2000, |_, _| true);
    pair.awake[A] = true; // B died meanwhile
    pair.run(500, |_, _| true);
    pair.assert_reports(&[(A, Stalled { late_by: Duration::from_millis(1944) })]);
    pair.run(1, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn a_restarted_peer_supersedes_its_former_life_whose_heartbeats_count_no_more() {
    let mut pair = Pair::met();
    pair.restart(B, 2);
    pair.run(1000, |_, _| true);
    let superseded = Superseded { old: member(B, 1), new: member(B, 2) };
    pair.assert_reports(&[(A, superseded), (B, A_MET), (A, Reachable { member: member(B, 2) })]);
    let stale = Beat { sequence: u64::MAX, echo: 0, asks: true };
    pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), stale, out));
    pair.run(1000, |_, _| true);
    pair.assert_reports(&[]);
    assert_eq!(pair.nodes[A].reachable().collect::<Vec<_>>(), [member(B, 2)]);
}

#[test]
fn a_heartbeat_that_asks_is_answered_at_once_and_of_one_that_is_lost_the_next_tells() {
    let mut pair = Pair::met();
    let asked = pair.nodes[A].sequence + 1;
    pair.step(A, |it, now, out| assert_eq!(it.ask(now, member(B, 1).node, out), Some(asked)));
    pair.run(2, |_, _| true);
    let node = member(B, 1).node;
    let trip = |sequence, millis| RoundTrip { node, sequence, took: Some(Duration::from_millis(millis)) };
    pair.assert_reports(&[(A, trip(asked, 2))]);
    pair.step(A, |it, now, out| assert!(it.ask(now, node, out).is_some()));
    pair.run(1, |_, _| false);
    pair.step(A, |it, now, out| assert!(it.ask(now, node, out).is_some()));
    pair.run(2, |_, _| true);
    let lost = RoundTrip { node, sequence: asked + 1, took: None };
    pair.assert_reports(&[(A, lost), (A, trip(asked + 2, 2))]);
    pair.step(A, |it, now, out| assert_eq!(it.ask(now, NodeId::new(7), out), None));
    pair.run(1000, |_, _| true);
    pair.assert_reports(&[]);
}

#[test]
fn a_peer_that_asks_without_end_is_answered_one_for_one_within_bounded_memory() {
    let mut pair = Pair::met();
    pair.flying.clear();
    let heard = pair.nodes[A].peers[&member(B, 1).node].heard;
    for nth in 1..5_000 {
        let beat = Beat { sequence: heard + nth, echo: 0, asks: true };
        pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), beat, out));
    }
    let answers = pair.flying.iter().filter(|(to, _, beat)| *to == B && !beat.asks).count();
    assert_eq!(answers, 4_999);
    assert!(pair.nodes[A].peers[&member(B, 1).node].sent.len() <= SENT_MAX);
}

#[test]
fn a_node_that_watches_nobody_for_a_while_does_not_stand_still() {
    let mut pair = Pair::met();
    pair.nodes[A].unwatch(member(B, 1).node);
    pair.now += 60_000;
    pair.step(A, |it, now, out| it.watch(now, member(B, 1).node, out));
    pair.assert_reports(&[]);
}
