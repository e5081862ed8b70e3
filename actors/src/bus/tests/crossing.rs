//! What a node publishes while it begins to carry the group, or ceases to.

use quorate_protocols::bus::Stamp;
use quorate_transport::MemoryNetwork;

use super::{
    attaching::{Host, founder, gone, spec, within},
    carriers::{known, next, stands, subscribe, text},
    linked::{Carrier, bus, soon},
};
use crate::{Bus, Missed, SubscribeOptions, bus::crossing::Settled, client::Ask};

/// Waits until it is asked to publish something.
async fn is_asked_to_publish(carrier: &mut Carrier) -> Stamp {
    loop {
        if let Ask::Forward { stamp, .. } = carrier.asked().await {
            return stamp;
        }
    }
}

#[actix::test]
async fn what_was_published_through_another_node_comes_before_what_is_published_here_and_once() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = within(&actor).await;
    let (living, group) = founder().await;
    let mut reader = living.bus().subscribe("local.>", SubscribeOptions::default()).await.unwrap();
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let one = bus.begin("local.a", "one").await.unwrap();
    is_asked_to_publish(&mut carrier).await;
    actor.do_send(Host(Some(group)));
    let two = bus.begin("local.a", "two").await.unwrap();
    let three = bus.begin("local.a", "three").await.unwrap();
    // The carrier never answers: it may as well be gone.
    for publishing in [one, two, three] {
        soon(publishing.acknowledged()).await.unwrap();
    }
    soon(bus.publish("local.a", "four")).await.unwrap();
    for word in ["one", "two", "three", "four"] {
        assert_eq!(next(&mut reader).await, text(word));
    }
    living.stop().await;
}

#[actix::test]
async fn what_waits_for_what_was_published_through_another_node_follows_it_there_if_the_node_does_not_stay() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = Bus::over(&actor);
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let _one = bus.begin("local.a", "one").await.unwrap();
    let first = is_asked_to_publish(&mut carrier).await;
    actor.do_send(Host(Some(gone().await)));
    let _two = bus.begin("local.a", "two").await.unwrap();
    actor.do_send(Host(None));
    let second = is_asked_to_publish(&mut carrier).await;
    assert_eq!((second.publisher, second.previous), (first.publisher, first.number));
}

#[actix::test]
async fn a_reader_whom_another_node_has_left_waiting_reads_at_its_own_node_when_that_carries_the_group() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = Bus::over(&actor);
    let (living, group) = founder().await;
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    let (id, _) = carrier.is_asked_to_serve().await;
    let mut subscription = stands(subscription).await;
    actor.do_send(Host(Some(group)));
    assert_eq!(carrier.asked().await, Ask::Unsubscribe { id });
    soon(bus.publish("local.a", "one")).await.unwrap();
    let (_, missed) = next(&mut subscription).await;
    assert_eq!(missed, Some(Missed::Unknown));
    living.stop().await;
}

#[actix::test]
async fn news_of_an_earlier_change_lets_nothing_overtake() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = Bus::over(&actor);
    let (mut carrier, gone) = (Carrier::link(&network, 2).await, gone().await);
    known(&bus).await;
    let _one = bus.begin("local.a", "one").await.unwrap();
    let first = is_asked_to_publish(&mut carrier).await;
    for here in [Some(gone.clone()), None, Some(gone)] {
        actor.do_send(Host(here));
    }
    let _two = bus.begin("local.a", "two").await.unwrap();
    actor.do_send(Settled(spec().id(), 1));
    let _three = bus.begin("local.a", "three").await.unwrap();
    actor.do_send(Host(None));
    let second = is_asked_to_publish(&mut carrier).await;
    let third = is_asked_to_publish(&mut carrier).await;
    assert_eq!((second.previous, third.previous), (first.number, second.number));
}
