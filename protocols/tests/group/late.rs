//! Who enters a view so late that the others may have left it.

use quorate_protocols::{Body, Effect, Event, Input, Order};

use crate::world::{World, n};

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
            && ([from, to].contains(&n(1)) || later || matches!(body, Body::Current(_)))
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
