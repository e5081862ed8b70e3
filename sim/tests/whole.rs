//! Whole nodes, with cluster membership, groups of all kinds and the bus, under seeded faults.

use std::time::Duration;

use quorate_membership::NodeId;
use quorate_sim::{Fault, Schedule, WholeOutcome, WholeSettings, WholeTally, run_whole};

#[test]
fn whole_nodes_keep_every_promise_under_faults() {
    let mut sum = WholeTally::default();
    for seed in 1..=50 {
        let settings = WholeSettings::new(seed);
        let outcome = run_whole(&settings, &settings.schedule());
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tally.handed > 1000, "seed {seed}: hardly anything happened: {:?}", outcome.tally);
        sum += outcome.tally;
    }
    assert!(sum.conflicts > 250, "{sum:?}");
    assert!(sum.unlinked > 500, "{sum:?}");
    assert!(sum.left > 125 && sum.joined > 75 && sum.stopped > 12, "{sum:?}");
    assert!(sum.letters > 5000 && sum.restored > 125 && sum.merges > 50 && sum.too_slow > 36, "{sum:?}");
    assert!(sum.repeated > 250 && sum.strikes > 50 && sum.read_afar > 2500, "{sum:?}");
}

/// The links of all clients break again and again, for 16 seconds.
fn break_links(schedule: Schedule) -> Schedule {
    // Clients bear the names from 100 on.
    let rounds = (0..40).flat_map(|round| (100..103).map(move |client| (round, client)));
    rounds.fold(schedule, |schedule, (round, client)| {
        let (begin, node) = (1000 + round * 400 + client, NodeId::new(1 + (round + client) % 5));
        let schedule = schedule.and(begin, begin, Fault::Unlink(NodeId::new(client)));
        schedule.and(begin, begin + 300, Fault::CutOneWay(node, NodeId::new(client)))
    })
}

#[test]
fn what_clients_publish_passes_once_whatever_becomes_of_the_nodes_that_they_use() {
    // Every node that carries the group dies once, one after the other.
    let schedule = (1..=5).fold(Schedule::quiet(), |schedule, node| {
        let begin = 2000 + node * 4500;
        schedule.and(begin, begin + 1500, Fault::Crash(NodeId::new(node)))
    });
    let schedule = break_links(schedule);
    let settings = WholeSettings { faults_for: Duration::from_secs(26), ..WholeSettings::new(5) };
    let outcome = run_whole(&settings, &schedule);
    assert_eq!(outcome.violation, None);
    let tally = outcome.tally;
    assert!(tally.acknowledged > 1000 && tally.repeated > 10 && tally.dropped > 20, "{tally:?}");
    assert!(tally.read_afar > 1000, "{tally:?}");
}

#[test]
fn every_node_leaves_its_groups_and_joins_them_again_and_stops_in_order_and_nothing_is_lost() {
    let schedule = (1..=5).fold(Schedule::quiet(), |schedule, node| {
        let begin = 2000 + node * 4500;
        let schedule = schedule.and(begin, begin + 400, Fault::Leave(NodeId::new(node)));
        schedule.and(begin + 2000, begin + 2900, Fault::Stop(NodeId::new(node)))
    });
    let settings = WholeSettings { faults_for: Duration::from_secs(27), ..WholeSettings::new(5) };
    let outcome = run_whole(&settings, &schedule);
    assert_eq!(outcome.violation, None);
    let tally = outcome.tally;
    // Six groups at each of five nodes but one that the first is not in, once for the leave and once for the stop.
    assert_eq!((tally.left, tally.joined, tally.stopped), (58, 29, 5), "{tally:?}");
    assert!(tally.acknowledged > 1000 && tally.read_afar > 1000, "{tally:?}");
}

#[test]
fn what_clients_publish_passes_once_and_they_read_all_of_it_whenever_their_links_break() {
    let schedule = break_links(Schedule::quiet());
    let outcome = run_whole(&WholeSettings::new(5), &schedule);
    assert_eq!(outcome.violation, None);
    let tally = outcome.tally;
    assert!(tally.unlinked >= 100 && tally.repeated > 50, "{tally:?}");
    assert!(tally.acknowledged > 1000 && tally.read_afar > 1000, "{tally:?}");
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

/// A node stands still for seconds in the midst of traffic, while the others go on without it.
fn stopped(seed: u64, queue_before_stall: bool) -> WholeOutcome {
    let faults_for = Duration::from_secs(10);
    let settings = WholeSettings { faults_for, queue_before_stall, ..WholeSettings::new(seed) };
    run_whole(&settings, &Schedule::quiet().and(3000, 8000, Fault::Pause(NodeId::new(3))))
}

#[test]
fn what_queued_up_while_a_node_stood_still_comes_to_its_groups_after_the_news_that_it_did() {
    for seed in 1..=3 {
        assert_eq!(stopped(seed, false).violation, None, "seed {seed}");
    }
    let late = |seed| stopped(seed, true).violation;
    let noticed = (1..=3).find_map(late).expect("it is noticed");
    assert_eq!(noticed.property, "V7 one view serves");
}
