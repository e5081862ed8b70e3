//! Cluster membership at scale: hundreds of nodes find each other, notice failures and heal.

use std::time::Duration;

use quorate_sim::{ClusterReport, ClusterSettings, DeathKnown, run_cluster, watch_deaths};

// As they follow from the default detection time.
const PROBE_EVERY: Duration = Duration::from_millis(500);
const GOSSIP_EVERY: Duration = Duration::from_millis(100);
const SUSPICION: Duration = Duration::from_secs(2);

fn day(nodes: u16, loss_percent: f64, seed: u64) -> ClusterReport {
    run_cluster(&ClusterSettings { seed, nodes, loss_percent }).expect("every node comes to know the truth")
}

fn assert_in_time(report: &ClusterReport) {
    // A round of the roll call, which finds what gossip has missed, takes 18 s with 300 nodes.
    let round = Duration::from_secs(20);
    assert!(report.gathered < round && report.restart_known < round, "{report}");
    // A probe, three seconds to refute the suspicion, and gossip; or such a round.
    assert!(report.crash_known < round, "{report}");
    // Ten seconds until somebody tries to reach the other half, and such a round.
    assert!(report.healed < Duration::from_secs(30), "{report}");
}

#[test]
fn three_hundred_nodes_know_each_other_in_time_and_each_sends_no_more_than_one_of_fifty() {
    let large = day(300, 3.0, 1);
    assert_in_time(&large);
    assert!(large.false_downs < 30, "{large}");
    let small = day(50, 3.0, 1);
    assert_in_time(&small);
    let middle = day(150, 3.0, 1);
    assert_in_time(&middle);
    for other in [&middle, &large] {
        let ratio = other.datagrams_per_node_second / small.datagrams_per_node_second;
        assert!((0.5..2.0).contains(&ratio), "{small}\n{other}");
        let ratio = other.bytes_per_node_second / small.bytes_per_node_second;
        assert!((0.5..2.0).contains(&ratio), "{small}\n{other}");
    }
}

#[test]
fn nobody_is_falsely_declared_down_while_no_datagram_is_lost() {
    for seed in 1..=2 {
        let report = day(60, 0.0, seed);
        assert_in_time(&report);
        assert_eq!(report.false_downs, 0, "{report}");
    }
}

#[test]
fn a_twentieth_of_the_datagrams_lost_delays_but_confuses_nobody() {
    for seed in 1..=2 {
        let report = day(60, 5.0, seed);
        assert_in_time(&report);
        assert!(report.false_downs < 60, "{report}");
    }
}

#[test]
fn each_sends_as_little_however_large_the_cluster_is_though_datagrams_are_lost() {
    for loss in [0.0, 3.0] {
        let [small, middle, large] = [10, 100, 300].map(|nodes| day(nodes, loss, 1));
        assert!(small.datagrams_per_node_second > 1.0, "nothing was counted: {small}");
        for report in [&middle, &large] {
            let ratio = report.datagrams_per_node_second / small.datagrams_per_node_second;
            assert!(ratio <= 1.1, "{small}\n{report}");
        }
    }
}

/// The mean time until a death is known to the first.
fn mean_until_known(nodes: u16, loss_percent: f64) -> Duration {
    let deaths: Vec<DeathKnown> = (1..=3)
        .flat_map(|seed| {
            let settings = ClusterSettings { seed, nodes, loss_percent };
            watch_deaths(&settings, 10).expect("every node comes to know the truth")
        })
        .collect();
    for known in &deaths {
        assert!(known.first >= SUSPICION, "{nodes} nodes: {known:?}");
        // Each round of gossip makes those who know four times as many; the last few are met by chance.
        let rounds = nodes.ilog(4) + 2;
        assert!(known.last <= known.first + GOSSIP_EVERY * rounds, "{nodes} nodes: {known:?}");
    }
    deaths.iter().map(|known| known.first).sum::<Duration>() / deaths.len() as u32
}

#[test]
fn a_death_is_known_as_soon_however_large_the_cluster_is_but_for_rounds_of_gossip() {
    // Chance decides after how many rounds of probes somebody asks the dead one: one, in the mean, at any size. The
    // means of thirty deaths differ by chance by a quarter of a round.
    let small = mean_until_known(10, 0.0);
    assert!(small <= SUSPICION + PROBE_EVERY * 3, "{small:?}");
    for (nodes, loss) in [(10, 3.0), (100, 0.0), (100, 3.0), (300, 0.0)] {
        let mean = mean_until_known(nodes, loss);
        assert!(mean <= small + PROBE_EVERY / 2, "{nodes} nodes, {loss} % lost: {mean:?}, ten: {small:?}");
    }
}

#[test]
fn two_runs_of_one_seed_are_the_same_and_of_two_seeds_are_not() {
    assert_eq!(day(40, 2.0, 7), day(40, 2.0, 7));
    assert_ne!(day(40, 2.0, 7).digest, day(40, 2.0, 8).digest);
}
