//! Partitionable groups: each side goes on, and sides merge when they hear each other again.

mod common;

use common::{Play, Run, ms, n, nodes, play};
use quorate_membership::agreement::Breach;
use quorate_protocols::{Event, Order};
use quorate_sim::{Aim, Fault, Step, Strike};

fn sides() -> Play {
    play().with(|settings| settings.partitionable = true)
}

/// The nodes of the last view that a node entered before a moment.
fn last(run: &Run, node: u64, before: u64) -> Vec<u64> {
    let views = run.views(node, 0, before);
    let mut nodes = nodes(views.last().unwrap_or_else(|| panic!("seed {}: n{node} has no view", run.seed)));
    nodes.sort_unstable();
    nodes
}

#[test]
fn members_that_begin_alone_find_each_other() {
    sides().hold(1..=3, |run| {
        for node in 1..=5 {
            let views = run.views(node, 0, 3000);
            assert_eq!(last(run, node, 3000), [1, 2, 3, 4, 5], "seed {}", run.seed);
            assert!(views.len() <= 2, "seed {}: {} views to find each other", run.seed, views.len());
        }
    });
}

#[test]
fn both_sides_of_a_partition_go_on_and_merge_once() {
    for order in Order::ALL {
        let play = sides().order(order).fault(3000, 7000, Fault::Partition(vec![n(1), n(2)]));
        play.hold(1..=3, |run| {
            for node in 1..=5 {
                let side = if node <= 2 { vec![1, 2] } else { vec![3, 4, 5] };
                assert_eq!(last(run, node, 7000), side, "{order}, seed {}", run.seed);
                assert!(run.count(node, 5000, 7000) > 100, "n{node} goes on");
                let after = run.views(node, 7000, 10_000);
                assert_eq!(after.len(), 1, "one merge and no flapping, seed {}", run.seed);
                assert_eq!(after[0].members.len(), 5);
                assert_eq!(after[0].sides.len(), 2);
                let merged = |event: &Event| matches!(event, Event::Merged { sides } if sides.len() == 2);
                assert!(run.history.first(n(node), ms(7000), merged).is_some());
            }
        });
    }
}

#[test]
fn three_sides_become_one() {
    let play = sides().fault(3000, 7000, Fault::Partition(vec![n(1), n(2)])).fault(
        3000,
        7000,
        Fault::Partition(vec![n(3), n(4)]),
    );
    play.hold(1..=3, |run| {
        for (node, side) in [(1, vec![1, 2]), (2, vec![1, 2]), (3, vec![3, 4]), (4, vec![3, 4]), (5, vec![5])]
        {
            assert_eq!(last(run, node, 7000), side, "seed {}", run.seed);
            assert_eq!(last(run, node, 10_000), [1, 2, 3, 4, 5], "seed {}", run.seed);
            assert!(run.views(node, 7000, 10_000).len() <= 2, "seed {}: it flaps", run.seed);
        }
    });
}

#[test]
fn whoever_coordinates_a_side_may_crash_at_any_step_of_the_merge() {
    for step in Step::MERGE {
        for coordinator in [1, 3] {
            for reach in [vec![], vec![n(2), n(4)]] {
                let aim = Aim::at(step, Strike::Crash).by(n(coordinator)).reaching(reach.clone());
                let play = sides().fault(3000, 6000, Fault::Partition(vec![n(1), n(2)])).fault(
                    5900,
                    7500,
                    Fault::Aimed(vec![aim]),
                );
                play.hold([1], |run| {
                    // What a member tells itself is no step that could be struck.
                    let takes = match step {
                        Step::Prepare => true,
                        Step::Promise => false,
                        Step::AskOffer | Step::Hold | Step::Accept | Step::Decided => coordinator == 1,
                        _ => coordinator == 3,
                    };
                    let strikes = run.outcome.tally.strikes;
                    assert!(!takes || strikes == 1, "{step:?} by n{coordinator}, reaching {reach:?}");
                    assert!(run.outcome.tally.merges > 0);
                });
            }
        }
    }
}

#[test]
fn a_side_that_splits_while_it_merges_loses_nobody() {
    for step in Step::MERGE {
        let aim = Aim::at(step, Strike::PartOff).reaching([n(2), n(4)]);
        let play = sides().fault(3000, 6000, Fault::Partition(vec![n(1), n(2)])).fault(
            5900,
            7500,
            Fault::Aimed(vec![aim]),
        );
        play.hold(1..=2, |run| assert_eq!(run.outcome.tally.strikes, 1, "{step:?}, seed {}", run.seed));
    }
}

#[test]
fn a_cut_in_one_direction_parts_two_sides_until_it_heals() {
    let play = sides().fault(3000, 7000, Fault::CutOneWay(n(1), n(2)));
    play.hold(1..=3, |run| {
        assert_eq!(last(run, 1, 7000), [1, 3, 4, 5], "seed {}", run.seed);
        assert_eq!(last(run, 2, 7000), [2], "seed {}", run.seed);
        assert_eq!(run.views(3, 3000, 7000).len(), 1, "no flapping, seed {}", run.seed);
    });
}

#[test]
fn a_member_that_restarts_comes_back_as_a_side_of_its_own() {
    let play = sides().fault(3000, 4500, Fault::Crash(n(2)));
    play.hold(1..=3, |run| {
        assert_eq!(last(run, 1, 4400), [1, 3, 4, 5], "seed {}", run.seed);
        let views = run.views(2, 4500, 10_000);
        assert_eq!(nodes(&views[0]), [2]);
        assert_eq!(last(run, 1, 10_000), [1, 2, 3, 4, 5], "seed {}", run.seed);
    });
}

#[test]
fn what_a_side_has_not_delivered_when_it_merges_is_noticed() {
    let play = sides().fault(3000, 6000, Fault::Partition(vec![n(1), n(2)]));
    play.notices(Breach::EnterWithoutCut, 1..=4);
}

#[test]
fn a_transitional_set_that_is_too_large_is_noticed() {
    let play = sides().fault(3000, 6000, Fault::Partition(vec![n(1), n(2)]));
    play.notices(Breach::TransitionalTooLarge, 1..=4);
}
