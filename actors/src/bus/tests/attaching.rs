//! Readers that could not begin in a group.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::StreamExt;
use quorate_membership::GroupId;
use quorate_protocols::bus::Position;
use tokio::sync::oneshot;

use super::{alone_with_routes, linked::soon};
use crate::{
    Bus, Delivery, GroupSettings, Missed, Node, SubscribeOptions,
    bus::{BusActor, Hosted, Subscribe},
    config::GroupSpec,
    group::Replication,
    queue::{Reader, Slot, queue},
};

/// A group is served by another actor, of which the bus is not told.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Silently(GroupId, Addr<Replication>);

impl Handler<Silently> for BusActor {
    type Result = ();
    fn handle(&mut self, Silently(group, here): Silently, _: &mut Self::Context) {
        self.served.entry(group).or_default().here = Some(here);
    }
}

/// A node that has founded its group, and that group.
async fn founder() -> (Node, Addr<Replication>) {
    let node = Node::alone("demo").await.unwrap();
    let group = node.group("local").await.unwrap();
    (node, group.addr)
}

/// Has published these; returns the place of each.
async fn publish(bus: &Bus, texts: &[&'static str]) -> Vec<(GroupId, Position)> {
    let mut all = bus.subscribe("local.>", SubscribeOptions::default()).await.unwrap();
    let mut places = Vec::new();
    for text in texts {
        bus.publish("local.a", *text).await.unwrap();
        places.extend(soon(all.next()).await.unwrap().at);
    }
    places
}

async fn subscribe(bus: &Addr<BusActor>, after: Vec<(GroupId, Position)>) -> Reader<Delivery> {
    let (feed, reader) = queue(100, 1 << 20);
    let (done, subscribed) = oneshot::channel();
    let (pattern, options) = ("local.>".parse().unwrap(), SubscribeOptions::default());
    let (feed, only, by_client) = (Arc::new(feed), None, false);
    bus.do_send(Subscribe { pattern, options, feed, only, by_client, after, done });
    let (_, from) = soon(subscribed).await.unwrap().unwrap().take();
    assert_eq!(from, [], "it has begun nowhere");
    reader
}

async fn next(reader: &mut Reader<Delivery>) -> Result<String, u64> {
    match soon(reader.next()).await.unwrap() {
        Slot::Item(delivery) => Ok(String::from_utf8(delivery.payload.to_vec()).unwrap()),
        Slot::Missed(count) => Err(count),
    }
}

#[actix::test]
async fn it_tries_again_by_itself_goes_on_where_it_was_and_is_told_if_nobody_knows_where() {
    let spec = GroupSpec::try_from(GroupSettings::new("local", [1]).bind("local.>")).unwrap();
    let (spec, (bus, routes)) = (Arc::new(spec), alone_with_routes());
    let (gone, dead) = founder().await;
    gone.abort().await;
    soon(async {
        while dead.connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bus.do_send(Hosted(Arc::clone(&spec), Some(dead), routes.change()));
    let (living, group) = founder().await;
    let places = publish(&living.bus(), &["one", "two"]).await;
    let mut behind_one = subscribe(&bus, vec![places[0]]).await;
    let mut from_now = subscribe(&bus, Vec::new()).await;
    bus.send(Silently(spec.id(), group)).await.unwrap();
    assert_eq!(next(&mut behind_one).await, Ok("two".to_owned()));
    assert_eq!(next(&mut from_now).await, Err(Missed::UNKNOWN));
    // It has begun at the latest when it gets something.
    let come = async {
        loop {
            living.bus().publish("local.a", "three").await.unwrap();
            let next = tokio::time::timeout(super::PATIENCE / 100, from_now.next()).await;
            if let Ok(Some(slot)) = next {
                return slot;
            }
        }
    };
    assert!(matches!(soon(come).await, Slot::Item(delivery) if delivery.payload == "three"));
    assert_eq!(next(&mut behind_one).await, Ok("three".to_owned()));
    living.stop().await;
}
