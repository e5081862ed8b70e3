//! Whole nodes, with cluster membership, three groups and the bus, under seeded faults.

use std::time::Duration;

use quorate_sim::{Schedule, WholeSettings, run_whole};

#[test]
fn whole_nodes_keep_every_promise_under_faults() {
    for seed in 1..=20 {
        let settings = WholeSettings::new(seed);
        let outcome = run_whole(&settings, &settings.schedule());
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tally.handed > 1000, "seed {seed}: hardly anything happened: {:?}", outcome.tally);
    }
}

#[test]
fn two_runs_of_one_seed_are_equal() {
    let settings = WholeSettings { faults_for: Duration::from_secs(5), ..WholeSettings::new(7) };
    assert_eq!(run_whole(&settings, &settings.schedule()), run_whole(&settings, &settings.schedule()));
}

#[test]
fn a_reader_that_falls_behind_is_told_how_much_it_missed() {
    let settings = WholeSettings { faults_for: Duration::from_secs(8), ..WholeSettings::new(3) };
    let outcome = run_whole(&settings, &Schedule::quiet());
    assert_eq!(outcome.violation, None);
    assert!(outcome.tally.missed > 0, "{:?}", outcome.tally);
}
