//! What a node publishes while it begins to carry the group, or ceases to.

use actix::prelude::*;
use quorate_membership::{Incarnation, Member, NodeId};
use quorate_protocols::{
    Input,
    bus::{PublisherId, Stamp},
};
use quorate_transport::MemoryNetwork;
use tokio::sync::oneshot;

use super::{
    attaching::{Host, founder, gone, spec, within},
    carriers::{known, next, stands, subscribe, text},
    linked::{Carrier, ME, bus, soon},
};
use crate::{
    Bus, Missed, PublishError, SubscribeOptions,
    bus::{Forward, crossing::Settled, unheard},
    client::{Ask, Tell},
    group::{Done, Feed, PublishBound, Replication, alone},
};

/// A member of the group at this node that has not come in yet.
fn outsider() -> Addr<Replication> {
    let own = PublisherId { member: Member::new(NodeId::new(ME), Incarnation::new(1)), session: 90 };
    alone::start(spec(), own).0
}

/// Waits until a carrier is asked to publish on a subject, which is the next on which it is; returns the
/// number under which the outcome is told.
async fn is_asked_to_publish_on(carrier: &mut Carrier, expected: &str) -> u64 {
    loop {
        if let Ask::Forward { number, subject, .. } = carrier.asked().await {
            assert_eq!(subject.as_str(), expected);
            return number;
        }
    }
}

/// Publishes to a group's actor itself, as whoever had found it before it left.
fn publish_late(group: &Addr<Replication>) -> oneshot::Receiver<Result<(), PublishError>> {
    let (asker, outcome) = oneshot::channel();
    let (subject, payload, done) = ("local.late".parse().unwrap(), "late".into(), Done::Once(asker, None));
    group.do_send(PublishBound { stamp: None, subject, reply_to: None, payload, done });
    outcome
}

fn acknowledges(carrier: &Carrier, number: u64) {
    carrier.tell(&Tell::Outcomes(vec![(number, Ok(()))]), "");
}

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
    actor.send(Host(Some(group))).await.unwrap();
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
    actor.send(Host(Some(gone().await))).await.unwrap();
    let _two = bus.begin("local.a", "two").await.unwrap();
    actor.send(Host(None)).await.unwrap();
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
    actor.send(Host(Some(group))).await.unwrap();
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
    let bus = within(&actor).await;
    let (mut carrier, gone) = (Carrier::link(&network, 2).await, gone().await);
    known(&bus).await;
    let _one = bus.begin("local.a", "one").await.unwrap();
    let first = is_asked_to_publish(&mut carrier).await;
    for here in [Some(gone.clone()), None, Some(gone)] {
        actor.send(Host(here)).await.unwrap();
    }
    let _two = bus.begin("local.a", "two").await.unwrap();
    actor.do_send(Settled(spec().id(), 1));
    let _three = bus.begin("local.a", "three").await.unwrap();
    actor.send(Host(None)).await.unwrap();
    let second = is_asked_to_publish(&mut carrier).await;
    let third = is_asked_to_publish(&mut carrier).await;
    assert_eq!((second.previous, third.previous), (first.number, second.number));
}

#[actix::test]
async fn what_a_node_has_published_in_vain_in_a_group_that_it_leaves_goes_through_another_before_the_rest() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = within(&actor).await;
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let group = outsider();
    actor.send(Host(Some(group.clone()))).await.unwrap();
    let one = bus.begin("local.one", "one").await.unwrap();
    group.send(Feed(Input::Leave)).await.unwrap();
    let two = bus.begin("local.two", "two").await.unwrap();
    actor.send(Host(None)).await.unwrap();
    let three = bus.begin("local.three", "three").await.unwrap();
    let mut numbers = Vec::new();
    for subject in ["local.one", "local.two"] {
        numbers.push(is_asked_to_publish_on(&mut carrier, subject).await);
    }
    let late = publish_late(&group);
    numbers.push(is_asked_to_publish_on(&mut carrier, "local.late").await);
    carrier.welcomes();
    for number in numbers {
        acknowledges(&carrier, number);
    }
    let number = is_asked_to_publish_on(&mut carrier, "local.three").await;
    acknowledges(&carrier, number);
    for publishing in [one, two, three] {
        soon(publishing.acknowledged()).await.unwrap();
    }
    soon(late).await.unwrap().unwrap();
}

#[actix::test]
async fn what_comes_to_a_member_after_it_has_left_goes_through_the_one_that_the_node_has_since() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = within(&actor).await;
    let (living, group) = founder().await;
    let mut reader = living.bus().subscribe("local.>", SubscribeOptions::default()).await.unwrap();
    let former = outsider();
    former.send(Feed(Input::Leave)).await.unwrap();
    for here in [Some(former.clone()), None, Some(group)] {
        actor.send(Host(here)).await.unwrap();
    }
    soon(bus.publish("local.a", "here")).await.unwrap();
    soon(publish_late(&former)).await.unwrap().unwrap();
    for word in ["here", "late"] {
        assert_eq!(next(&mut reader).await, text(word));
    }
    living.stop().await;
}

#[actix::test]
async fn what_clients_publish_meanwhile_holds_nothing_back() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = within(&actor).await;
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let group = outsider();
    actor.send(Host(Some(group.clone()))).await.unwrap();
    group.send(Feed(Input::Leave)).await.unwrap();
    let one = bus.begin("local.one", "one").await.unwrap();
    actor.send(Host(None)).await.unwrap();
    let two = bus.begin("local.two", "two").await.unwrap();
    let first = is_asked_to_publish_on(&mut carrier, "local.one").await;
    let publisher = PublisherId { member: Member::new(NodeId::new(8), Incarnation::new(1)), session: 1 };
    let stamp = Some(Stamp { publisher, number: 1, previous: 0, settled: 0 });
    let (subject, payload, done) = ("local.client".parse().unwrap(), "it".into(), unheard(None));
    actor.do_send(Forward { group: spec().id(), stamp, subject, reply_to: None, payload, done });
    is_asked_to_publish_on(&mut carrier, "local.client").await;
    carrier.welcomes();
    acknowledges(&carrier, first);
    let second = is_asked_to_publish_on(&mut carrier, "local.two").await;
    acknowledges(&carrier, second);
    for publishing in [one, two] {
        soon(publishing.acknowledged()).await.unwrap();
    }
}
