//! The attacks on naive view changes, each with an aimed schedule; and where a rule of ours is what
//! stops the attack, the same schedule must hurt once that rule is broken.

mod common;

use common::{ms, n, nodes, play};
use quorate_membership::{Change, Time, agreement::Breach};
use quorate_protocols::{Event, Order};
use quorate_sim::{Aim, Fault, Step, Strike};

/// n1 sends two frames that of the others n2 alone receives, and dies over the second.
fn held_by_two_then_one() -> common::Play {
    let aims = vec![
        Aim::at(Step::Data, Strike::Lose).by(n(1)).reaching([n(2)]),
        Aim::at(Step::Data, Strike::Crash).by(n(1)).reaching([n(2)]),
    ];
    play().nodes(3).order(Order::Fifo).fault(3000, 4500, Fault::Aimed(aims))
}

#[test]
fn attack_01_the_minimum_as_the_cut() {
    held_by_two_then_one().hold(1..=3, |run| {
        assert_eq!(run.outcome.tally.strikes, 2);
        assert_eq!(run.delivered(n(2), 1, 1), run.delivered(n(3), 1, 1), "seed {}", run.seed);
        assert!(run.delivered(n(1), 1, 1).is_subset(&run.delivered(n(2), 1, 1)), "n1 sent it all to n2");
    });
    held_by_two_then_one().notices(Breach::MinimumCut, 1..=5);
}

#[test]
fn attack_02_a_stale_suffix_in_the_union() {
    // n4 does not hear of v2, and is asked at once what it holds of it, since n3 dies next.
    let deaf = Aim::at(Step::Decided, Strike::Lose).reaching([n(1), n(2), n(3)]);
    let play = play()
        .fault(3000, 6500, Fault::Crash(n(5)))
        .fault(3000, 4000, Fault::Aimed(vec![deaf]))
        .fault(3480, 3530, Fault::Pause(n(4)))
        .fault(2900, 4500, Fault::Loss(25))
        .fault(3500, 3540, Fault::Crash(n(3)));
    play.hold(1..=3, |run| assert!(run.outcome.tally.views >= 3));
    play.notices(Breach::ContributeUnactivated, 1..=20);
}

/// Two join a group of three, and the old members but one die around the decision.
fn newcomers_take_over(step: Step) -> common::Play {
    let strike = Aim::at(step, Strike::Crash);
    play()
        .fault(1500, 4000, Fault::Crash(n(4)))
        .fault(1500, 4010, Fault::Crash(n(5)))
        .fault(8000, 9000, Fault::Aimed(vec![strike.clone()]))
        .fault(8000, 8060, Fault::Crash(n(4)))
        .seconds(12)
}

#[test]
fn attack_03_decided_but_not_held() {
    for step in [Step::Hold, Step::Holding, Step::Accept, Step::Accepted, Step::Decided] {
        newcomers_take_over(step).hold(1..=2, |run| {
            assert!(run.outcome.tally.strikes > 0, "{step:?}, seed {}", run.seed);
        });
    }
    let mute = Aim::at(Step::Holding, Strike::CutOff);
    let play =
        play().fault(3000, 3900, Fault::Crash(n(5))).fault(3900, 6000, Fault::Aimed(vec![mute.by(n(5))]));
    play.hold(1..=2, |run| {
        // The newcomer has not said that it holds the cut, so no view that lists it is decided.
        assert_eq!(run.outcome.tally.strikes, 1);
        assert!(run.views(1, 3900, 5900).iter().all(|view| !nodes(view).contains(&5)), "seed {}", run.seed);
    });
    play.notices(Breach::CountLearners, 1..=4);
}

/// A frame reaches n1 alone; n1 closes the view, and is struck at this step.
fn only_the_coordinator_has_it(step: Step, reach: &[u64]) -> common::Play {
    let aims = vec![
        Aim::at(Step::Data, Strike::Crash).by(n(5)).reaching([n(1)]),
        Aim::at(step, Strike::Crash).by(n(1)).reaching(reach.iter().map(|node| n(*node))),
    ];
    play().order(Order::Fifo).fault(3000, 5000, Fault::Aimed(aims))
}

#[test]
fn attack_04_an_accepted_cut_that_cannot_be_obtained() {
    for reach in [vec![], vec![2], vec![2, 3, 4]] {
        let play = only_the_coordinator_has_it(Step::Accept, &reach);
        play.hold(1..=3, |run| {
            assert_eq!(run.outcome.tally.strikes, 2);
            assert_eq!(run.delivered(n(2), 1, 1), run.delivered(n(4), 1, 1));
            // It was held before the vote, so it is not lost with the coordinator.
            let from_dead =
                |node| run.delivered(n(node), 1, 1).iter().filter(|(m, ..)| m.node == n(5)).count();
            assert!(reach.is_empty() || from_dead(2) >= from_dead(1), "seed {}", run.seed);
        });
    }
    // Nobody is asked to hold for a whole round: then there must be no vote.
    let mut aims = vec![Aim::at(Step::Data, Strike::Crash).by(n(5)).reaching([n(1)])];
    aims.extend(vec![Aim::at(Step::Hold, Strike::Lose).by(n(1)); 12]);
    aims.push(Aim::at(Step::Accept, Strike::Crash).by(n(1)).reaching([n(2), n(3), n(4)]));
    let play = play().order(Order::Fifo).fault(3000, 5000, Fault::Aimed(aims));
    play.hold(1..=2, |run| assert_eq!(run.outcome.tally.strikes, 14));
    play.notices(Breach::AcceptWithoutHolding, 1..=2);
}

#[test]
fn attack_05_the_holder_dies_while_others_fetch() {
    for reach in [vec![], vec![2], vec![2, 3]] {
        only_the_coordinator_has_it(Step::Hold, &reach).hold(1..=3, |run| {
            assert_eq!(run.outcome.tally.strikes, 2);
            assert!((3..=4).all(|node| run.delivered(n(node), 1, 1) == run.delivered(n(2), 1, 1)));
            assert_eq!(nodes(&run.view(2)), [2, 3, 4], "seed {}: closed anew, without either", run.seed);
        });
        // Losses before make members hold different frames, of which the minimum leaves some out.
        let uneven = only_the_coordinator_has_it(Step::Hold, &reach).fault(2900, 3600, Fault::Loss(30));
        uneven.notices(Breach::MinimumCut, 1..=5);
    }
}

#[test]
fn attack_06_serving_on_an_accepted_undecided_view() {
    let alone = Aim::at(Step::Accept, Strike::CutOff).by(n(1));
    let play = play().fault(3000, 7000, Fault::Crash(n(5))).fault(3000, 6000, Fault::Aimed(vec![alone]));
    play.hold(1..=3, |run| {
        let told = run.entered(1, 2);
        assert!(told.is_none_or(|at| at > ms(6000)), "n1 has but its own vote, seed {}", run.seed);
        assert_eq!(nodes(&run.view(2)), [2, 3, 4], "the majority decided otherwise");
    });
    play.notices(Breach::InstallUndecided, 1..=3);
}

#[test]
fn attack_07_four_that_split_two_and_two() {
    for order in [Order::Uniform, Order::Total] {
        let play = play().nodes(4).order(order).fault(3000, 8000, Fault::Partition(vec![n(1), n(2)]));
        play.hold(1..=3, |run| {
            // Half of the members is no majority, whoever is in it: neither side closes the view.
            let all_four = |node| run.views(node, 3000, 10_000).iter().all(|view| nodes(view).len() == 4);
            for node in 1..=4 {
                assert!(
                    run.views(node, 3000, 8000).is_empty() && all_four(node),
                    "{order}, seed {}",
                    run.seed
                );
            }
            for node in 1..=4 {
                let stands = run.history.first(n(node), ms(3000), |event| matches!(event, Event::Wedged(_)));
                assert!(stands.is_some_and(|seen| seen.at < ms(4000)), "n{node} says that it stands still");
                // What only its own side holds, two of four, is delivered by nobody meanwhile.
                assert_eq!(run.count(node, 3050, 8000), 0, "{order}, seed {}", run.seed);
                assert!(run.count(node, 8000, 10_000) > 50, "n{node} goes on once healed");
            }
            // What both sides had sent by then comes to all, in the view in which it was sent.
            let all = run.delivered(n(1), 1, 1);
            assert!((2..=4).all(|node| run.delivered(n(node), 1, 1) == all), "{order}, seed {}", run.seed);
            assert!((1..=4).all(|node| all.iter().filter(|(m, ..)| m.node == n(node)).count() > 50));
        });
        play.notices(Breach::CloseByMinority, 1..=4);
    }
}

#[test]
fn attack_08_a_newcomer_that_dies_on_its_way_in_counts_for_nothing() {
    let strike = Aim::at(Step::Holding, Strike::CutOff).by(n(5));
    let play = play()
        .fault(3000, 4000, Fault::Crash(n(5)))
        .fault(4000, 7000, Fault::Aimed(vec![strike]))
        .fault(4600, 6000, Fault::Crash(n(4)));
    play.hold(1..=3, |run| {
        assert_eq!(run.outcome.tally.strikes, 1);
        // Its silence takes no vote from anybody: three of the old four close the next view.
        let gone = run.history.first(n(1), ms(4600), |event| matches!(event, Event::View(_)));
        assert!(gone.is_some_and(|seen| seen.at < ms(6500)), "seed {}", run.seed);
    });
    play.notices(Breach::CountLearners, 1..=4);
}

#[test]
fn attack_09_a_member_that_restarted_promises_as_another() {
    // n3 promises, dies, and is back before anybody could have missed it.
    let strike = Aim::at(Step::Promise, Strike::Crash).by(n(3));
    let look = |run: &common::Run| {
        assert_eq!(run.outcome.tally.strikes, 1);
        let first = run.view(2);
        let lives: Vec<u64> = first.members.iter().map(|member| member.incarnation.get()).collect();
        assert!(lives.iter().all(|life| *life == 1), "{first}: a later life has to join anew");
    };
    for reach in [vec![n(1)], vec![]] {
        let strike = Aim { reach, ..strike.clone() };
        let play = play().fault(3000, 6000, Fault::Crash(n(5))).fault(3400, 3700, Fault::Aimed(vec![strike]));
        play.hold(1..=3, look);
        // Three rules stop it: who has not entered a view says nothing of it, what is said of it by
        // others than its members is refused, and so it is once more when promises are counted.
        play.fails(Breach::AnyLife, 1..=3, look);
    }
}

#[test]
fn attack_10_sealing_races_with_acknowledging() {
    let play = play().fault(3000, 4500, Fault::Crash(n(5))).fault(3000, 6000, Fault::Loss(10));
    play.hold(1..=3, |run| assert!(run.outcome.tally.views >= 2));
    play.notices(Breach::SealLeaks, 1..=2);
    // Their coordinator is lost in the middle, so that they are sealed until they notice; and n5 is back so soon that they
    // have room for more frames, as they have not waited for it before.
    let lost = Aim::at(Step::Accept, Strike::CutOff).by(n(1));
    let stuck = common::play().fault(3000, 3050, Fault::Crash(n(5)));
    let stuck = stuck.fault(3000, 6000, Fault::Aimed(vec![lost]));
    stuck.hold(1..=3, |run| assert_eq!(run.outcome.tally.strikes, 1));
    stuck.notices(Breach::SealedSends, 1..=1);
}

#[test]
fn attack_11_an_acknowledgement_of_another_life_or_view() {
    let play = play().fault(2500, 8000, Fault::Late(30)).fault(3000, 3040, Fault::Crash(n(2))).fault(
        8000,
        8040,
        Fault::Crash(n(3)),
    );
    play.hold(1..=3, |run| assert!(run.outcome.tally.views >= 3, "seed {}", run.seed));
    play.notices(Breach::StaleIncarnation, 1..=4);
}

#[test]
fn attack_22_a_message_that_was_lost_is_sent_again_and_delivered_once() {
    let play = play()
        .with(|settings| settings.retries = true)
        .fault(3000, 5500, Fault::Partition(vec![n(5)]))
        .fault(2900, 3600, Fault::Loss(30));
    let retried = std::cell::Cell::new(0);
    // The same payload delivered twice would break V6.
    play.hold(1..=3, |run| retried.set(retried.get() + run.outcome.tally.retried));
    assert!(retried.get() > 0, "nothing was lost, so nothing was sent again");
    play.notices(Breach::LostTooEarly, 1..=3);
}

#[test]
fn attack_23_messages_and_views_come_in_one_stream() {
    for order in Order::ALL {
        let play =
            play().order(order).fault(3000, 4500, Fault::Crash(n(1))).fault(2500, 5000, Fault::Loss(15));
        play.hold(1..=2, common::Run::assert_one_stream);
        play.notices(Breach::ViewOvertakes, 1..=4);
    }
}

#[test]
fn attack_24_duelling_coordinators() {
    // n1 and n2 do not hear each other, n3 hears both.
    let play = play().nodes(3).seconds(20).fault(3000, 18_000, Fault::Cut(n(1), n(2)));
    let look = |run: &common::Run| {
        assert_eq!(run.views(3, 3000, 18_000).len(), 1, "seed {}", run.seed);
        let attempts = run.outcome.tally.attempts;
        assert!(attempts <= 6, "{attempts} attempts for founding and two view changes");
        // n2 takes n3's word that n1 is there, so it leaves the matter to n1.
        assert_eq!(nodes(&run.view(2)), [1, 3], "seed {}", run.seed);
    };
    play.hold(1..=3, look);
    play.fails(Breach::Duel, 1..=6, look);
}

#[test]
fn attack_25_a_witness_is_no_copy() {
    let play = play().nodes(2).witness().fault(3000, 6000, Fault::Partition(vec![n(2)]));
    let look = |run: &common::Run| {
        let alone = run.entered(1, 2).expect("n1 and the witness close the view");
        // Until then only what n2 had acknowledged before the cut is uniform.
        let early = run.history.deliveries(n(1), ms(3050), alone);
        let closing = run.history.deliveries(n(1), alone, alone + std::time::Duration::from_nanos(1));
        assert_eq!(early, 0, "seed {}: {closing} at the closing", run.seed);
        assert!(run.history.deliveries(n(1), alone, ms(6000)) > 50, "then it goes on alone");
    };
    play.hold(1..=3, look);
    // n1 alone has what it sends last, and dies; n2 and the witness go on. In the stronger orders n2 would
    // have to speak first.
    let lost = Aim::at(Step::Data, Strike::Lose).by(n(1));
    let aims = vec![lost.clone(), Aim { then: Strike::Crash, ..lost }];
    let play = common::play().nodes(2).witness().order(Order::Fifo).fault(3000, 5000, Fault::Aimed(aims));
    play.hold(1..=3, |run| assert_eq!(run.outcome.tally.strikes, 2));
    play.notices(Breach::WitnessHolds, 1..=5);
}

#[test]
fn attack_33_replayed_control_messages_change_nothing() {
    let play = play().fault(1000, 9000, Fault::Late(40)).fault(3000, 4000, Fault::Crash(n(5)));
    let look = |run: &common::Run| {
        assert_eq!(run.outcome.tally.views, 3, "one without n5, one with it, seed {}", run.seed);
    };
    play.hold(1..=3, look);
    play.fails(Breach::OldOpinions, 1..=20, look);
}

#[test]
fn attack_35_voters_and_holders_change_together() {
    // n3 and the witness n4 go at once, and the coordinator is struck on the way.
    for step in [Step::Promise, Step::Hold, Step::Accept, Step::Decided] {
        let play = play().nodes(4).witness().fault(3000, 8000, Fault::Partition(vec![n(4), n(5)])).fault(
            3000,
            4000,
            Fault::Aimed(vec![Aim::at(step, Strike::CutOff).by(n(1)).reaching([n(2)])]),
        );
        play.hold(1..=2, |run| {
            // Three of the five old voters decide on what follows; the other two decide nothing.
            assert_eq!(nodes(&run.view(1)), [1, 2, 3, 4, 5]);
            assert_eq!(run.view(1).witnesses.len(), 1);
            let next = run.view(2);
            assert_eq!((nodes(&next), next.witnesses.len()), (vec![1, 2, 3], 0), "seed {}", run.seed);
            for apart in [4, 5] {
                assert!(run.views(apart, 3000, 8000).is_empty(), "n{apart} enters a view on its own");
            }
        });
    }
    // n1 and n2 are two of the three that would be left, and hear only each other from the vote on;
    // n3 and those who come back are three of the five old voters.
    let vote = Aim::at(Step::Accept, Strike::PartOff).by(n(1)).reaching([n(2)]);
    let play = play().nodes(4).witness().fault(3000, 4300, Fault::Partition(vec![n(4), n(5)])).fault(
        3000,
        6000,
        Fault::Aimed(vec![vote]),
    );
    play.hold(1..=3, |run| {
        assert_eq!(run.outcome.tally.strikes, 1);
        assert_eq!(nodes(&run.view(2)), [3, 4, 5], "seed {}: two votes of five decide nothing", run.seed);
    });
    play.notices(Breach::NextViewDecides, 1..=3);
}

#[test]
fn a_decree_whose_only_holder_died_is_still_decided() {
    // n1 and the witness decide to go on without n2; n1 dies before the witness has heard of it.
    let strike = Aim::at(Step::Decided, Strike::Crash).by(n(1));
    let play = play().nodes(2).witness().fault(3000, 4400, Fault::Partition(vec![n(2)])).fault(
        3000,
        4400,
        Fault::Aimed(vec![strike]),
    );
    play.hold(1..=3, |run| {
        let lost = |event: &Event| *event == Event::LineageLost;
        let says = (1..=3).any(|node| run.history.first(n(node), Time::ZERO, lost).is_some());
        assert!(says, "seed {}: n1 alone held the data of its view, which the others are told", run.seed);
        let founded = |(_, change): &(_, Change)| *change == Change::Founded;
        let last = run.views(2, 4000, 30_000).pop().expect("n2 comes back");
        assert!(last.changes.iter().any(founded) || nodes(&last).len() == 3, "{last}");
    });
}
