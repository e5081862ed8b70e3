//! State transfer to a newcomer while the group goes on.

mod common;

use std::time::Duration;

use common::{Run, longest_silence, ms, n, play};
use quorate_membership::{GroupId, Time, View, agreement::Breach};
use quorate_protocols::{Event, GroupConfig, Order, Restore};
use quorate_sim::{Aim, Fault, Schedule, Settings, Step, Strike, World, run};

/// Five nodes of which the fifth crashes and, back again, gets a state of 4 MiB in small chunks.
fn joining(seed: u64, schedule: Schedule, breach: Option<Breach>) -> World {
    let mut config = GroupConfig::new(GroupId::new(7), (1..=5).map(n).collect());
    config.breach = breach;
    config.order = Order::Uniform;
    config.state_transfer = true;
    config.snapshot_chunk_bytes = 512;
    let schedule = schedule.and(2000, 3000, Fault::Crash(n(5)));
    let mut world = World::new(seed, config, schedule, ms(9000));
    world.pad_states(4 << 20);
    world.record();
    world
}

fn dying() -> Schedule {
    Schedule::quiet().and(4500, 8500, Fault::Crash(n(5)))
}

#[test]
fn s6_a_joiner_that_dies_while_it_gets_its_state_stops_nobody_and_leaves_nothing_behind() {
    for seed in 1..=3 {
        let mut dies = joining(seed, dying(), None);
        dies.run_until(ms(4499));
        let donors = 1..=4;
        for donor in donors.clone() {
            assert!(dies.kept_state_bytes(n(donor)) >= 4 << 20, "n{donor} gives, seed {seed}");
        }
        assert_eq!(dies.tally().restored, 0, "the joiner is in the middle of it, seed {seed}");
        dies.run_until(ms(7000));
        for donor in donors.clone() {
            assert_eq!(dies.kept_state_bytes(n(donor)), 0, "n{donor} has freed it, seed {seed}");
        }
        assert_eq!(dies.checker().violation(), None, "seed {seed}");

        let mut lives = joining(seed, Schedule::quiet(), None);
        lives.run_until(ms(7000));
        assert_eq!(lives.checker().violation(), None, "seed {seed}");
        let (usual, silence) = (silence_of(lives), silence_of(dies));
        // The death of a member would cost the detection time, half a second, in uniform order.
        assert!(silence <= usual + Duration::from_millis(50), "{silence:?} for {usual:?}, seed {seed}");
    }
    let mut keeps = joining(1, dying(), Some(Breach::KeepSnapshots));
    keeps.run_until(ms(7000));
    assert!(keeps.kept_state_bytes(n(1)) >= 4 << 20, "a state that is kept for nobody goes unnoticed");
}

fn silence_of(world: World) -> Duration {
    longest_silence(&world.into_history(), 1, ms(3000), ms(7000))
}

/// When the second life of n5 was given the first and the last of its state.
fn restored(run: &Run) -> (Time, Time) {
    let of = |such: fn(&Event) -> bool| run.history.first(n(5), ms(3000), such).map(|seen| seen.at);
    let begin = of(|event| matches!(event, Event::Restore(Restore::Begin { .. })));
    let end = of(|event| matches!(event, Event::Restore(Restore::End)));
    (begin.expect("the state begins to come"), end.expect("the state is complete"))
}

fn is_member(view: &View) -> bool {
    view.members.iter().any(|member| (member.node, member.incarnation.get()) == (n(5), 2))
}

#[test]
fn s7_the_state_of_a_joiner_is_exact_though_its_donors_keep_receiving_messages() {
    for order in Order::ALL {
        let play = play().order(order).with(|settings| settings.state_bytes = Some(1 << 20));
        let play = play.fault(2000, 3000, Fault::Crash(n(5)));
        play.notices(Breach::ForgetHeldBack, 1..=2);
        play.hold(1..=2, |run| {
            let (begin, end) = restored(run);
            let meanwhile = run.history.deliveries(n(1), begin, end);
            assert!(meanwhile > 50, "{order}: {meanwhile} messages in the meantime, seed {}", run.seed);
            // The checker compares what all have at each view, so the newcomer's state, and what it
            // held back, added up to that of the others when it became a member.
            let views = run.views(5, 3000, 20_000);
            assert!(views.iter().any(is_member), "{order}, seed {}", run.seed);
            let admitted = views[0].id.epoch;
            assert!(!is_member(&views[0]), "it learns first, seed {}", run.seed);
            let theirs = run.delivered(n(1), 1, admitted);
            assert_eq!(run.delivered(n(5), 2, admitted), theirs, "{order}, seed {}", run.seed);
        });
    }
}

/// Two learners of one view miss it and hear of the next, which lists them still: who entered that
/// one counted on from where it had been removed.
#[test]
fn learners_that_missed_the_view_with_their_state_do_not_follow_the_next_one() {
    let frame = |node: u64, then: Strike| Aim::at(Step::Data, then).by(n(node));
    let chained = vec![
        frame(4, Strike::Crash).reaching([n(2)]),
        frame(2, Strike::Lose).reaching((1..=5).map(n)),
        frame(2, Strike::CutOff),
    ];
    let schedule = Schedule::quiet()
        .and(574, 2194, Fault::Late(10))
        .and(1309, 1594, Fault::Crash(n(3)))
        .and(2553, 2589, Fault::Partition(vec![n(4)]))
        .and(4414, 4501, Fault::Partition(vec![n(2)]))
        .and(4414, 5199, Fault::Aimed(chained))
        .and(4414, 5199, Fault::Late(6))
        .and(7058, 7068, Fault::Crash(n(5)));
    for seed in [1_795_533_080, 1_795_533_083, 1_795_533_086] {
        let settings = Settings { state_bytes: Some(0), ..Settings::varied(seed) };
        let outcome = run(&settings, &schedule);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tally.restored > 0, "seed {seed}: nobody came as a newcomer");
    }
}
