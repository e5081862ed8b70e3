//! What clients are told when the node that they use is lost, and nodes when they run twice.

use crate::common::{World, addr, soon};
use quorate::{
    Client, ClientSettings, GroupSettings, Missed, Node, NodeSettings, PublishError, StopReason,
    SubscribeOptions,
};

/// A client that prefers these nodes in this order.
async fn client(world: &World, number: u64, nodes: &[u64]) -> Client {
    let settings = ClientSettings::new(number, "test", nodes.iter().map(|node| addr(*node)).collect());
    Client::in_memory(settings, &world.network).await.unwrap()
}

/// Waits until a client has lost a node.
async fn lost(client: &Client, node: u64) {
    soon(async {
        while client.linked().iter().any(|linked| linked.get() == node) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[actix::test]
async fn a_subscriber_to_an_unbound_subject_is_told_that_it_may_have_missed_something_at_another_node() {
    let mut world = World::start(2, vec![]).await;
    let client = client(&world, 101, &[1, 2]).await;
    let mut news = client.bus().subscribe("news", SubscribeOptions::default()).await.unwrap();
    soon(client.bus().publish("news", "before")).await.unwrap();
    let before = soon(news.next()).await.unwrap();
    assert_eq!((before.payload, before.missed), ("before".into(), None));
    soon(async {
        while client.linked().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.kill(1).await;
    lost(&client, 1).await;
    soon(client.bus().publish("news", "after")).await.unwrap();
    let after = soon(news.next()).await.unwrap();
    assert_eq!((after.payload, after.missed), ("after".into(), Some(Missed::Unknown)));
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_publication_on_an_unbound_subject_that_was_under_way_may_have_happened() {
    let mut world = World::start(2, vec![]).await;
    let client = client(&world, 101, &[1, 2]).await;
    // The node acknowledges nothing until this subscriber there has made room.
    let options = SubscribeOptions::default().backpressure().capacity(1);
    let held_back = world.node(1).bus().subscribe("news", options).await.unwrap();
    soon(client.bus().publish("news", "taken")).await.unwrap();
    let under_way = soon(client.bus().begin("news", "waits")).await.unwrap();
    soon(client.status()).await.unwrap(); // what was said before has arrived
    world.kill(1).await;
    let error = soon(under_way.acknowledged()).await.unwrap_err();
    assert!(matches!(error, PublishError::MayHaveHappened) && error.may_have_happened(), "{error}");
    drop(held_back);
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_node_that_is_started_again_elsewhere_ends_in_its_former_life_and_says_why() {
    let group = GroupSettings::new("g", [1, 2, 3]);
    let mut world = World::start(3, vec![group.clone()]).await;
    world.group(1, "g", &[1, 2, 3]).await;
    let former = world.nodes.remove(&3).unwrap();
    let settings = NodeSettings::new(3, "test", addr(30)).seed(addr(1)).seed(addr(2)).group(group);
    let settings = settings.detect_within(std::time::Duration::from_millis(300));
    let later = Node::in_memory(settings, &world.network).await.unwrap();
    let reason = soon(former.stopped()).await;
    assert!(matches!(reason, StopReason::Superseded(_)), "{reason}");
    world.nodes.insert(3, later);
    world.group(3, "g", &[1, 2, 3]).await;
    world.stop().await;
}
