//! Nodes that have not met yet.

use super::*;

#[test]
fn whoever_is_heard_late_has_a_detection_time_to_show_that_it_hears_this_node() {
    let mut pair = Pair::unmet();
    pair.run(300, |_, _| false);
    pair.run(84, |_, _| true);
    pair.awake[B] = false; // It has just sent a heartbeat, and takes in none for less than a stall.
    pair.run(216, |_, _| true);
    pair.assert_reports(&[]);
    pair.awake[B] = true;
    pair.run(1000, |_, _| true);
    pair.assert_reports(&[(B, A_MET), (A, B_MET)]);
}

#[test]
fn whoever_never_hears_this_node_is_lost_a_detection_time_after_it_was_heard_first() {
    let mut pair = Pair::unmet();
    pair.run(300, |_, _| false);
    pair.run(199, |to, _| to == A);
    pair.assert_reports(&[]);
    pair.run(1, |to, _| to == A);
    pair.assert_reports(&[(B, A_LOST)]); // Never heard.
    pair.run(384, |to, _| to == A);
    pair.assert_reports(&[]);
    pair.run(1, |to, _| to == A);
    pair.assert_reports(&[(A, B_LOST)]); // Heard first at 385 ms.
    pair.run(3000, |to, _| to == A);
    pair.assert_reports(&[]);
}

#[test]
fn whoever_dies_after_it_was_heard_once_is_lost_a_detection_time_later() {
    let mut pair = Pair::unmet();
    pair.run(300, |_, _| false);
    pair.run(85, |_, _| true);
    pair.awake[B] = false;
    pair.flying.clear();
    pair.run(499, |_, _| true);
    pair.assert_reports(&[]);
    pair.run(1, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn whoever_is_linked_late_has_a_detection_time_from_then() {
    let mut pair = Pair::unmet();
    pair.awake[B] = false;
    pair.run(440, |_, _| false);
    pair.step(A, |it, now, out| it.on_linked(now, member(B, 1).node, out));
    pair.run(499, |_, _| true);
    pair.assert_reports(&[]);
    pair.run(1, |_, _| true);
    pair.assert_reports(&[(A, B_LOST)]);
}

#[test]
fn a_new_link_puts_off_nothing_for_whoever_was_heard_before() {
    let mut pair = Pair::met();
    pair.awake[B] = false;
    pair.run(400, |_, _| true);
    pair.step(A, |it, now, out| it.on_linked(now, member(B, 1).node, out));
    pair.run(41, |_, _| true); // Heard last at 961 ms.
    pair.assert_reports(&[(A, B_LOST)]);
}
