//! Scenarios that break other systems, each over several seeds.

use std::time::Duration;

use quorate_membership::{NodeId, Time, agreement::Breach};
use quorate_protocols::{Event, Order, WedgeReason};
use quorate_sim::{Fault, History, Outcome, Schedule, Settings, observe};

const fn n(number: u64) -> NodeId {
    NodeId::new(number)
}

fn ms(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// Runs a schedule that may take this long with some seed.
fn play(seed: u64, seconds: u64, change: impl Fn(&mut Settings), schedule: &Schedule) -> (Outcome, History) {
    let mut settings = Settings { faults_for: Duration::from_secs(seconds), ..Settings::new(seed) };
    change(&mut settings);
    let (outcome, history) = observe(&settings, schedule);
    assert_eq!(outcome.violation, None, "{settings:?}");
    assert!(outcome.tally.uniform > 100, "seed {seed}: hardly anything happened");
    (outcome, history)
}

/// How many messages a node that stood still from 3 s to 8 s delivers in the view it woke up in.
fn stale_deliveries(seed: u64, breach: Option<Breach>) -> usize {
    let schedule = Schedule::quiet().and(3000, 8000, Fault::Pause(n(3)));
    let (_, history) = play(
        seed,
        10,
        |settings| {
            settings.order = Some(Order::Causal);
            settings.breach = breach;
        },
        &schedule,
    );
    let resumes = ms(8000);
    let ends = |event: &Event| matches!(event, Event::Removed { .. } | Event::View(_));
    let end = history.first(n(3), resumes, ends).expect("it learns that the others went on");
    assert!(history.first(n(3), end.at, |event| matches!(event, Event::View(_))).is_some());
    let views = history.views(ms(3000));
    assert_eq!(views.len(), 2, "one view without it, one with it again: {views:?}");
    let goes_on = history.deliveries(n(1), ms(4000), ms(8000));
    assert!(goes_on > 100, "the others deliver {goes_on} messages meanwhile");
    // What belongs to the closed view up to its cut is delivered in the step that ends it.
    let stale =
        history.of(n(3), resumes, end.at + Duration::from_nanos(1)).filter(|seen| seen.step < end.step);
    stale.filter(|seen| matches!(seen.event, Event::Message { .. })).count()
}

#[test]
fn s9_a_node_that_was_stopped_serves_nothing_stale_and_comes_back() {
    for seed in 1..=5 {
        assert_eq!(stale_deliveries(seed, None), 0, "seed {seed}");
    }
    let without_asking: usize =
        (1..=5).map(|seed| stale_deliveries(seed, Some(Breach::ServeAfterStall))).sum();
    assert!(without_asking > 0, "the test would not notice stale deliveries");
}

#[test]
fn a_whole_cluster_that_stood_still_goes_on_in_its_view() {
    let all = (1..=5).fold(Schedule::quiet(), |all, node| all.and(3000, 6000, Fault::Pause(n(node))));
    let (outcome, history) = play(1, 8, |_| {}, &all);
    assert_eq!(outcome.views, 1);
    let doubts = |event: &Event| *event == Event::Wedged(WedgeReason::Stalled);
    assert!((1..=5).all(|node| history.first(n(node), ms(5000), doubts).is_some()));
}
