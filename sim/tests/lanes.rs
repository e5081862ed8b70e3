//! Links that carry only so much: slow members, saturated lanes and huge transfers.

mod common;

use std::time::Duration;

use common::{longest_silence, ms, n};
use quorate_membership::{Change, GroupId, View, agreement::Breach};
use quorate_protocols::{Event, GroupConfig, Order, SlowPolicy};
use quorate_sim::{Fault, Rates, Schedule, Settings, World};

/// Five nodes in uniform order whose links carry so much.
fn world(
    seed: u64,
    rates: Rates,
    schedule: Schedule,
    until: u64,
    change: impl FnOnce(&mut GroupConfig),
) -> World {
    let mut config = GroupConfig::new(GroupId::new(7), (1..=5).map(n).collect());
    config.order = Order::Uniform;
    change(&mut config);
    let mut world = World::new(seed, config, schedule, ms(until));
    world.limit(rates);
    world
}

/// Messages of the first four nodes that were uniform in so many seconds in which the fifth takes in
/// what is multicast at so many hundredths of the rate.
fn slow_member(seconds: u64, percent: u32, policy: SlowPolicy) -> (u64, World) {
    let end = 3000 + seconds * 1000;
    let schedule = Schedule::quiet().and(3000, end, Fault::Throttle(n(5), percent));
    // Its link then carries a tenth of what each of the others sends.
    let mut world = world(1, Rates::new(100_000, 100_000), schedule, end, |config| {
        (config.slow, config.window_bytes) = (policy, 64 << 10);
    });
    world.slow_down(10);
    world.pad_messages(1000);
    world.record_views();
    world.run_until(ms(end));
    assert_eq!(world.checker().violation(), None, "{policy:?}");
    ((1..=4).map(|node| world.uniform_of(n(node))).sum(), world)
}

#[test]
fn s14_the_policy_frees_the_others_of_a_member_at_one_hundredth_of_the_speed() {
    let (usual, _) = slow_member(600, 100, SlowPolicy::Block);
    let (blocked, _) = slow_member(600, 1, SlowPolicy::Block);
    assert!(blocked < usual / 10, "{blocked} of {usual}: it holds nobody back");
    for policy in [SlowPolicy::Demote, SlowPolicy::Evict] {
        let (freed, world) = slow_member(600, 1, policy);
        assert!(freed * 10 >= usual * 9, "{policy:?}: {freed} of {usual}");
        assert_eq!(world.tally().suspicions, 0, "it is slow, not silent");
        let history = world.into_history();
        let acts = |event: &Event| matches!(event, Event::View(view) if is_too_slow(view));
        let first = history.first(n(1), ms(3000), acts).expect("the policy acts");
        let said = history.of(n(1), ms(3000), first.at).filter_map(|seen| match seen.event {
            Event::Lagging { policy_acts_at, .. } => policy_acts_at,
            _ => None,
        });
        let said = said.last().expect("it is reported before anything is done");
        assert!(first.at >= said && first.at < said + Duration::from_secs(1), "{policy:?}: {said}");
        // A member that has just received what was due counts as on time, so it takes twice as long at most.
        let lag_for = GroupConfig::new(GroupId::new(7), Vec::new()).lag_for;
        assert!(first.at < ms(3000) + lag_for * 2 + Duration::from_secs(1), "{policy:?} at {}", first.at);
    }
}

/// Messages that were uniform at their senders in a minute, by members that all multicast over links of this rate.
fn uniform_at(rate: u64) -> u64 {
    let mut world = world(1, Rates::new(rate, rate), Schedule::quiet(), 63_000, |_| {});
    world.slow_down(10);
    world.pad_messages(1000);
    world.run_until(ms(63_000));
    assert_eq!(world.checker().violation(), None);
    assert_eq!((world.tally().suspicions, world.tally().views), (0, 1), "{rate}");
    (1..=5).map(|node| world.uniform_of(n(node))).sum()
}

#[test]
fn links_that_just_carry_what_is_sent_are_not_filled_with_copies_of_it() {
    let (usual, narrow) = (uniform_at(400_000), uniform_at(20_000));
    assert!(narrow * 10 >= usual * 9, "{narrow} of {usual}");
}

fn is_too_slow(view: &View) -> bool {
    view.changes.iter().any(|(member, change)| member.node == n(5) && *change == Change::TooSlow)
}

/// Ten seconds in which all members multicast more than their lanes carry.
fn saturated(seed: u64, shared: bool) -> World {
    let schedule = Schedule::quiet().and(2000, 12_000, Fault::Loss(1));
    let rates = Rates { shared, ..Rates::new(1 << 20, 1 << 20) };
    let mut world = world(seed, rates, schedule, 12_000, |_| {});
    world.pad_messages(16 << 10);
    world.run_until(ms(12_000));
    assert_eq!(world.checker().violation(), None);
    world
}

#[test]
fn s15_control_is_not_held_up_by_data_that_fills_its_lane() {
    for seed in 1..=2 {
        let world = saturated(seed, false);
        let sent = world.uniform_of(n(1)) * (16 << 10);
        assert!(sent > 1 << 20, "{sent} bytes: hardly anything was sent, seed {seed}");
        assert!(world.data_took(500) > Duration::from_millis(100), "data waits, seed {seed}");
        // A round trip is two of these.
        assert!(world.control_took(999) < Duration::from_millis(25), "seed {seed}");
        assert_eq!((world.tally().suspicions, world.tally().views), (0, 1), "seed {seed}");
    }
    let one_lane = saturated(1, true);
    assert!(one_lane.tally().suspicions > 0, "on one lane heartbeats wait for the data before them");
}

/// A newcomer gets 8 MiB of state at 1 MiB per second, while the group multicasts.
fn transfer(seed: u64, shared: bool, breach: Option<Breach>) -> World {
    let schedule = Schedule::quiet().and(2000, 3000, Fault::Crash(n(5)));
    let rates = Rates { shared, ..Rates::new(1 << 20, 1 << 20) };
    let mut world = world(seed, rates, schedule, 19_000, |config| {
        (config.state_transfer, config.breach) = (true, breach);
    });
    world.pad_states(8 << 20);
    world.record();
    world.run_until(ms(19_000));
    world
}

#[test]
fn attack_31_a_huge_transfer_stays_out_of_the_view_change() {
    for seed in 1..=2 {
        let world = transfer(seed, false, None);
        assert_eq!(world.checker().violation(), None);
        assert_eq!((world.tally().suspicions, world.tally().restored), (4, 1), "seed {seed}: only the crash");
        assert!(world.control_took(999) < Duration::from_millis(25), "seed {seed}");
        let history = world.into_history();
        let view = |such: fn(&View) -> bool| {
            let such = |event: &Event| matches!(event, Event::View(view) if such(view));
            history.first(n(1), ms(3000), such).expect("it comes").at
        };
        let learns = view(|view| view.learners.iter().any(|member| member.node == n(5)));
        let joins = view(|view| view.members.iter().any(|member| member.node == n(5)));
        assert!(joins.since(learns) > Duration::from_secs(5), "seed {seed}: a learner while the state comes");
        // Neither its admission, nor the transfer, nor its promotion makes the others wait.
        for (from, to) in
            [(learns - Duration::from_millis(500), joins), (joins, joins + Duration::from_secs(1))]
        {
            let silence = longest_silence(&history, 1, from, to);
            assert!(silence < Duration::from_millis(250), "seed {seed}: nothing for {silence:?} from {from}");
        }
    }
    let one_lane = transfer(1, true, None);
    assert!(one_lane.tally().suspicions > 4, "on one lane heartbeats wait for the state before them");
    let early = transfer(1, false, Some(Breach::ReadyTooEarly));
    assert!(early.checker().violation().is_some(), "a member without its state goes unnoticed");
}

#[test]
fn a_lane_that_is_no_longer_throttled_drains_at_its_own_rate() {
    let schedule = Schedule::quiet().and(2000, 6000, Fault::Throttle(n(5), 1));
    let mut world = world(1, Rates::new(2_000_000, 2_000_000), schedule, 10_000, |_| {});
    world.pad_messages(1000);
    world.record();
    world.run_until(ms(10_000));
    assert_eq!(world.checker().violation(), None);
    let history = world.into_history();
    let of_n5 = |from, to| history.deliveries(n(5), ms(from), ms(to));
    assert!(of_n5(4000, 6000) * 5 < of_n5(0, 2000), "hardly anything gets to it");
    // What waits by then would take most of a minute at the throttled rate.
    let (all, its) = (history.deliveries(n(1), ms(0), ms(10_000)), of_n5(0, 10_000));
    assert!(its * 100 > all * 98, "{its} of {all}");
}

#[test]
fn slow_control_makes_a_node_look_dead_until_it_is_over() {
    let schedule = Schedule::quiet().and(2000, 4000, Fault::ThrottleControl(n(5), 1));
    let rates = Rates { control: 20_000, ..Rates::new(1 << 20, 1 << 20) };
    let mut world = world(1, rates, schedule, 8000, |_| {});
    world.record_views();
    world.run_until(ms(8000));
    assert_eq!(world.checker().violation(), None);
    assert!(world.tally().suspicions > 0, "heartbeats come too late");
    let history = world.into_history();
    let last = history.views_of(n(1), ms(0), ms(8000)).pop().expect("there are views");
    assert!(last.members.len() == 5 && last.id.epoch > 1, "{last}");
}

#[test]
fn random_runs_throttle_multicasts_and_control() {
    let schedules = (1..=10).map(|seed| Settings::campaign(seed).schedule());
    let faults: Vec<Fault> = schedules.flat_map(|it| it.0).map(|(.., fault)| fault).collect();
    assert!(faults.iter().any(|fault| matches!(fault, Fault::Throttle(..))));
    assert!(faults.iter().any(|fault| matches!(fault, Fault::ThrottleControl(..))));
}
