//! Who enters a view so late that the others may have left it.

use quorate_membership::ViewId;
use quorate_protocols::{Body, Effect, Event, Input, Message, Order};

use crate::world::{World, member, n};

/// Of four members n4 leaves while n2 does not hear how the view ends, though it gets what is sent in the next one. Then
/// n2 is cut off, and the others go on without it. When it hears n3 again, that one tells it of the view in which
/// it is, and not yet of the one after that.
fn entered_late(order: Order) -> World {
    let mut world = World::founded(4, |config| config.order = order);
    world.lose(|_, to, body| to == n(2) && matches!(body, Body::Decided(_)));
    world.input(4, Input::Leave).unwrap();
    world.run(20);
    assert_eq!([1, 2, 3].map(|number| world.view(number).id.epoch), [2, 1, 2]);
    world.submit(1, 1, "kept early");
    world.run(20);
    world.lose(|from, to, _| from == n(2) || to == n(2));
    for other in [1, 3, 4] {
        world.unreachable(2, other);
        world.unreachable(other, 2);
    }
    world.run(4000);
    assert_eq!([1, 2, 3].map(|number| world.view(number).id.epoch), [3, 1, 3]);
    world.lose(|from, to, body| {
        let later = matches!(body, Body::Decided(decree) if decree.closes.epoch > 1);
        [from, to].contains(&n(2))
            && ([from, to].contains(&n(1)) || later || matches!(body, Body::Current { .. }))
    });
    world.told(2);
    world.reachable(2, 3);
    world.run(100);
    assert_eq!(world.view(2).id.epoch, 2);
    world
}

#[test]
fn who_was_cut_off_delivers_nothing_in_a_view_that_it_enters_late() {
    for order in [Order::Fifo, Order::Causal, Order::Total, Order::Uniform] {
        let mut world = entered_late(order);
        assert_eq!(world.delivered(2), [""; 0], "{order:?}");
        world.lose(|_, _, _| false);
        world.reachable(2, 1);
        world.reachable(2, 4);
        world.run(3000);
        // That it is removed ends the view, so what is under its cut is delivered first.
        let told = world.told(2);
        let place = |what: fn(&Event) -> bool| {
            told.iter().position(|effect| matches!(effect, Effect::Deliver(event) if what(event)))
        };
        let delivered = place(|event| matches!(event, Event::Message { .. }));
        let removed = place(|event| matches!(event, Event::Removed { .. }));
        assert!(delivered.is_some() && delivered < removed, "{order:?}: {told:?}");
        assert_eq!(world.view(2), world.view(1));
    }
}

/// Of five members two leave, and n2 does not hear how the second view ends. It is told of the third one as somebody that
/// cannot be told every step, in answer to what it asked in that view.
fn told_of_a_later_view(asked_in: u64) -> World {
    let mut world = World::founded(5, |config| config.state_transfer = true);
    world.input(5, Input::Leave).unwrap();
    world.run(1000);
    world.lose(|_, to, body| to == n(2) && matches!(body, Body::Decided(_)));
    world.input(4, Input::Leave).unwrap();
    world.run(20);
    assert_eq!([1, 2, 3].map(|number| world.view(number).id.epoch), [3, 2, 3]);
    let view = world.view(1);
    let asked = ViewId { epoch: asked_in, ..view.id };
    let message = Message { view: view.id, body: Body::Current { view, asked } };
    world.input(2, Input::Received { from: member(1), message }).unwrap();
    world
}

#[test]
fn who_has_gone_on_since_it_asked_asks_again_and_stays_a_member() {
    let mut world = told_of_a_later_view(1);
    world.lose(|_, _, _| false);
    world.run(3000);
    assert!(!world.told(2).iter().any(is_removal));
    assert_eq!([1, 2, 3].map(|number| world.view(number).id.epoch), [3; 3]);
}

#[test]
fn who_cannot_be_told_every_step_comes_back_as_a_newcomer() {
    let mut world = told_of_a_later_view(2);
    world.lose(|_, _, _| false);
    world.run(3000);
    assert!(world.told(2).iter().any(is_removal));
    assert_eq!(world.view(2), world.view(1));
}

const fn is_removal(effect: &Effect) -> bool {
    matches!(effect, Effect::Deliver(Event::Removed { .. }))
}
