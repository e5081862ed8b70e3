//! Frames as a sign of life.

use super::*;

/// Heartbeats of B are lost for so many milliseconds, while frames of this life of it come.
fn only_frames(pair: &mut Pair, millis: u64, life: u64) {
    for _ in 0..millis {
        pair.run(1, |to, _| to != A);
        pair.step(A, |it, now, out| it.on_frames(now, member(B, life), now, out));
    }
}

/// What A has said; B loses A because A does not show that it hears B.
fn assert_said(pair: &mut Pair, expected: &[(usize, DetectorEffect)]) {
    pair.reports.retain(|(index, _)| *index == A);
    pair.assert_reports(expected);
}

#[test]
fn who_sends_frames_is_not_silent_while_its_heartbeats_are_lost() {
    let mut pair = Pair::met();
    only_frames(&mut pair, 900, 1);
    assert_said(&mut pair, &[]);
    pair.run(1000, |_, _| true);
    assert_said(&mut pair, &[]);
}

#[test]
fn frames_alone_count_no_longer_than_a_mute_span() {
    let mut pair = Pair::met();
    pair.flying.clear(); // Heard last at 961 ms.
    only_frames(&mut pair, 960, 1);
    assert_said(&mut pair, &[]);
    only_frames(&mut pair, 1, 1);
    assert_said(&mut pair, &[(A, B_LOST)]);
    only_frames(&mut pair, 2000, 1);
    assert_said(&mut pair, &[]);
}

#[test]
fn frames_that_were_read_long_ago_are_no_sign_of_life() {
    let mut pair = Pair::met();
    pair.flying.clear();
    pair.run(390, |to, _| to != A);
    pair.step(A, |it, now, out| it.on_frames(now, member(B, 1), ms(970), out));
    pair.run(59, |to, _| to != A);
    assert_said(&mut pair, &[]);
    pair.run(1, |to, _| to != A);
    assert_said(&mut pair, &[(A, B_LOST)]);
}

#[test]
fn frames_of_another_life_are_no_sign_of_life() {
    for life in [0, 2] {
        let mut pair = Pair::met();
        pair.flying.clear();
        only_frames(&mut pair, 440, life);
        assert_said(&mut pair, &[]);
        only_frames(&mut pair, 1, life);
        assert_said(&mut pair, &[(A, B_LOST)]);
    }
}

#[test]
fn frames_from_a_peer_that_hears_nothing_do_not_save_it() {
    let mut pair = Pair::met();
    for _ in 0..750 {
        pair.run(1, |to, _| to != B);
        pair.step(A, |it, now, out| it.on_frames(now, member(B, 1), now, out));
    }
    pair.assert_reports(&[(B, A_LOST), (A, B_LOST)]);
}

#[test]
fn frames_of_one_that_has_never_shown_that_it_hears_this_node_do_not_save_it() {
    let mut pair = Pair::met();
    pair.awake[B] = false;
    pair.restart(A, 1);
    let deaf = Beat { sequence: 1 << 40, echo: 0, asks: false };
    pair.step(A, |it, now, out| it.on_beat(now, member(B, 1), deaf, out));
    only_frames(&mut pair, 499, 1);
    pair.assert_reports(&[]);
    only_frames(&mut pair, 1, 1);
    pair.assert_reports(&[(A, B_LOST)]);
}
