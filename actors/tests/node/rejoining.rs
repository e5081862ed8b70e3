//! What a node publishes in one life, now as a member of a group and now through others.

use std::time::Duration;

use crate::common::{World, in_view, soon};
use quorate::{Bus, GroupSettings, SubscribeOptions, Subscription, membership::NodeId};
use tokio::time::timeout;

fn log() -> GroupSettings {
    GroupSettings::new("log", [1, 2]).bind("log.>")
}

/// Publishes a few messages and waits until all are acknowledged.
async fn publish(bus: &Bus, word: &str) {
    for k in 0..5 {
        soon(bus.publish("log.app", format!("{word} {k}"))).await.unwrap();
    }
}

/// Asserts that these words have come, five times each, and nothing else.
async fn assert_read(reader: &mut Subscription, words: &[&str]) {
    for word in words {
        for k in 0..5 {
            let delivery = soon(reader.next()).await.unwrap();
            assert_eq!(delivery.payload, format!("{word} {k}").into_bytes());
            assert_eq!(delivery.missed, None, "before {word} {k}");
        }
    }
}

#[actix::test]
async fn what_is_acknowledged_to_a_node_that_leaves_its_group_and_joins_it_again_has_passed() {
    let world = World::start(3, vec![log()]).await;
    world.group(1, "log", &[1, 2]).await;
    let mut reader =
        world.node(1).bus().subscribe("log.>", SubscribeOptions::default().buffered()).await.unwrap();
    let bus = world.node(3).bus();
    for _ in 0..2 {
        let group = world.node(3).join(log()).await.unwrap();
        in_view(&group, &[1, 2, 3]).await;
        publish(&bus, "inside").await;
        soon(group.leave()).await.unwrap();
        publish(&bus, "beside").await;
    }
    assert_read(&mut reader, &["inside", "beside", "inside", "beside"]).await;
    world.stop().await;
}

#[actix::test]
async fn what_a_node_publishes_while_it_leaves_its_group_and_joins_it_again_comes_once_and_in_order() {
    const EACH: usize = 400;
    let world = World::start(3, vec![log()]).await;
    world.group(1, "log", &[1, 2]).await;
    let mut reader =
        world.node(1).bus().subscribe("log.>", SubscribeOptions::default().buffered()).await.unwrap();
    let bus = world.node(3).bus();
    let mut publishing = Vec::new();
    for round in 0..4 {
        let group = world.node(3).join(log()).await.unwrap();
        in_view(&group, &[1, 2, 3]).await;
        let leaving = actix::spawn(async move { soon(group.leave()).await });
        for k in 0..EACH {
            publishing.push(soon(bus.begin("log.app", format!("{}", round * EACH + k))).await.unwrap());
            if k % 8 == 0 {
                tokio::task::yield_now().await; // to whatever is due
            }
        }
        leaving.await.unwrap().unwrap();
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    for k in 0..4 * EACH {
        let delivery = soon(reader.next()).await.unwrap();
        assert_eq!((delivery.payload, delivery.missed), (k.to_string().into(), None));
    }
    world.stop().await;
}

#[actix::test]
async fn what_is_acknowledged_to_a_node_that_had_forgotten_a_group_has_passed() {
    let mut world = World::start(2, vec![log()]).await;
    // It hears of the group from others alone.
    world.add_with(3, vec![]).await;
    world.group(1, "log", &[1, 2]).await;
    let mut reader =
        world.node(1).bus().subscribe("log.>", SubscribeOptions::default().buffered()).await.unwrap();
    let bus = world.node(3).bus();
    soon(until_bound(&bus, &mut reader)).await;
    // So many that afterwards nobody's patience would outlast as many repetitions.
    for _ in 0..20 {
        publish(&bus, "before").await;
        assert_read(&mut reader, &["before"]).await;
    }
    // Once nobody in reach carries the group, nothing is left of it there.
    world.faults.partition(&[NodeId::new(3)], &[NodeId::new(1), NodeId::new(2)]);
    soon(async {
        while world.node(3).status().await.unwrap().peers.iter().any(|peer| peer.linked) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.faults.heal_all();
    soon(until_bound(&bus, &mut reader)).await;
    publish(&bus, "after").await;
    assert_read(&mut reader, &["after"]).await;
    world.stop().await;
}

/// Publishes until what is published comes through the group: before it has heard of the group, a node
/// passes it on to whoever subscribes in reach.
async fn until_bound(bus: &Bus, reader: &mut Subscription) {
    loop {
        bus.publish("log.app", "first").await.unwrap();
        match timeout(Duration::from_millis(500), reader.next()).await {
            Ok(Some(delivery)) if delivery.at.is_some() => return,
            _ => {}
        }
    }
}
