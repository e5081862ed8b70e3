//! Scenarios that break other systems, each over several seeds.

mod common;

use std::time::Duration;

use common::{ms, n, nodes, play};
use quorate_membership::{Change, Time, agreement::Breach};
use quorate_protocols::{Event, Order, WedgeReason};
use quorate_sim::{Aim, Fault, Step, Strike};

#[test]
fn s1_a_frame_that_one_receiver_has_is_delivered_by_all_survivors_or_by_none() {
    for order in Order::ALL {
        let lost = Aim::at(Step::Data, Strike::Crash).by(n(5)).reaching([n(2)]);
        let play = play().order(order).fault(3000, 4500, Fault::Aimed(vec![lost]));
        play.hold(1..=3, |run| {
            assert_eq!(run.outcome.tally.strikes, 1);
            let of_dead = |node| {
                let mut all = run.delivered(n(node), 1, 1);
                all.retain(|(sender, ..)| sender.node == n(5));
                all
            };
            assert!(of_dead(2).len() > 10);
            assert!((1..=4).all(|node| of_dead(node) == of_dead(2)), "{order}, seed {}", run.seed);
        });
        play.notices(Breach::MinimumCut, 1..=30);
    }
}

#[test]
fn nodes_that_have_few_turns_lose_nobody() {
    let busy = (1..=5).fold(play(), |play, node| play.fault(1000, 9000, Fault::Busy(n(node), 240)));
    busy.clone().hold(1..=5, |run| {
        let tally = run.outcome.tally;
        assert_eq!((tally.suspicions, tally.views), (0, 1), "seed {}", run.seed);
    });
    busy.notices(Breach::OldEchoAccuses, 1..=5);
}

#[test]
fn s2_what_was_delivered_as_uniform_outlives_the_one_who_delivered_it() {
    let lost = Aim::at(Step::Data, Strike::Crash).by(n(5)).reaching([n(2)]);
    let play = play().fault(3000, 4500, Fault::Aimed(vec![lost])).fault(3060, 4600, Fault::Crash(n(2)));
    play.hold(1..=3, |run| {
        let dead = run.delivered(n(2), 1, 1);
        assert!(dead.len() > 10);
        for survivor in [1, 3, 4] {
            assert!(dead.is_subset(&run.delivered(n(survivor), 1, 1)), "seed {}", run.seed);
        }
    });
    play.notices(Breach::UniformTooEarly, 1..=10);
}

#[test]
fn s2_a_weaker_order_says_of_what_can_still_be_lost_that_it_is_not_yet_uniform() {
    // n5 and the one receiver of its frame are cut off together: the others go on without both.
    let apart = Aim::at(Step::Data, Strike::PartOff).by(n(5)).reaching([n(2)]);
    for order in [Order::Fifo, Order::Causal] {
        let play = play().order(order).fault(3000, 5500, Fault::Aimed(vec![apart.clone()]));
        play.hold(1..=3, |run| {
            let (first, others) = (run.delivered(n(2), 1, 1), run.delivered(n(1), 1, 1));
            let lost: Vec<_> = first.difference(&others).collect();
            assert!(!lost.is_empty(), "{order}, seed {}: nothing was lost", run.seed);
            let marked = run.delivered_as_uniform(n(2), 1, 1);
            assert!(lost.iter().all(|name| !marked.contains(name)), "{order}, seed {}", run.seed);
            assert!(marked.len() > 10, "{order}, seed {}: most is uniform by then", run.seed);
        });
    }
}

/// The coordinator n1 closes the view because n5 has died, and is struck at this step.
fn struck_coordinator(aim: Aim) -> common::Play {
    play().fault(3000, 8000, Fault::Crash(n(5))).fault(3000, 6000, Fault::Aimed(vec![aim.by(n(1))]))
}

#[test]
fn s3_a_decision_that_nobody_heard_is_found_and_completed() {
    let play = struck_coordinator(Aim::at(Step::Decided, Strike::Crash));
    play.hold(1..=3, |run| {
        assert_eq!(nodes(&run.view(2)), [1, 2, 3, 4], "the dead coordinator is in its own decree");
        assert_eq!(nodes(&run.view(3)), [2, 3, 4]);
    });
    // Here the coordinator lives on in the view that only it has heard of.
    let play = struck_coordinator(Aim::at(Step::Decided, Strike::CutOff));
    play.hold(1..=3, |run| assert!(run.entered(1, 2) < run.entered(2, 2)));
    play.notices(Breach::ForgetAccepted, 1..=4);
}

#[test]
fn s4_a_decree_that_some_have_accepted_is_proposed_again_with_its_cut() {
    let play = struck_coordinator(Aim::at(Step::Accept, Strike::Crash).reaching([n(3)]));
    play.hold(1..=3, |run| {
        assert_eq!(nodes(&run.view(2)), [1, 2, 3, 4], "seed {}", run.seed);
        assert_eq!(run.delivered(n(2), 1, 1), run.delivered(n(3), 1, 1));
    });
    // Nobody had decided it, so forgetting it harms nobody here; but then it is not proposed again.
    let forgets = play.with(|settings| settings.breach = Some(Breach::ForgetAccepted));
    forgets.hold(1..=3, |run| assert_eq!(nodes(&run.view(2)), [2, 3, 4], "seed {}", run.seed));
}

#[test]
fn s5_joins_and_leaves_that_a_dead_coordinator_had_announced_are_not_lost() {
    for step in [Step::Prepare, Step::Hold, Step::Accept, Step::Decided] {
        let strike = Aim::at(step, Strike::Crash).by(n(1)).reaching([n(3)]);
        let play = play().fault(3000, 4000, Fault::Crash(n(5))).fault(3950, 6500, Fault::Leave(n(4))).fault(
            3940,
            5500,
            Fault::Aimed(vec![strike]),
        );
        let look = |run: &common::Run| {
            let left = run.history.first(n(4), ms(3950), |event| *event == Event::Left);
            assert!(left.is_some_and(|seen| seen.by.incarnation.get() == 1), "{step:?}, seed {}", run.seed);
            let joined = |event: &Event| matches!(event, Event::View(view) if view.members.len() == 5);
            assert!(run.history.first(n(5), ms(4000), joined).is_some(), "{step:?}, seed {}", run.seed);
        };
        play.hold(1..=2, look);
        // Two rules save them: everybody is told, and told again. This breaks both; but what has been
        // put to the vote is in the decree that the next coordinator takes over.
        if matches!(step, Step::Prepare | Step::Hold) {
            play.fails(Breach::AnnounceOnce, 1..=2, look);
        }
    }
}

#[test]
fn s8_a_cut_between_two_that_both_reach_a_third_costs_one_view_change() {
    // The coordinator is one of the two, or it is one that both reach.
    for (count, seconds, a, b) in [(3, 60, 1, 2), (3, 15, 2, 3), (5, 15, 1, 2), (5, 15, 2, 3)] {
        let end = 3000 + seconds * 1000;
        let play = play().nodes(count).seconds(seconds + 5).fault(3000, end, Fault::Cut(n(a), n(b)));
        let look = |run: &common::Run| {
            for third in (1..=count).filter(|node| ![a, b].contains(node)) {
                assert_eq!(run.views(third, 3000, end).len(), 1, "no flapping, seed {}", run.seed);
                let stands = |event: &Event| matches!(event, Event::Wedged(_) | Event::Removed { .. });
                assert!(run.history.first(n(third), ms(3000), stands).is_none(), "n{third} is isolated");
                assert!(run.count(third, 6000, end) > 100, "n{third} goes on");
            }
        };
        play.hold(1..=2, look);
        if a != 1 {
            play.fails(Breach::AdmitUnheard, 1..=2, look);
        }
    }
}

/// How many messages a node that stood still from 3 s to 8 s delivers in the view it woke up in.
fn stale_deliveries(run: &common::Run) -> usize {
    let resumes = ms(8000);
    let ends = |event: &Event| matches!(event, Event::Removed { .. } | Event::View(_));
    let end = run.history.first(n(3), resumes, ends).expect("it learns that the others went on");
    // What belongs to the closed view up to its cut is delivered in the step that ends it.
    let stale = run.history.of(n(3), resumes, end.at + Duration::from_nanos(1));
    let stale = stale.filter(|seen| seen.step < end.step);
    stale.filter(|seen| matches!(seen.event, Event::Message { .. })).count()
}

#[test]
fn s9_a_node_that_was_stopped_serves_nothing_stale_and_comes_back() {
    let play = play().order(Order::Causal).fault(3000, 8000, Fault::Pause(n(3)));
    play.hold(1..=3, |run| {
        assert_eq!(stale_deliveries(run), 0, "seed {}", run.seed);
        let views = run.history.views(ms(3000));
        assert_eq!(views.len(), 2, "one view without it, one with it again: {views:?}");
        assert!(run.count(1, 4000, 8000) > 100, "the others go on");
        assert_eq!(nodes(&run.view(3)).len(), 5);
    });
    play.notices(Breach::ServeAfterStall, 1..=5);
}

/// n2 is not told of the view without n4, though it gets what is sent there, and is then cut off while the others go on
/// without it. With n1 in reach it has no majority of the view that it comes from, but one of that which it enters late.
#[test]
fn a_member_that_was_cut_off_serves_nothing_in_a_view_that_it_enters_late() {
    let untold = Aim::at(Step::Decided, Strike::Lose).reaching([n(1), n(3)]);
    let play = play()
        .nodes(4)
        .order(Order::Fifo)
        .fault(3000, 12_000, Fault::Crash(n(4)))
        .fault(3000, 3900, Fault::Aimed(vec![untold.clone(); 100]))
        .fault(8000, 8300, Fault::Aimed(vec![untold; 100]))
        .fault(3900, 8000, Fault::Partition(vec![n(2)]))
        .fault(3900, 8500, Fault::Cut(n(2), n(3)));
    play.hold(1..=3, |run| {
        assert!(run.entered(1, 3).is_some_and(|at| at < ms(5000)), "seed {}", run.seed);
        assert!(run.entered(2, 2).is_some_and(|at| at > ms(8000)), "seed {}", run.seed);
    });
    play.notices(Breach::EnterUnasked, 1..=5);
}

#[test]
fn a_whole_cluster_that_stood_still_goes_on_in_its_view() {
    let all = (1..=5).fold(play(), |play, node| play.fault(3000, 6000, Fault::Pause(n(node))));
    all.hold(1..=3, |run| {
        assert_eq!(run.outcome.tally.views, 1);
        let doubts = |event: &Event| *event == Event::Wedged(WedgeReason::Stalled);
        assert!((1..=5).all(|node| run.history.first(n(node), ms(5000), doubts).is_some()));
    });
}

#[test]
fn s10_a_minority_with_slow_timers_serves_nothing_while_the_majority_goes_on() {
    let play = play()
        .seconds(26)
        .fault(2900, 24_000, Fault::SlowClock(n(1), 5))
        .fault(2900, 24_000, Fault::SlowClock(n(2), 5))
        .fault(3000, 24_000, Fault::Partition(vec![n(1), n(2)]));
    play.hold(1..=3, |run| {
        let notices = run.history.first(n(1), ms(3000), |event| matches!(event, Event::Wedged(_)));
        assert!(notices.is_none_or(|seen| seen.at > ms(10_000)), "it is ten seconds slow to notice");
        // What was on its way when the cut came is all that the minority may still deliver.
        assert_eq!(run.count(1, 3050, 24_000) + run.count(2, 3050, 24_000), 0, "seed {}", run.seed);
        assert!(run.count(3, 5000, 24_000) > 100);
    });
    play.notices(Breach::CloseByMinority, 1..=4);
}

#[test]
fn s11_nodes_that_start_together_under_loss_found_one_view_of_all() {
    let play = play().fault(0, 8000, Fault::Loss(10));
    let look = |run: &common::Run| {
        for node in 1..=5 {
            let first = run.views(node, 0, 10_000).remove(0);
            assert_eq!((first.id.epoch, nodes(&first).len()), (1, 5), "n{node}, seed {}", run.seed);
            assert_eq!(first.id.lineage, run.view(1).id.lineage);
        }
    };
    play.hold(1..=3, look);
    play.fails(Breach::FoundAtOnce, 1..=20, look);
}

#[test]
fn s13_a_node_that_restarts_within_the_detection_time_is_another_member() {
    let play = play().fault(2000, 5000, Fault::Late(20)).fault(3000, 3050, Fault::Crash(n(3)));
    play.hold(1..=3, |run| {
        let without = run.view(2);
        assert!(without.changes.iter().all(|(member, _)| member.node == n(3)), "{without}");
        let soon = run.entered(1, 2).expect("n1 goes on");
        assert!(soon < ms(3500), "the new life is proof enough, no need to wait for silence: {soon}");
        let present = run.view(3).members.into_iter().find(|member| member.node == n(3));
        assert_eq!(present.map(|member| member.incarnation.get()), Some(2), "seed {}", run.seed);
        // Nobody delivers anything of the former life after it was removed.
        let late = |event: &Event| matches!(event, Event::Message { view, sender, .. } if view.epoch > 1 && sender.node == n(3) && sender.incarnation.get() == 1);
        assert!((1..=5).all(|node| run.history.first(n(node), Time::ZERO, late).is_none()));
    });
    play.notices(Breach::StaleIncarnation, 1..=5);
}

#[test]
fn s16_what_is_sent_while_a_view_is_announced_goes_out_in_that_view() {
    let play = play().with(|settings| settings.greets = true).least(10).fault(3000, 4500, Fault::Crash(n(5)));
    play.hold(1..=3, |run| {
        assert!(run.history.views(Time::ZERO).len() >= 3);
        for epoch in [1, 2, 3] {
            let view = run.view(epoch);
            for member in &view.members {
                let heard = run.delivered(n(1), 1, epoch);
                let greets = heard.iter().filter(|(sender, ..)| sender == member).count();
                assert_eq!(greets, 1, "greetings of {member} in {view}, seed {}", run.seed);
            }
        }
        assert!(run.view(2).changes.iter().any(|(_, change)| *change == Change::Unreachable));
    });
    play.notices(Breach::WaitForOthers, 1..=2);
}

/// n2 decides on going on without n1 and dies of it; n1 and the witness, which has voted, can only
/// finish that decision. Nobody is left who delivers what n1 sent last.
#[test]
fn a_decision_without_the_sender_whose_holder_died_makes_none_of_its_messages_uniform() {
    let lost = Aim::at(Step::Decided, Strike::Crash).by(n(2));
    for order in [Order::Total, Order::Uniform] {
        let play = play().nodes(2).witness().order(order);
        let play = play.fault(3000, 5000, Fault::Aimed(vec![lost.clone()]));
        play.fault(3000, 4600, Fault::Partition(vec![n(1)])).hold(1..=8, |run| {
            assert_eq!(run.outcome.tally.strikes, 1);
            let removed = |event: &Event| matches!(event, Event::Removed { .. });
            assert!(run.history.first(n(1), ms(3000), removed).is_some(), "seed {}", run.seed);
        });
    }
}
