//! Readers that could not begin in a group.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::StreamExt;
use quorate_membership::GroupId;
use quorate_protocols::bus::Position;
use quorate_transport::MemoryNetwork;
use tokio::sync::oneshot;

use super::{
    alone,
    linked::{Carrier, at, soon},
};
use crate::{
    Bus, Delivery, GroupSettings, Missed, Node, SubscribeOptions,
    bus::{BusActor, Hosted, Routes, Subscribe},
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

/// The group is carried here from now on, or no longer.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Host(pub(super) Option<Addr<Replication>>);

impl Handler<Host> for BusActor {
    type Result = ();
    fn handle(&mut self, Host(here): Host, _: &mut Self::Context) {
        let change = self.routes().change();
        self.on_hosted(Hosted(spec(), here, change));
    }
}

/// Asks for the table that publishers read.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Arc<Routes>>")]
struct Table;

impl Handler<Table> for BusActor {
    type Result = Option<Arc<Routes>>;
    fn handle(&mut self, _: Table, _: &mut Self::Context) -> Self::Result {
        Some(self.routes())
    }
}

/// The bus, past whose actor goes what may.
pub(super) async fn within(bus: &Addr<BusActor>) -> Bus {
    Bus::within(bus, bus.send(Table).await.unwrap().unwrap())
}

/// A node that has founded its group, and that group.
pub(super) async fn founder() -> (Node, Addr<Replication>) {
    let node = Node::alone("demo").await.unwrap();
    let group = node.group("local").await.unwrap();
    (node, group.addr)
}

pub(super) fn spec() -> Arc<GroupSpec> {
    Arc::new(GroupSpec::try_from(GroupSettings::new("local", [1]).bind("local.>")).unwrap())
}

/// A group whose actor is gone.
pub(super) async fn gone() -> Addr<Replication> {
    let (node, group) = founder().await;
    node.abort().await;
    soon(async {
        while group.connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    group
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

/// Subscribes; the subscription stands as soon as the second future is ready.
fn subscribe(
    bus: &Addr<BusActor>,
    after: Vec<(GroupId, Position)>,
) -> (Reader<Delivery>, impl Future<Output = Vec<(GroupId, Position)>> + use<>) {
    let (feed, reader) = queue(100, 1 << 20);
    let (done, subscribed) = oneshot::channel();
    let (pattern, options) = ("local.>".parse().unwrap(), SubscribeOptions::default());
    let (feed, only, by_client) = (Arc::new(feed), None, false);
    bus.do_send(Subscribe { pattern, options, feed, only, by_client, after, done });
    (reader, async move { soon(subscribed).await.unwrap().unwrap().take().1 })
}

async fn next(reader: &mut Reader<Delivery>) -> Result<String, u64> {
    match soon(reader.next()).await.unwrap() {
        Slot::Item(delivery) => Ok(String::from_utf8(delivery.payload.to_vec()).unwrap()),
        Slot::Missed(count) => Err(count),
    }
}

#[actix::test]
async fn it_tries_again_by_itself_goes_on_where_it_was_and_is_told_if_nobody_knows_where() {
    let bus = alone();
    bus.do_send(Host(Some(gone().await)));
    let (living, group) = founder().await;
    let places = publish(&living.bus(), &["one", "two"]).await;
    let (mut behind_one, began) = subscribe(&bus, vec![places[0]]);
    assert_eq!(began.await, [], "it has begun nowhere");
    let (mut from_now, began) = subscribe(&bus, Vec::new());
    assert_eq!(began.await, []);
    bus.send(Silently(spec().id(), group)).await.unwrap();
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

#[actix::test]
async fn it_goes_on_at_another_node_if_what_it_lacks_is_not_kept_here() {
    let network = MemoryNetwork::default();
    let bus = super::linked::bus(&network);
    let (living, group) = founder().await;
    bus.do_send(Host(Some(group)));
    let mut carrier = Carrier::link(&network, 2).await;
    super::carriers::known(&Bus::over(&bus)).await;
    let (mut reader, began) = subscribe(&bus, vec![(spec().id(), at(4))]);
    let (id, after) = carrier.is_asked_to_serve().await;
    assert_eq!(after, [at(4)]);
    carrier.welcomes();
    carrier.serves(id, at(4));
    assert_eq!(began.await, [(spec().id(), at(4))]);
    carrier.delivers(id, 5, "five");
    assert_eq!(next(&mut reader).await, Ok("five".to_owned()));
    living.stop().await;
}
