//! Which subjects are bound to which groups, at nodes that hear of it from others alone.

use std::time::Duration;

use crate::common::{World, soon};
use quorate::{Bus, Delivery, GroupSettings, Node, PublishError, SubscribeOptions};
use tokio::time::timeout;

/// Publishes until what is published comes through the group with this name at a node, or through none.
async fn published_through(bus: &Bus, subject: &str, group: Option<&Node>, name: &str) -> Delivery {
    soon(until_through(bus, subject, group, name)).await
}

async fn until_through(bus: &Bus, subject: &str, group: Option<&Node>, name: &str) -> Delivery {
    let mut subscription = bus.subscribe(subject, SubscribeOptions::default().buffered()).await.unwrap();
    let id = match group {
        Some(node) => Some(node.group(name).await.unwrap().id()),
        None => None,
    };
    loop {
        // One that was on its way when the binding changed may be missed.
        let next = async {
            bus.publish(subject, "hello").await.unwrap();
            subscription.next().await.unwrap()
        };
        if let Ok(delivery) = timeout(Duration::from_millis(200), next).await
            && delivery.at.map(|(group, _)| group) == id
        {
            return delivery;
        }
    }
}

#[actix::test]
async fn of_two_groups_with_common_subjects_the_same_one_keeps_them_everywhere() {
    let mut world = World::start(0, vec![]).await;
    let wide = GroupSettings::new("wide", [1]).bind("x.>");
    let narrow = GroupSettings::new("narrow", [2]).bind("x.y");
    world.add_with(1, vec![wide]).await;
    world.add_with(2, vec![narrow]).await;
    world.add_with(3, vec![]).await;
    for node in 1..=3 {
        let bus = world.node(node).bus();
        published_through(&bus, "x.y", Some(world.node(2)), "narrow").await;
        published_through(&bus, "x.z", None, "").await;
    }
    // Once the one that keeps them is gone, the other one has them.
    world.kill(2).await;
    for node in [1, 3] {
        let bus = world.node(node).bus();
        published_through(&bus, "x.z", Some(world.node(1)), "wide").await;
    }
    world.stop().await;
}

#[actix::test]
async fn what_nobody_in_reach_carries_any_more_is_refused_where_a_reader_waits_and_goes_on_later() {
    let log = || vec![GroupSettings::new("log", [1]).bind("log.>")];
    let mut world = World::start(1, log()).await;
    world.add_with(3, vec![]).await;
    let bus = world.node(3).bus();
    published_through(&bus, "log.first", Some(world.node(1)), "log").await;
    let mut reader = bus.subscribe("log.>", SubscribeOptions::default().buffered()).await.unwrap();
    world.kill(1).await;
    let refused = async {
        loop {
            // One that is under way when the link breaks waits for the next carrier.
            match timeout(Duration::from_millis(100), bus.publish("log.second", "lost")).await {
                Ok(Err(error)) => return error,
                Ok(Ok(())) => panic!("it is bound, or refused"),
                Err(_) => {}
            }
        }
    };
    let error = soon(refused).await;
    assert!(matches!(error, PublishError::NotBound(_)), "{error}");
    world.add_with(1, log()).await;
    let next = soon(async {
        loop {
            match timeout(Duration::from_millis(100), bus.publish("log.third", "found")).await {
                Ok(Ok(())) => return reader.next().await.unwrap(),
                Ok(Err(PublishError::NotBound(_))) | Err(_) => {}
                Ok(Err(error)) => panic!("{error}"),
            }
        }
    });
    let next = next.await;
    assert!(next.at.is_some() && next.missed.is_some(), "the group was founded anew: {next:?}");
    world.stop().await;
}
