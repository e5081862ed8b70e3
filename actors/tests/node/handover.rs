//! Readers of a group at a node that begins to carry it, or ceases to.

use std::time::Duration;

use crate::common::{World, in_view, soon};
use futures_util::future::join;
use quorate::{GroupSettings, Missed, SubscribeOptions, Subscription};

fn log() -> GroupSettings {
    GroupSettings::new("log", [1, 2]).bind("log.>")
}

/// Two nodes that carry the group and one that reads it through them.
async fn beside() -> World {
    let world = World::start(3, vec![log()]).await;
    for node in [1, 2] {
        world.group(node, "log", &[1, 2]).await;
    }
    world
}

/// The next message, with what was missed before it.
async fn next(subscription: &mut Subscription) -> (String, Option<Missed>) {
    let delivery = soon(subscription.next()).await.expect("it goes on");
    (String::from_utf8(delivery.payload.to_vec()).unwrap(), delivery.missed)
}

/// Subscribes at node 3 and waits until messages come.
async fn reading(world: &World, options: SubscribeOptions) -> Subscription {
    let mut subscription = world.node(3).bus().subscribe("log.>", options).await.unwrap();
    let first = async {
        loop {
            world.node(1).bus().publish("log.first", "first").await.unwrap();
            let come = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
            if come.is_ok() {
                break;
            }
        }
    };
    soon(first).await;
    world.node(1).bus().publish("log.begin", "begin").await.unwrap();
    while next(&mut subscription).await.0 != "begin" {}
    subscription
}

#[actix::test]
async fn a_reader_misses_nothing_and_gets_nothing_twice_when_its_node_joins_the_group_and_leaves_it() {
    let world = beside().await;
    let mut subscription = reading(&world, SubscribeOptions::default().buffered()).await;
    let bus = world.node(1).bus();
    let publish = async {
        for k in 0..400 {
            soon(bus.publish("log.app", format!("{k}"))).await.unwrap();
        }
    };
    let change = async {
        let group = world.node(3).join(log()).await.unwrap();
        in_view(&group, &[1, 2, 3]).await;
        // The reader is handed over once it gets what was delivered in that view.
        soon(world.node(3).bus().publish("log.app", "here")).await.unwrap();
        soon(group.leave()).await.unwrap();
        soon(bus.publish("log.app", "left")).await.unwrap();
    };
    join(publish, change).await;
    soon(bus.publish("log.app", "end")).await.unwrap();
    let (mut numbers, mut words) = (Vec::new(), Vec::new());
    while words.last().is_none_or(|word| word != "end") {
        let (text, missed) = next(&mut subscription).await;
        assert_eq!(missed, None, "before {text}");
        match text.parse::<u32>() {
            Ok(number) => numbers.push(number),
            Err(_) => words.push(text),
        }
    }
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    assert_eq!(words, ["here", "left", "end"]);
    world.stop().await;
}

#[actix::test]
async fn a_reader_goes_on_at_its_own_node_when_all_others_that_carried_the_group_have_left() {
    let mut world = beside().await;
    let mut subscription = reading(&world, SubscribeOptions::default().buffered()).await;
    let group = world.node(3).join(log()).await.unwrap();
    in_view(&group, &[1, 2, 3]).await;
    soon(world.node(1).bus().publish("log.app", "together")).await.unwrap();
    assert_eq!(next(&mut subscription).await, ("together".to_owned(), None));
    for node in [1, 2] {
        world.nodes.remove(&node).unwrap().stop().await;
    }
    in_view(&group, &[3]).await;
    soon(world.node(3).bus().publish("log.app", "alone")).await.unwrap();
    assert_eq!(next(&mut subscription).await, ("alone".to_owned(), None));
    world.stop().await;
}

#[actix::test]
async fn a_reader_that_lacks_what_nobody_in_reach_keeps_is_told_and_goes_on() {
    let mut world = beside().await;
    // It has room for one message, which it does not read, so the rest stays with the others.
    let mut subscription = reading(&world, SubscribeOptions::default().buffered().capacity(1)).await;
    for k in 0..40 {
        soon(world.node(1).bus().publish("log.app", format!("{k}"))).await.unwrap();
    }
    let group = world.node(3).join(log()).await.unwrap();
    in_view(&group, &[1, 2, 3]).await;
    for node in [1, 2] {
        world.nodes.remove(&node).unwrap().stop().await;
    }
    in_view(&group, &[3]).await;
    soon(world.node(3).bus().publish("log.app", "alone")).await.unwrap();
    let mut all = Vec::new();
    let told = loop {
        let (text, missed) = next(&mut subscription).await;
        if text == "alone" {
            break missed;
        }
        assert_eq!(missed, None, "before {text}");
        all.push(text);
    };
    assert_eq!(told, Some(Missed::Unknown), "after {all:?}");
    let expected: Vec<String> = (0..all.len()).map(|k| k.to_string()).collect();
    assert_eq!(all, expected);
    assert!(all.len() < 40);
    world.stop().await;
}
