//! Readers of a group that its carriers do not serve at once.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::StreamExt;
use quorate_protocols::bus::Carried;
use quorate_transport::MemoryNetwork;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    attaching::{Host, founder, spec, within},
    linked::{Carrier, GROUP, at, bus, carried, soon},
};
use crate::{
    Bus, Delivery, Missed, SubscribeOptions, Subscription,
    bus::{BusActor, Subscribe},
    client::Ask,
    queue::{Reader, Slot, queue},
};

/// How many subscribers the bus keeps.
#[derive(Debug, actix::Message)]
#[rtype(result = "usize")]
struct Count;

impl Handler<Count> for BusActor {
    type Result = usize;
    fn handle(&mut self, _: Count, _: &mut Self::Context) -> usize {
        self.locals.len()
    }
}

/// Waits until the bus keeps so many subscribers.
async fn keeps(bus: &Addr<BusActor>, count: usize) {
    soon(async {
        while bus.send(Count).await.unwrap() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until what the linked nodes carry is known.
pub(super) async fn known(bus: &Bus) {
    soon(bus.subscribe("else", SubscribeOptions::default())).await.unwrap();
}

/// Subscribes to what is bound to the group, while the test does what its carriers do.
pub(super) fn subscribe(bus: &Bus) -> JoinHandle<Subscription> {
    let bus = bus.clone();
    actix::spawn(async move { bus.subscribe("local.>", SubscribeOptions::default()).await.unwrap() })
}

pub(super) async fn stands(subscription: JoinHandle<Subscription>) -> Subscription {
    soon(subscription).await.unwrap()
}

pub(super) async fn next(subscription: &mut Subscription) -> (String, Option<Missed>) {
    let delivery = soon(subscription.next()).await.expect("it goes on");
    (String::from_utf8(delivery.payload.to_vec()).unwrap(), delivery.missed)
}

pub(super) fn text(text: &str) -> (String, Option<Missed>) {
    (text.to_owned(), None)
}

#[actix::test]
async fn a_carrier_that_does_not_answer_holds_up_no_subscriber_and_serves_it_when_it_comes_to() {
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    let (id, after) = carrier.is_asked_to_serve().await;
    assert_eq!(after, []);
    let mut subscription = stands(subscription).await;
    carrier.welcomes();
    carrier.serves(id, at(4));
    carrier.delivers(id, 5, "five");
    carrier.delivers(id, 6, "six");
    assert_eq!(next(&mut subscription).await, ("five".to_owned(), Some(Missed::Unknown)));
    assert_eq!(next(&mut subscription).await, text("six"));
}

#[actix::test]
async fn where_a_carrier_does_not_answer_another_one_serves_all_and_what_the_first_says_late_does_not_count()
{
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut first = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    let (one, _) = first.is_asked_to_serve().await;
    first.welcomes();
    first.serves(one, at(0));
    first.delivers(one, 1, "one");
    let mut early = stands(subscription).await;
    assert_eq!(next(&mut early).await, text("one"));

    let mut second = Carrier::link(&network, 3).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    let (two, _) = first.is_asked_to_serve().await;
    let mut late = stands(subscription).await;
    assert_eq!(second.is_asked_to_serve().await, (one, vec![at(1)]));
    assert_eq!(second.is_asked_to_serve().await, (two, vec![]));
    for id in [one, two] {
        assert_eq!(first.asked().await, Ask::Unsubscribe { id }, "nothing is left behind");
    }
    second.welcomes();
    second.serves(one, at(1));
    second.serves(two, at(1));
    for id in [one, two] {
        second.delivers(id, 2, "two");
    }
    assert_eq!(next(&mut early).await, text("two"));
    assert_eq!(next(&mut late).await, ("two".to_owned(), Some(Missed::Unknown)));
    first.serves(two, at(8));
    first.delivers(two, 9, "nine");
    second.delivers(two, 3, "three");
    assert_eq!(next(&mut late).await, text("three"));

    drop(second);
    assert_eq!(first.is_asked_to_serve().await, (one, vec![at(2)]));
    assert_eq!(first.is_asked_to_serve().await, (two, vec![at(3)]));
    first.delivers(two, 9, "nine");
    first.welcomes();
    first.serves(two, at(3));
    first.delivers(two, 4, "four");
    assert_eq!(next(&mut late).await, text("four"));
}

#[actix::test]
async fn a_carrier_that_refuses_a_reader_is_asked_again_until_it_does_not() {
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    carrier.welcomes();
    for _ in 0..4 {
        let (id, _) = carrier.is_asked_to_serve().await;
        carrier.refuses(id);
    }
    let mut subscription = stands(subscription).await;
    let (id, _) = carrier.is_asked_to_serve().await;
    carrier.serves(id, at(4));
    carrier.delivers(id, 5, "five");
    assert_eq!(next(&mut subscription).await, ("five".to_owned(), Some(Missed::Unknown)));
}

#[actix::test]
async fn a_subscriber_whose_carrier_is_lost_before_it_answers_goes_on_with_its_next_life() {
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    carrier.is_asked_to_serve().await;
    drop(carrier);
    let mut subscription = stands(subscription).await;
    let mut carrier = Carrier::link(&network, 2).await;
    let (id, _) = carrier.is_asked_to_serve().await;
    carrier.welcomes();
    carrier.serves(id, at(4));
    carrier.delivers(id, 5, "five");
    assert_eq!(next(&mut subscription).await, ("five".to_owned(), Some(Missed::Unknown)));
}

#[actix::test]
async fn what_was_asked_for_by_somebody_who_gave_up_is_ended_here_and_at_the_carrier() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = Bus::over(&actor);
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    keeps(&actor, 0).await;
    // Before the carrier has answered.
    let subscription = subscribe(&bus);
    let (id, _) = carrier.is_asked_to_serve().await;
    keeps(&actor, 1).await;
    subscription.abort();
    carrier.welcomes();
    carrier.serves(id, at(4));
    assert_eq!(carrier.asked().await, Ask::Unsubscribe { id });
    keeps(&actor, 0).await;
    // When the answer was there and nobody had looked at it.
    let (feed, _reader) = queue(1, 1);
    let (done, subscribed) = oneshot::channel();
    let (pattern, options) = ("local.>".parse().unwrap(), SubscribeOptions::default());
    let (only, by_client, after) = (None, false, Vec::new());
    actor.do_send(Subscribe { pattern, options, feed: Arc::new(feed), only, by_client, after, done });
    let (id, _) = carrier.is_asked_to_serve().await;
    carrier.serves(id, at(4));
    soon(async {
        while subscribed.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(subscribed);
    assert_eq!(carrier.asked().await, Ask::Unsubscribe { id });
    keeps(&actor, 0).await;
}

/// Subscribes as the session of a node does that reads this group alone.
async fn subscribe_only(bus: &Addr<BusActor>, pattern: &str) -> Reader<Delivery> {
    let (feed, reader) = queue(100, 1 << 20);
    let (done, subscribed) = oneshot::channel();
    let (pattern, options) = (pattern.parse().unwrap(), SubscribeOptions::default());
    let (only, by_client, after) = (Some(spec().id()), false, Vec::new());
    bus.do_send(Subscribe { pattern, options, feed: Arc::new(feed), only, by_client, after, done });
    soon(subscribed).await.unwrap().unwrap().take();
    reader
}

#[actix::test]
async fn who_reads_one_group_for_another_node_reads_no_other_whose_subjects_it_wants() {
    let network = MemoryNetwork::default();
    let actor = bus(&network);
    let bus = Bus::over(&actor);
    let (living, group) = founder().await;
    actor.do_send(Host(Some(group)));
    let mut carrier = Carrier::link(&network, 2).await;
    carrier.says(vec![carried("other", &["other.>"])]);
    known(&bus).await;
    let mut only = subscribe_only(&actor, "*.a").await;
    // Nor does it begin when more is bound to another one.
    carrier.says(vec![carried("other", &["other.>", "more.*"])]);
    known(&bus).await;
    let subscription = actix::spawn(async move {
        bus.subscribe("*.b", SubscribeOptions::default()).await.unwrap();
    });
    let Ask::Subscribe { pattern, .. } =
        carrier.is_asked_next(|ask| matches!(ask, Ask::Subscribe { .. })).await
    else {
        panic!("that is what was waited for");
    };
    assert_eq!(pattern.as_str(), "*.b", "the first one reads its own group only");
    soon(living.bus().publish("local.a", "one")).await.unwrap();
    assert!(matches!(soon(only.next()).await, Some(Slot::Item(delivery)) if delivery.payload == "one"));
    subscription.abort();
    living.stop().await;
}

#[actix::test]
async fn a_reader_that_is_about_to_begin_is_not_begun_again_when_more_is_bound_to_its_group() {
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut carrier = Carrier::link(&network, 2).await;
    known(&bus).await;
    let subscription = subscribe(&bus);
    let (id, _) = carrier.is_asked_to_serve().await;
    carrier.says(vec![carried(GROUP, &["local.>", "more.>"])]);
    known(&bus).await;
    carrier.welcomes();
    carrier.serves(id, at(0));
    drop(stands(subscription).await);
    assert_eq!(carrier.asked().await, Ask::Unsubscribe { id }, "it was asked once");
}

#[actix::test]
async fn what_no_node_may_say_it_carries_changes_nothing() {
    let network = MemoryNetwork::default();
    let bus = Bus::over(&bus(&network));
    let mut carrier = Carrier::link(&network, 2).await;
    let many = (0..=Carried::GROUPS_MAX).map(|number| carried(&format!("g{number}"), &[])).collect();
    let word = "w".repeat(200);
    let long = (0..Carried::BYTES_MAX / 200).map(|number| format!("{word}.{number}")).collect::<Vec<_>>();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    for lie in [
        many,
        vec![carried("long", &long)],
        vec![carried("", &["wide.>"])],
        vec![carried("no name", &["wide.>"])],
        vec![carried("wide", &["wide.>"]), carried("wide", &["else.>"])],
    ] {
        carrier.says(lie);
    }
    known(&bus).await;
    // What it had said before stands, and its link as well.
    let _publishing = bus.begin("local.a", "one").await.unwrap();
    assert!(matches!(
        carrier.is_asked_next(|ask| !matches!(ask, Ask::Begin { .. })).await,
        Ask::Forward { number: 1, .. }
    ));
    // Otherwise it would wait for the carrier.
    soon(bus.publish("wide.a", "two")).await.unwrap();
}

#[actix::test]
async fn a_linked_node_that_confirms_nothing_holds_up_no_subscription() {
    let network = MemoryNetwork::default();
    let bus = bus(&network);
    let carrier = Carrier::link(&network, 1).await;
    let handle = within(&bus).await;
    known(&handle).await;
    carrier.turns_deaf();
    known(&handle).await;
}
