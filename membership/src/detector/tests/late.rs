//! Detectors of processes that are late, though not by as much as a stall.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Late by just less than a stall.
const LATE_MAX: u64 = 240;

/// Two processes that have a turn now and then. In a turn the timer comes before what has arrived.
struct Busy {
    pair: Pair,
    turns: [u64; 2],
    gaps: [Vec<u64>; 2],
    taken: [usize; 2],
    linked_at: u64,
    /// Who has noticed the link; others' heartbeats go nowhere.
    linked: [bool; 2],
}

impl Busy {
    /// Two nodes that have met; `gaps` are the times between the turns of each, over and over.
    fn met(gaps: [Vec<u64>; 2]) -> Self {
        let pair = Pair::met();
        Self { turns: [pair.now; 2], pair, gaps, taken: [0; 2], linked_at: 0, linked: [true; 2] }
    }

    /// Two nodes that begin, and are linked at `linked_at`.
    fn unmet(gaps: [Vec<u64>; 2], linked_at: u64) -> Self {
        let pair = Pair { flying: vec![], ..Pair::unmet() };
        Self { turns: [0; 2], pair, gaps, taken: [0; 2], linked_at, linked: [false; 2] }
    }

    /// Runs so many milliseconds; `passes` says to whom heartbeats arrive.
    fn run(&mut self, millis: u64, passes: impl Fn(usize) -> bool) {
        for _ in 0..millis {
            self.pair.now += 1;
            for index in [A, B] {
                if self.turns[index] <= self.pair.now && self.pair.awake[index] {
                    self.turn(index, &passes);
                    self.taken[index] += 1;
                    let gaps = &self.gaps[index];
                    self.turns[index] = self.pair.now + gaps[self.taken[index] % gaps.len()];
                }
            }
        }
    }

    fn turn(&mut self, index: usize, passes: impl Fn(usize) -> bool) {
        let arrived = std::mem::take(&mut self.pair.flying);
        let (here, elsewhere): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|(to, ..)| *to == index);
        self.pair.flying = elsewhere;
        if self.pair.wakes[index] <= ms(self.pair.now) {
            self.pair.step(index, Detector::on_wake);
        }
        self.pair.flying.retain(|(to, ..)| self.linked[1 - to]);
        if self.linked_at <= self.pair.now && !std::mem::replace(&mut self.linked[index], true) {
            self.pair.step(index, |it, now, out| it.on_linked(now, member(1 - index, 0).node, out));
        }
        for (_, from, beat) in here.into_iter().filter(|_| passes(index)) {
            self.pair.step(index, |it, now, out| it.on_beat(now, from, beat, out));
        }
    }

    /// How long it takes until `index` says so.
    fn until_said(&mut self, index: usize, passes: impl Fn(usize) -> bool) -> u64 {
        let begin = self.pair.now;
        while self.pair.reports.iter().all(|(at, _)| *at != index) && self.pair.now < begin + 10_000 {
            self.run(1, &passes);
        }
        self.pair.now - begin
    }
}

fn lateness() -> impl Strategy<Value = [Vec<u64>; 2]> {
    [vec(1..=LATE_MAX, 1..40), vec(1..=LATE_MAX, 1..40)]
}

/// One may be late by far more than the other.
fn unequal_lateness() -> impl Strategy<Value = [Vec<u64>; 2]> {
    let gaps = || (1..=LATE_MAX).prop_flat_map(|most| vec(most.div_ceil(2)..=most, 1..40));
    [gaps(), gaps()]
}

proptest! {
    #[test]
    fn a_live_peer_that_answers_is_never_accused_however_late_both_are(gaps in lateness()) {
        let mut busy = Busy::met(gaps);
        busy.run(20_000, |_| true);
        busy.pair.assert_reports(&[]);
    }

    #[test]
    fn two_that_are_linked_late_meet_and_are_never_accused_however_late_both_are(
        gaps in unequal_lateness(),
        linked_at in 0..400_u64,
    ) {
        let mut busy = Busy::unmet(gaps, linked_at);
        busy.run(20_000, |_| true);
        busy.pair.reports.sort_by_key(|(index, _)| *index);
        busy.pair.assert_reports(&[(A, B_MET), (B, A_MET)]);
    }

    #[test]
    fn a_dead_peer_is_found_within_the_bound_however_late_this_process_is(
        gaps in lateness(),
        dies_after in 0..700_u64,
    ) {
        let mut busy = Busy::met(gaps);
        busy.run(dies_after, |_| true);
        busy.pair.awake[B] = false;
        let took = busy.until_said(A, |_| true);
        busy.pair.assert_reports(&[(A, B_LOST)]);
        prop_assert!(took <= 6 * 500, "{took} ms");
    }

    #[test]
    fn a_cut_in_one_direction_is_found_within_the_bound_however_late_both_are(
        gaps in lateness(),
        cut_after in 0..700_u64,
    ) {
        let mut busy = Busy::met(gaps);
        busy.run(cut_after, |_| true);
        let took = busy.until_said(A, |to| to != B);
        prop_assert!(took <= 6 * 500, "{took} ms");
        busy.run((6 * 500_u64).saturating_sub(took), |to| to != B);
        busy.pair.reports.sort_by_key(|(index, _)| *index);
        busy.pair.assert_reports(&[(A, B_LOST), (B, A_LOST)]);
    }

    #[test]
    fn a_process_on_time_finds_either_within_its_bound(after in 0..700_u64, cut in any::<bool>()) {
        let mut pair = Pair::met();
        pair.run(after, |_, _| true);
        pair.awake[B] = cut;
        let bound = if cut { 750 } else { 501 };
        for millis in 0.. {
            if pair.reports.iter().any(|(index, _)| *index == A) {
                break;
            }
            prop_assert!(millis <= bound);
            pair.run(1, |to, _| to != B);
        }
        prop_assert!(pair.reports.contains(&(A, B_LOST)));
    }
}

/// Takes in what has come to a node.
fn take_in(pair: &mut Pair, index: usize) {
    for (to, from, beat) in std::mem::take(&mut pair.flying) {
        if to == index {
            pair.step(to, |it, now, out| it.on_beat(now, from, beat, out));
        } else {
            pair.flying.push((to, from, beat));
        }
    }
}

#[test]
fn nobody_is_accused_before_what_had_queued_up_is_taken_in() {
    let mut pair = Pair::met();
    pair.run(290, |to, _| to != A); // Heard last at 1001 ms: due at 1501 ms.
    pair.awake[A] = false;
    pair.run(240, |_, _| true);
    pair.step(A, Detector::on_wake); // 1530 ms, and the timer is ahead of the socket.
    pair.assert_reports(&[]);
    take_in(&mut pair, A);
    pair.awake[A] = true;
    pair.run(1000, |_, _| true);
    pair.assert_reports(&[]);
}

#[test]
fn own_lateness_puts_off_deadlines_by_as_much() {
    let mut pair = Pair::met();
    pair.awake[B] = false;
    pair.run(90, |_, _| true);
    pair.awake[A] = false;
    pair.run(200, |_, _| true); // The round of 1152 ms comes at 1290 ms, late by 138 ms.
    pair.awake[A] = true;
    pair.run(288, |_, _| true);
    pair.assert_reports(&[]);
    pair.run(2, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

/// B says that it has heard nothing of A for long. What A sends then.
fn says_it_hears_nothing(pair: &mut Pair) -> Option<Beat> {
    pair.flying.clear();
    let sequence = pair.nodes[A].peers[&member(B, 1).node].heard + 1;
    let outdated = Beat { sequence, echo: 0, asks: false };
    pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), outdated, out));
    pair.flying.pop().map(|(.., beat)| beat)
}

#[test]
fn who_echoes_what_is_old_is_asked_and_accused_only_if_no_answer_comes() {
    let mut pair = Pair::met();
    let asked = says_it_hears_nothing(&mut pair).expect("it is asked");
    assert!(asked.asks);
    pair.now += 90;
    assert_eq!(says_it_hears_nothing(&mut pair), None, "it was just asked");
    pair.now += 10;
    assert!(says_it_hears_nothing(&mut pair).expect("that may have been lost").asks);
    let answer = Beat { sequence: asked.sequence + (1 << 20), echo: asked.sequence, asks: false };
    pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), answer, out));
    pair.awake = [true, false];
    pair.run(450, |_, _| true);
    pair.assert_reports(&[]);
    for millis in [100, 100, 99] {
        says_it_hears_nothing(&mut pair);
        pair.run(millis, |_, _| true);
    }
    pair.assert_reports(&[]);
    pair.run(1, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn an_answer_that_queued_up_behind_a_late_timer_counts() {
    let mut pair = Pair::met();
    pair.awake[B] = false;
    let asked = says_it_hears_nothing(&mut pair).expect("it is asked"); // It has until 1300 ms to answer.
    pair.run(100, |_, _| true);
    says_it_hears_nothing(&mut pair);
    pair.run(160, |_, _| true);
    pair.awake[A] = false;
    pair.run(130, |_, _| true);
    pair.step(A, Detector::on_wake); // 1390 ms, and the timer is ahead of the socket.
    pair.assert_reports(&[]);
    let answer = Beat { sequence: asked.sequence + (1 << 20), echo: asked.sequence, asks: false };
    pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), answer, out));
    pair.awake[A] = true;
    pair.run(400, |_, _| true);
    pair.assert_reports(&[]);
}

#[test]
fn after_a_stall_old_echoes_accuse_nobody_for_a_detection_time() {
    let mut pair = Pair::met();
    pair.awake = [false; 2];
    pair.run(1000, |_, _| true);
    pair.awake[A] = true;
    pair.run(1, |_, _| true);
    assert!(matches!(std::mem::take(&mut pair.reports)[..], [(A, Stalled { .. })]));
    for _ in 0..5 {
        pair.assert_reports(&[]);
        says_it_hears_nothing(&mut pair);
        pair.run(100, |_, _| true);
    }
    pair.run(50, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn one_heartbeat_over_and_over_is_no_sign_of_life() {
    let mut pair = Pair::met();
    pair.awake[B] = false;
    let sequence = pair.nodes[A].peers[&member(B, 1).node].heard;
    let echo = pair.nodes[A].sequence;
    for millis in 0..480 {
        pair.run(1, |_, _| true);
        let same =
            Beat { sequence: sequence + 1 - u64::from(millis > 0 && millis % 2 == 0), echo, asks: false };
        pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), same, out));
        pair.assert_reports(&[]);
    }
    pair.run(1, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}
