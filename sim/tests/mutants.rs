//! Every rule that is broken on purpose is noticed within a bounded number of seeds, and by the
//! property that it is about.

use std::panic::catch_unwind;

use quorate_membership::{NodeId, agreement::Breach};
use quorate_protocols::{Order, bus::BusBreach};
use quorate_sim::{Aim, Fault, Schedule, Settings, Step, Strike, WholeSettings, run, run_whole};

/// Seeds that a mutant may survive.
const SEEDS: u64 = 30;

/// Asserts that one of the seeds breaks this property.
fn assert_noticed(
    property: &str,
    broken_by: impl Fn(u64) -> Option<&'static str> + std::panic::RefUnwindSafe,
) {
    // A core that trips over its own assertion has noticed, too, but not what this is about.
    let noticed =
        |seed| catch_unwind(|| broken_by(seed)).ok().flatten().is_some_and(|it| it.starts_with(property));
    assert!((1..=SEEDS).any(noticed), "`{property}` survives {SEEDS} seeds");
}

/// The property that this run breaks.
fn broken(settings: &Settings) -> Option<&'static str> {
    run(settings, &settings.schedule()).violation.map(|violation| violation.property)
}

macro_rules! noticed {
    ($($name:ident: $breach:ident by $property:literal,)*) => {$(
        #[test]
        fn $name() {
            let breach = Some(Breach::$breach);
            assert_noticed($property, |seed| broken(&Settings { breach, ..Settings::new(seed) }));
        }
    )*};
}

noticed! {
    a_sealed_member_that_acknowledges_is_noticed: SealLeaks by "I2",
    a_sealed_member_that_sends_is_noticed: SealedSends by "I2",
    a_cut_at_the_minimum_is_noticed: MinimumCut by "I3",
    a_view_entered_without_the_rest_of_the_one_before_is_noticed: EnterWithoutCut by "I4",
    a_view_installed_before_it_is_decided_is_noticed: InstallUndecided by "I7 a quorum",
    a_view_closed_by_a_minority_is_noticed: CloseByMinority by "I7 a quorum",
    a_vote_on_a_cut_that_nobody_holds_is_noticed: AcceptWithoutHolding by "hold before the vote",
    a_newcomer_counted_before_it_holds_the_cut_is_noticed: CountLearners by "hold before the vote",
    holdings_of_a_view_that_was_not_entered_are_noticed: ContributeUnactivated by "I5",
    an_acceptor_that_breaks_its_promise_is_noticed: BreakPromise by "I7 promises",
    a_heartbeat_of_an_earlier_life_that_counts_is_noticed: StaleIncarnation by "I7 no earlier life",
    a_message_delivered_after_the_end_of_its_view_is_noticed: LateData by "V1",
    views_with_one_number_that_differ_are_noticed: OwnView by "V4 one view per number",
    a_view_that_is_announced_twice_is_noticed: ViewOvertakes by "V4 no gaps",
    members_that_settle_ties_each_in_its_own_way_are_noticed: TiesToOneself by "V2",
    a_frame_freed_before_all_hold_it_is_noticed: FreeTooEarly by "I9",
    a_message_called_uniform_too_early_is_noticed: UniformTooEarly by "V3",
    a_clock_that_counts_over_a_gap_is_noticed: ClockOverGap by "V6",
    a_member_that_serves_on_after_a_stall_is_noticed: ServeAfterStall by "V7",
    a_letter_that_is_delivered_twice_is_noticed: LetterTwice by "P1",
    a_letter_called_lost_that_has_arrived_is_noticed: UnknownIsLost by "P2",
}

#[test]
fn a_coordinator_that_forgets_what_was_accepted_is_noticed() {
    // Few change the view just as a coordinator that has decided is lost: here each does.
    let alone = vec![Aim::at(Step::Decided, Strike::CutOff)];
    let breach = Some(Breach::ForgetAccepted);
    assert_noticed("I1", |seed| {
        let settings = Settings { breach, ..Settings::new(seed) };
        let schedule = settings.schedule().and(3000, 6000, Fault::Aimed(alone.clone()));
        run(&settings, &schedule).violation.map(|violation| violation.property)
    });
}

#[test]
fn a_cut_that_is_not_causally_closed_is_noticed() {
    // What n1 sends gets to n2 alone, what n2 sends then to all others, and both die.
    let [first, second] = [1, 2].map(NodeId::new);
    let others = (3..=5).map(NodeId::new);
    let aims = vec![
        Aim::at(Step::Data, Strike::Crash).by(first).reaching([second]),
        Aim::at(Step::Data, Strike::Lose).by(second).reaching(others.clone()),
        Aim::at(Step::Data, Strike::Crash).by(second).reaching(others),
    ];
    assert_noticed("I4", |seed| {
        let breach = Some(Breach::OpenCut);
        let settings = Settings { breach, order: Some(Order::Total), ..Settings::new(seed) };
        let schedule = Schedule::quiet().and(3000, 6000, Fault::Aimed(aims.clone()));
        run(&settings, &schedule).violation.map(|violation| violation.property)
    });
}

#[test]
fn a_peer_that_is_accused_without_having_been_asked_is_noticed() {
    let breach = Some(Breach::OldEchoAccuses);
    let busy = |nodes: u64| {
        let all = (1..=nodes).map(NodeId::new);
        all.fold(Schedule::quiet(), |busy, node| busy.and(1000, 9000, Fault::Busy(node, 240)))
    };
    assert_noticed("F1", |seed| {
        let outcome = run(&Settings { breach, ..Settings::new(seed) }, &busy(5));
        outcome.violation.map(|violation| violation.property)
    });
    assert_noticed("F1", |seed| {
        let outcome =
            run_whole(&WholeSettings { group_breach: breach, ..WholeSettings::new(seed) }, &busy(7));
        outcome.violation.map(|violation| violation.property)
    });
    let settings = WholeSettings::new(1);
    assert_eq!(run_whole(&settings, &busy(7)).violation, None, "being late is no reason");
}

#[test]
fn a_learner_that_calls_itself_ready_without_its_state_is_noticed() {
    let settings = |seed| Settings {
        breach: Some(Breach::ReadyTooEarly),
        state_bytes: Some(20_000),
        ..Settings::new(seed)
    };
    // It hears of no view before its state is complete, and speaks in one nevertheless.
    assert_noticed("I5", |seed| broken(&settings(seed)));
}

macro_rules! noticed_on_a_side {
    ($($name:ident: $breach:ident by $property:literal,)*) => {$(
        #[test]
        fn $name() {
            let breach = Some(Breach::$breach);
            assert_noticed($property, |seed| {
                broken(&Settings { breach, partitionable: true, ..Settings::new(seed) })
            });
        }
    )*};
}

noticed_on_a_side! {
    a_side_that_leaves_its_cut_behind_is_noticed: EnterWithoutCut by "exact cut of the side",
    a_side_told_of_too_many_companions_is_noticed: TransitionalTooLarge by "transitional set",
    a_side_on_which_a_sealed_member_acknowledges_is_noticed: SealLeaks by "I2",
    a_side_that_calls_a_message_uniform_too_early_is_noticed: UniformTooEarly by "V3",
    a_side_that_never_gives_up_a_merge_that_got_stuck_is_noticed: NeverRetry by "I9",
}

macro_rules! noticed_on_the_bus {
    ($($name:ident: $breach:ident by $property:literal,)*) => {$(
        #[test]
        fn $name() {
            let breach = Some(BusBreach::$breach);
            assert_noticed($property, |seed| {
                let settings = WholeSettings { breach, ..WholeSettings::new(seed) };
                run_whole(&settings, &settings.schedule()).violation.map(|violation| violation.property)
            });
        }
    )*};
}

noticed_on_the_bus! {
    a_subscription_that_outlives_its_end_is_noticed: GhostSubscription by "B1 what is wanted",
    a_message_handed_out_twice_is_noticed: PlainTwice by "B1 once",
    interest_that_outlives_the_link_of_a_node_is_noticed: StaleInterest by "B2",
    a_queue_group_that_is_served_twice_is_noticed: QueueTwice by "B3",
    positions_that_members_count_differently_are_noticed: PositionsGoOn by "B4 same at each position",
    what_readers_missed_without_being_told_is_noticed: SilentlyDropped by "B4 all, in order, once",
    a_request_that_goes_on_after_its_answer_is_noticed: EndlessRequest by "B5",
    interest_that_is_not_told_on_a_new_link_is_noticed: SilentLink by "I9",
    a_publication_that_passes_again_when_it_is_repeated_is_noticed: RepetitionPasses by "B7 once and in order",
    a_publication_that_passes_before_the_one_before_it_is_noticed: GapPasses by "B7 once and in order",
    a_binding_that_outlives_the_link_of_its_carrier_is_noticed: StaleBinding by "B9",
    a_node_that_publishes_anew_under_the_name_of_its_former_stay_is_noticed: SameStay by "B7 acknowledged is passed",
    a_newcomer_that_believes_whoever_tells_it_marks_is_noticed: BelievesAnybody by "B7",
    a_reader_that_changes_nodes_and_is_not_told_what_is_missing_is_noticed: PretendsToKnow by "B8 nothing missed",
}

macro_rules! noticed_on_whole_nodes {
    ($($name:ident: $breach:ident by $property:literal,)*) => {$(
        #[test]
        fn $name() {
            let group_breach = Some(Breach::$breach);
            assert_noticed($property, |seed| {
                let settings = WholeSettings { group_breach, ..WholeSettings::new(seed) };
                run_whole(&settings, &settings.schedule()).violation.map(|violation| violation.property)
            });
        }
    )*};
}

noticed_on_whole_nodes! {
    a_node_that_sends_after_its_seal_is_noticed: SealLeaks by "I2",
    a_node_whose_newcomer_calls_itself_ready_too_early_is_noticed: ReadyTooEarly by "I5",
    a_node_whose_side_leaves_its_cut_behind_is_noticed: EnterWithoutCut by "exact cut of the side",
    a_node_that_calls_a_message_uniform_too_early_is_noticed: UniformTooEarly by "V3",
    a_node_whose_side_names_too_many_companions_is_noticed: TransitionalTooLarge by "transitional set",
    a_node_whose_newcomer_forgets_what_it_held_back_is_noticed: ForgetHeldBack by "S7",
    a_node_that_delivers_a_letter_twice_is_noticed: LetterTwice by "P1",
    a_node_that_hears_a_former_life_is_noticed: StaleIncarnation by "I7 no earlier life",
}
