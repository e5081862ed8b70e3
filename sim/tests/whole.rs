//! Whole nodes, with cluster membership, three groups and the bus, under seeded faults.

use std::time::Duration;

use quorate_membership::NodeId;
use quorate_sim::{Fault, Schedule, WholeSettings, WholeTally, run_whole};

#[test]
fn whole_nodes_keep_every_promise_under_faults() {
    let mut sum = WholeTally::default();
    for seed in 1..=20 {
        let settings = WholeSettings::new(seed);
        let outcome = run_whole(&settings, &settings.schedule());
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tally.handed > 1000, "seed {seed}: hardly anything happened: {:?}", outcome.tally);
        sum += outcome.tally;
    }
    assert!(sum.repeated > 100 && sum.strikes > 20 && sum.read_afar > 1000, "{sum:?}");
}

#[test]
fn what_clients_publish_passes_once_whatever_becomes_of_the_nodes_that_they_use() {
    // Every node that carries the group dies once, one after the other.
    let schedule = (1..=5).fold(Schedule::quiet(), |schedule, node| {
        let begin = 2000 + node * 4500;
        schedule.and(begin, begin + 1500, Fault::Crash(NodeId::new(node)))
    });
    let settings = WholeSettings { faults_for: Duration::from_secs(26), ..WholeSettings::new(5) };
    let outcome = run_whole(&settings, &schedule);
    assert_eq!(outcome.violation, None);
    let tally = outcome.tally;
    assert!(tally.acknowledged > 1000 && tally.repeated > 10 && tally.dropped > 20, "{tally:?}");
    assert!(tally.read_afar > 1000, "{tally:?}");
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
