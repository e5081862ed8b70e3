//! The promises hold under faults, runs replay exactly, and broken rules are noticed.

use quorate_membership::agreement::Breach;
use quorate_protocols::Order;
use quorate_sim::{Schedule, Settings, run, shrink};

fn assert_holds(settings: Settings) -> quorate_sim::Outcome {
    let outcome = run(&settings, &settings.schedule());
    assert_eq!(outcome.violation, None, "{settings:?}");
    outcome
}

#[test]
fn promises_hold_in_every_order_and_every_run_is_about_something() {
    let (mut uniform, mut views) = (0, 0);
    for seed in 1..=16 {
        let outcome = assert_holds(Settings::campaign(seed));
        uniform += outcome.tally.uniform;
        views += outcome.tally.views;
    }
    assert!(uniform > 10_000 && views > 100, "too little happened: {uniform} messages, {views} views");
}

#[test]
fn a_learner_asks_for_frames_of_a_closed_view_only_those_who_were_in_it() {
    // One that lives anew has none. Asked in turn with the others, it cost the learner a time-out per frame.
    let faults_for = std::time::Duration::from_secs(30);
    assert_holds(Settings { nodes: 5, faults_for, ..Settings::campaign(1_796_001_355) });
}

#[test]
fn promises_hold_with_two_members_and_a_witness() {
    for seed in 1..=12 {
        assert_holds(Settings { nodes: 2, witness: true, ..Settings::campaign(seed) });
    }
}

#[test]
fn promises_hold_with_three_members() {
    for seed in 1..=12 {
        assert_holds(Settings { nodes: 3, ..Settings::campaign(seed) });
    }
}

#[test]
fn a_quiet_cluster_founds_one_view_of_all() {
    let settings = Settings { order: Some(Order::Uniform), ..Settings::new(3) };
    let outcome = run(&settings, &Schedule::default());
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.tally.views, 1);
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let settings = Settings::new(11);
    let (a, b) = (run(&settings, &settings.schedule()), run(&settings, &settings.schedule()));
    assert_eq!(a.tally, b.tally);
}

#[test]
fn a_failing_schedule_shrinks_to_a_smaller_one_that_fails_the_same_way() {
    let faults_for = std::time::Duration::from_secs(12);
    let settings = Settings { breach: Some(Breach::SealLeaks), nodes: 3, faults_for, ..Settings::new(1) };
    let schedule = settings.schedule();
    let property = run(&settings, &schedule).violation.expect("the seed notices the breach").property;
    let smallest = shrink(&schedule, property, |fewer| run(&settings, fewer).violation);
    assert!(smallest.0.len() < schedule.0.len() / 2, "{} of {}", smallest.0.len(), schedule.0.len());
    assert_eq!(run(&settings, &smallest).violation.map(|v| v.property), Some(property));
}
