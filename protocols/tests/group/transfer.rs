//! State for newcomers, exact to the cut.
//!
//! The application counts messages, which is not idempotent: a message that is counted twice or
//! not at all shows.

use bytes::Bytes;
use quorate_membership::{Change, Decree, ViewId};
use quorate_protocols::{Body, Effect, Event, Input, Restore, Wait};

use crate::world::{World, member, n};

/// The application of one node: how many messages it has counted, and how many views it saw.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Counter {
    count: u64,
    filling: Option<Vec<u8>>,
    restores: u32,
    asked: Vec<(ViewId, u64)>,
}

impl Counter {
    /// Lives through what the node was told, in order.
    fn live(&mut self, told: &[Effect]) {
        for effect in told {
            let Effect::Deliver(event) = effect else { continue };
            assert!(
                self.filling.is_none() || matches!(event, Event::Restore(_) | Event::Lagging { .. }),
                "{event:?} before the state was complete"
            );
            match event {
                Event::Message { .. } => self.count += 1,
                Event::TakeSnapshot { view, .. } => self.asked.push((*view, self.count)),
                Event::Restore(Restore::Begin { .. }) => {
                    self.filling = Some(Vec::new());
                    self.restores += 1;
                }
                Event::Restore(Restore::Bytes(bytes)) => {
                    self.filling.as_mut().unwrap().extend_from_slice(bytes);
                }
                Event::Restore(Restore::End) => {
                    let state = self.filling.take().unwrap();
                    self.count = u64::from_be_bytes(state[..8].try_into().unwrap());
                }
                _ => {}
            }
        }
    }

    /// Its state at the first view at which it was asked: the count, and a lot of padding.
    fn snapshot(&self, padding: u8) -> Input {
        let (view, count) = self.asked[0];
        let mut state = count.to_be_bytes().to_vec();
        state.extend([padding; 1000]);
        Input::Snapshot { view, state: Bytes::from(state) }
    }
}

/// Three members that have counted to two when a fourth is admitted as a learner. Their applications
/// take their time: the fourth waits for the state while a third message is multicast.
fn world() -> (World, [Counter; 3]) {
    let mut world = World::founded(3, |config| {
        config.state_transfer = true;
        config.snapshot_chunk_bytes = 100;
    });
    world.submit(1, 1, "one");
    world.submit(2, 2, "two");
    world.run(100);
    world.start(4);
    world.run(400);
    assert_eq!(world.view(1).learners, [member(4)]);
    assert_eq!(world.view(1).changes, [(member(4), Change::Learns)]);
    world.submit(3, 3, "three");
    world.run(100);
    let counters = [1, 2, 3].map(|number| {
        let mut counter = Counter::default();
        counter.live(&world.told(number));
        assert_eq!(counter.count, 3, "nobody waits for the learner");
        assert_eq!(counter.asked.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2]);
        counter
    });
    (world, counters)
}

fn newcomer(world: &mut World) -> Counter {
    let mut counter = Counter::default();
    counter.live(&world.told(4));
    counter
}

#[test]
fn a_newcomer_continues_from_the_state_at_its_cut_and_misses_and_doubles_nothing() {
    let (mut world, counters) = world();
    assert!(matches!(world.waits(4)[..], [Wait::State { received: 0, .. }, ..]));
    for (number, counter) in (1..).zip(&counters) {
        world.input(number, counter.snapshot(0)).unwrap();
    }
    world.run(3000);
    world.submit(1, 4, "four");
    world.run(100);
    assert_eq!(world.view(4).members.len(), 4);
    let counter = newcomer(&mut world);
    assert_eq!((counter.count, counter.restores, counter.filling), (4, 1, None));
    assert_eq!([1, 2, 3].map(|number| world.snapshot_bytes(number)), [0; 3], "nobody needs it any more");
}

#[test]
fn another_member_goes_on_with_the_transfer_when_its_donor_dies() {
    let (mut world, counters) = world();
    for (number, counter) in (1..).zip(&counters) {
        world.input(number, counter.snapshot(0)).unwrap();
    }
    // The juniors come first: 3 serves until its fifth chunk.
    world.lose(|from, _, body| {
        from == n(3) && matches!(body, Body::State { label, .. } if label.offset >= 400)
    });
    world.run(600);
    let mut counter = newcomer(&mut world);
    let before = counter.filling.clone().map(|bytes| bytes.len());
    assert_eq!(before, Some(400));
    world.crash(3);
    world.run(4000);
    counter.live(&world.told(4));
    assert_eq!((counter.count, counter.restores), (3, 1), "it went on where the first donor ended");
    assert_eq!(world.view(4).members.len(), 3);
}

#[test]
fn a_donor_with_different_bytes_makes_the_newcomer_start_over() {
    let (mut world, counters) = world();
    for (number, counter) in (1..).zip(&counters) {
        world.input(number, counter.snapshot(number as u8)).unwrap();
    }
    world.lose(|from, _, body| {
        from == n(3) && matches!(body, Body::State { label, .. } if label.offset >= 400)
    });
    world.run(4000);
    let counter = newcomer(&mut world);
    assert_eq!((counter.count, counter.restores), (3, 2));
    assert_eq!(world.view(4).members.len(), 4);
}

#[test]
fn a_newcomer_that_dies_in_its_transfer_holds_nobody_up_and_leaves_nothing_behind() {
    let (mut world, counters) = world();
    for (number, counter) in (1..).zip(&counters) {
        world.input(number, counter.snapshot(0)).unwrap();
    }
    world.lose(|_, _, body| matches!(body, Body::State { .. }));
    world.run(100);
    world.lose(|_, to, _| to == n(4));
    world.submit(1, 4, "four");
    world.run(10);
    assert_eq!(world.delivered(2), ["four"], "before anybody noticed");
    world.crash(4);
    world.run(2000);
    assert_eq!(world.view(1).learners, []);
    assert_eq!([1, 2, 3].map(|number| world.snapshot_bytes(number)), [0; 3]);
}

#[test]
fn a_newcomer_whose_state_nobody_keeps_any_more_starts_anew_with_a_later_view() {
    let (mut world, _) = world();
    world.lose(|_, to, body| to == n(4) && matches!(body, Body::State { .. }));
    world.run(100);
    world.refuse_state(4);
    world.lose(|_, _, _| false);
    world.run(3000);
    assert_eq!(world.view(1).learners, [member(4)]);
    for number in 1..=3 {
        let mut counter = Counter { count: 3, ..Counter::default() };
        counter.live(&world.told(number));
        world.input(number, counter.snapshot(0)).unwrap();
    }
    world.run(3000);
    assert_eq!(world.view(4).members.len(), 4);
    assert_eq!(newcomer(&mut world).count, 3);
}

#[test]
fn a_member_that_comes_back_after_a_removal_gets_the_state_anew() {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    world.lose(|from, to, _| from == n(3) || to == n(3));
    for (a, b) in [(1, 3), (2, 3), (3, 1), (3, 2)] {
        world.unreachable(a, b);
    }
    world.submit(1, 1, "one");
    world.run(2000);
    assert_eq!(world.view(1).members.len(), 2);
    world.lose(|_, _, _| false);
    world.reachable(1, 3);
    world.reachable(2, 3);
    world.run(1000);
    for number in [1, 2] {
        let mut counter = Counter::default();
        counter.live(&world.told(number));
        assert_eq!(counter.asked.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1]);
        world.input(number, counter.snapshot(0)).unwrap();
    }
    world.run(3000);
    assert_eq!(world.view(3).members.len(), 3);
    let mut counter = Counter::default();
    counter.live(&world.told(3));
    assert_eq!((counter.count, counter.restores), (1, 1));
}

#[test]
fn a_newcomer_that_missed_the_view_with_its_state_does_not_enter_the_next_one_without() {
    let mut world = World::founded(3, |config| config.state_transfer = true);
    world.submit(1, 1, "one");
    world.run(100);
    let admits = |decree: &Decree| decree.view.changes.contains(&(member(4), Change::Learns));
    world.lose(move |_, to, body| to == n(4) && matches!(body, Body::Decided(decree) if admits(decree)));
    world.start(4);
    world.run(400);
    assert_eq!(world.view(1).learners, [member(4)], "it was admitted, and has not heard of it");
    // The next view lists it still, and that it hears.
    world.crash(3);
    world.run(400);
    assert_eq!(world.view(1).members, [member(1), member(2)]);
    let entered = world.told(4).iter().any(|effect| matches!(effect, Effect::Deliver(Event::View(_))));
    assert!(!entered, "a view without its state");
    // It gives up its place and is admitted anew.
    world.lose(|_, _, _| false);
    world.run(2000);
    for number in [1, 2] {
        let asked = world.told(number).into_iter().filter_map(|effect| match effect {
            Effect::Deliver(Event::TakeSnapshot { view, .. }) => Some(view),
            _ => None,
        });
        for view in asked.collect::<Vec<_>>() {
            let state = Bytes::copy_from_slice(&1_u64.to_be_bytes());
            world.input(number, Input::Snapshot { view, state }).unwrap();
        }
    }
    world.run(3000);
    assert_eq!(world.view(4).members.len(), 3);
    let counter = newcomer(&mut world);
    assert_eq!((counter.count, counter.restores), (1, 1));
}

#[test]
fn a_learner_that_is_stuck_keeps_frames_of_closed_views_alive_only_up_to_a_bound() {
    let mut world = World::founded(3, |config| {
        config.state_transfer = true;
        config.learner_bytes_max = 1000;
    });
    world.start(4);
    world.run(400);
    assert_eq!(world.view(4).learners, [member(4)]);
    // It is heard still, and hears nothing itself: whatever it may lack is kept.
    world.lose(|_, to, _| to == n(4));
    let payload: &str = &"x".repeat(400);
    let payload: &'static str = Box::leak(payload.to_owned().into_boxed_str());
    let (mut kept, begun) = (Vec::new(), world.view(1).id.epoch);
    for newcomer in 5..15 {
        for ticket in 0..2 {
            world.submit(1 + ticket % 3, newcomer * 10 + ticket, payload);
            world.run(20);
        }
        world.start(newcomer);
        world.run(400);
        kept.push(world.past_bytes(2));
    }
    assert!(world.view(1).id.epoch >= begun + 10, "many views have begun since");
    assert!(world.view(1).learners.contains(&member(4)), "it is stuck still");
    assert!(kept.iter().any(|bytes| *bytes >= 1600), "what it may still need is kept: {kept:?}");
    assert!(kept.iter().all(|bytes| *bytes <= 3000), "{kept:?}");
}
