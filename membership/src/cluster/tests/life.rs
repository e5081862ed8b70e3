//! What nodes say of each other as they come, go, fail and come back.

use super::{
    ClusterEffect::{Down, Up},
    *,
};

#[test]
fn nodes_that_know_one_address_find_each_other_and_each_is_reported_once() {
    let mut world = World::new();
    for node in 1..=5 {
        world.start(id(node, 1, node));
        world.meet(node, id(1, 1, 1));
    }
    world.run(ms(3_000));
    world.assert_all_up();
    let mut reports = world.reports_at(3);
    reports.sort_by_key(|report| format!("{report:?}"));
    assert_eq!(reports, [1, 2, 4, 5].map(|node| Up(id(node, 1, node))));
    assert_eq!(world.refusals, []);
}

#[test]
fn a_contact_that_does_not_run_yet_is_sought_until_it_does() {
    let mut world = World::new();
    world.start(id(2, 1, 2));
    world.meet(2, id(1, 1, 1));
    world.run(ms(10_000));
    assert_eq!(world.reports, []);
    world.start(id(1, 1, 1));
    world.run(ms(2_000));
    world.assert_all_up();
}

#[test]
fn whoever_leaves_is_down_everywhere_within_a_second_and_says_nothing_more() {
    let mut world = World::met(5);
    world.step(3, Cluster::leave);
    world.run(ms(1_000));
    for host in [1, 2, 4, 5] {
        assert_eq!(world.reports_at(host), [Down(id(3, 1, 3))]);
    }
    assert!(world.refusals.iter().all(|refusal| *refusal == (3, ClusterError::Left)));
    world.run(ms(10_000));
    world.step(3, |cluster, now, out| {
        cluster.on_wake(now, out);
        cluster.contact(now, id(1, 1, 1), out);
        assert_eq!(out, &[]);
    });
    assert_eq!(world.reports, []);
}

#[test]
fn a_crashed_node_is_down_everywhere_after_a_probe_and_a_suspicion() {
    let mut world = World::met(5);
    world.crash(4);
    world.run(ms(500)); // not even one probe can have failed
    assert_eq!(world.reports, []);
    world.run(ms(2_500));
    for host in [1, 2, 3, 5] {
        assert_eq!(world.reports_at(host), [Down(id(4, 1, 4))], "at {host}");
    }
}

#[test]
fn a_restarted_node_replaces_its_former_life() {
    let mut world = World::met(4);
    world.crash(2);
    world.start(id(2, 2, 2));
    world.meet(2, id(3, 1, 3));
    world.run(ms(2_000));
    for host in [1, 3, 4] {
        assert_eq!(world.reports_at(host), [Down(id(2, 1, 2)), Up(id(2, 2, 2))], "at {host}");
    }
    world.run(ms(20_000));
    world.reports_at(2);
    assert_eq!(world.reports, [], "the former life is not spoken of again");
}

#[test]
fn a_node_that_moves_within_one_life_is_up_at_its_new_address_only() {
    for (from, to) in [(2, 9), (9, 2)] {
        let mut world = World::met(1);
        for node in [3, 4] {
            world.start(id(node, 1, node));
            world.meet(node, id(1, 1, 1));
        }
        world.start(id(5, 1, from));
        world.meet(from, id(1, 1, 1));
        world.run(ms(5_000));
        world.assert_all_up();
        world.reports.clear();
        world.crash(from);
        world.start(id(5, 1, to));
        world.meet(to, id(3, 1, 3));
        world.run(ms(10_000));
        world.assert_all_up();
        for host in [1, 3, 4] {
            let reports = world.reports_at(host);
            assert_eq!(reports.first(), Some(&Down(id(5, 1, from))), "at {host}");
            let Some(Up(last)) = reports.last() else { panic!("down at {host}: {reports:?}") };
            assert_eq!((last.member, last.addr), (member(5, 1), addr(to)));
        }
    }
}

#[test]
fn a_false_suspicion_is_refuted_and_nobody_goes_down() {
    let mut world = World::met(5);
    world.passes = |_, to| to != 4;
    while !world.is_suspected_at(1, member(4, 1)) {
        world.run(ms(10));
    }
    world.passes = |_, _| true;
    world.run(ms(10_000));
    assert_eq!(world.reports, []);
    assert_eq!(world.states(1), [State::Alive; 4]);
}

#[test]
fn who_misses_a_probe_is_asked_again_before_it_is_suspected() {
    let mut world = World::met(2); // there is nobody else to ask
    for _ in 0..20 {
        world.passes = |_, to| to != 2;
        world.run(ms(200));
        world.passes = |_, _| true;
        for _ in 0..15 {
            world.run(ms(20));
            assert!(!world.is_suspected_at(1, member(2, 1)), "at {}", world.now);
        }
    }
}

#[test]
fn a_node_that_hears_nobody_but_is_heard_takes_nobody_down() {
    let mut world = World::met(5);
    world.passes = |_, to| to != 4;
    world.run(ms(10_000));
    for host in [1, 2, 3, 5] {
        assert_eq!(world.reports_at(host), [Down(id(4, 1, 4))], "at {host}");
    }
    world.passes = |_, _| true;
    world.run(ms(15_000));
    world.assert_all_up();
}

#[test]
fn a_node_whose_only_peer_crashed_finds_out() {
    let mut world = World::met(2);
    world.crash(2);
    world.run(ms(4_000));
    assert_eq!(world.reports, [(1, Down(id(2, 1, 2)))]);
}

#[test]
fn both_sides_of_a_healed_partition_are_up_again_in_their_old_lives() {
    let mut world = World::met(6);
    world.passes = |from, to| (from <= 3) == (to <= 3);
    world.run(ms(30_000));
    assert_eq!(world.members(1), [member(2, 1), member(3, 1)]);
    assert_eq!(world.members(6), [member(4, 1), member(5, 1)]);
    world.passes = |_, _| true;
    world.run(ms(15_000));
    world.assert_all_up();
    world.reports.clear();
    world.run(ms(30_000));
    assert_eq!(world.reports, [], "it stays so");
}

#[test]
fn two_nodes_that_lost_each_other_are_up_again_after_healing() {
    let mut world = World::met(2);
    world.passes = |_, _| false;
    world.run(ms(30_000));
    assert!(world.members(1).is_empty() && world.members(2).is_empty());
    world.passes = |_, _| true;
    world.run(ms(3_000));
    world.assert_all_up();
}

#[test]
fn a_process_that_stood_still_accuses_nobody_and_comes_back_in_its_old_life() {
    let mut world = World::met(5);
    world.pause(2, true);
    world.run(ms(6_000));
    assert_eq!(world.members(1), [member(3, 1), member(4, 1), member(5, 1)]);
    world.pause(2, false);
    world.run(ms(15_000));
    world.assert_all_up();
    assert_eq!(world.reports_at(2), [], "it lost nobody");
    assert_eq!(world.processes[&2].cluster.identity().member, member(2, 1));
}

#[test]
fn a_process_that_wakes_up_late_first_takes_in_what_has_arrived() {
    let mut world = World::met(3);
    // Suspect everybody, so that the wake that is missed would declare them down.
    world.passes = |_, to| to != 1;
    while world.states(1) != [State::Suspect; 2] {
        world.run(ms(10));
    }
    world.passes = |_, _| true;
    world.pause(1, true);
    world.run(ms(3_000));
    world.pause(1, false);
    world.step(1, Cluster::on_wake); // before any datagram
    world.run(ms(10_000));
    assert_eq!(world.reports_at(1), []);
    world.assert_all_up();
}

#[test]
fn of_two_processes_with_one_name_the_later_life_counts_and_the_earlier_is_told() {
    let mut world = World::met(3);
    world.start(id(3, 2, 9));
    world.meet(9, id(1, 1, 1));
    world.run(ms(5_000));
    assert_eq!(world.members(1), [member(2, 1), member(3, 2)]);
    assert_eq!(world.members(2), [member(1, 1), member(3, 2)]);
    let outlived = ClusterError::Outlived { from: member(3, 1), by: member(3, 2) };
    assert!(world.refusals.contains(&(1, outlived)), "{:?}", world.refusals);
    world.run(ms(10_000));
    assert_eq!(world.members(9), [member(1, 1), member(2, 1)]);
}

#[test]
fn whoever_missed_the_news_of_a_failure_hears_it_in_the_roll_call() {
    let mut world = World::met(4);
    // A member that two of four have never heard of.
    world.passes = |from, to| from != 9 || to == 1;
    world.start(id(9, 1, 9));
    world.meet(9, id(1, 1, 1));
    world.run(ms(5_000));
    world.crash(9);
    world.run(ms(20_000));
    for host in 1..=4 {
        let reports = world.reports_at(host);
        assert_eq!(reports.last(), Some(&Down(id(9, 1, 9))), "at {host}: {reports:?}");
    }
}

#[test]
fn a_newcomer_reads_the_whole_roll_at_once() {
    let mut world = World::met(120);
    world.start(id(200, 1, 200));
    world.meet(200, id(7, 1, 7));
    world.run(ms(40)); // announced, let in, and five pages: two milliseconds each way
    assert_eq!(world.members(200).len(), 120);
}
