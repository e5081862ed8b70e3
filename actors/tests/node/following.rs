//! Following a group from anywhere: its views and messages, each once, wherever one goes on.

use crate::common::{World, addr, in_view, soon};
use quorate::{
    Client, ClientSettings, Follower, GroupSettings, Happened, Missed, Node, NodeSettings, PublishError,
    SubscribeError, SubscribeOptions,
};

async fn client(world: &World, number: u64, nodes: &[u64]) -> Client {
    let settings = ClientSettings::new(number, "test", nodes.iter().map(|node| addr(*node)).collect());
    Client::in_memory(settings, &world.network).await.unwrap()
}

/// What comes until this message: messages as text, views by their members.
async fn until(follower: &mut Follower, last: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    while all.last().is_none_or(|text| text != last) {
        let event = soon(follower.next()).await.expect("it goes on");
        assert_eq!(event.missed, None, "after {all:?}");
        assert_eq!(follower.position(), Some(event.at));
        all.push(match event.what {
            Happened::View(view) => view.to_string(),
            Happened::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        });
    }
    all
}

fn kept() -> Vec<GroupSettings> {
    vec![GroupSettings::new("g", [1, 2, 3]).history(1 << 20)]
}

#[actix::test]
async fn who_follows_a_group_gets_each_view_and_message_once_though_its_node_dies() {
    let mut world = World::start(3, kept()).await;
    let mut groups = Vec::new();
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    let client = client(&world, 101, &[3, 2]).await;
    let mut far = soon(client.events("g")).await.unwrap();
    let mut near = soon(world.node(1).bus().follow("g", None)).await.unwrap();
    let mut expected = Vec::new();
    for k in 0..20 {
        soon(groups[k % 2].multicast(format!("{k}"))).await.unwrap();
        expected.push(format!("{k}"));
        if k == 10 {
            assert_eq!(until(&mut far, "3").await, expected[..4]);
            assert_eq!(client.linked()[0].get(), 3);
            world.kill(3).await;
            in_view(&groups[0], &[1, 2]).await;
            expected.push("v2 {n1, n2}".into());
        }
    }
    assert_eq!(until(&mut near, "19").await, expected);
    assert_eq!(until(&mut far, "19").await, expected[4..]);
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn who_comes_back_at_a_position_goes_on_behind_it_at_any_node() {
    let world = World::start(4, kept()).await;
    let group = world.group(1, "g", &[1, 2, 3]).await;
    world.group(2, "g", &[1, 2, 3]).await;
    // Node 4 does not carry the group, and reads it at one that does.
    let outside = client(&world, 101, &[4]).await;
    let mut follower = soon(async {
        loop {
            match outside.events("g").await {
                Err(SubscribeError::NoHistory(_)) => {} // the node has not heard of the group yet
                other => break other,
            }
        }
    })
    .await
    .unwrap();
    for k in 0..5 {
        soon(group.multicast(format!("{k}"))).await.unwrap();
    }
    assert_eq!(until(&mut follower, "2").await, ["0", "1", "2"]);
    let position = follower.position();
    drop(follower);
    outside.close().await;
    let mut again = soon(world.node(2).bus().follow("g", position)).await.unwrap();
    assert_eq!(until(&mut again, "4").await, ["3", "4"]);
    world.stop().await;
}

#[actix::test]
async fn who_was_away_for_longer_than_the_history_lasts_is_told_so() {
    let world = World::start(1, vec![GroupSettings::new("g", [1]).history(64 << 10)]).await;
    let group = world.group(1, "g", &[1]).await;
    let bus = world.node(1).bus();
    let follower = soon(bus.follow("g", None)).await.unwrap();
    let position = follower.position();
    drop(follower);
    for _ in 0..3 {
        soon(group.multicast(vec![0; 32 << 10])).await.unwrap();
    }
    let mut again = soon(bus.follow("g", position)).await.unwrap();
    let event = soon(again.next()).await.unwrap();
    assert_eq!((event.missed, event.at.index), (Some(Missed::Unknown), 3));
    world.stop().await;
}

#[actix::test]
async fn a_bound_group_is_followed_with_what_is_published_and_nobody_publishes_events() {
    let world = World::start(1, vec![GroupSettings::new("log", [1]).bind("log.>")]).await;
    let group = world.group(1, "log", &[1]).await;
    let client = client(&world, 101, &[1]).await;
    let mut follower = soon(client.events("log")).await.unwrap();
    soon(client.bus().publish("log.a", "published")).await.unwrap();
    soon(group.multicast("sent")).await.unwrap();
    assert_eq!(until(&mut follower, "sent").await, ["published", "sent"]);
    let events = format!("_events.{:x}.view", group.id().get());
    for bus in [client.bus(), world.node(1).bus()] {
        let refused = soon(bus.publish(events.as_str(), "a lie")).await;
        assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
        let refused = soon(bus.subscribe("_events.>", SubscribeOptions::default())).await;
        assert!(matches!(refused, Err(SubscribeError::Pattern(_))), "{refused:?}");
    }
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_group_that_keeps_no_history_cannot_be_followed() {
    let world = World::start(1, vec![GroupSettings::new("g", [1])]).await;
    world.group(1, "g", &[1]).await;
    for name in ["g", "none", "two words"] {
        let refused = soon(world.node(1).bus().follow(name, None)).await.unwrap_err();
        assert!(matches!(&refused, SubscribeError::NoHistory(group) if group == name), "{refused}");
    }
    world.stop().await;
}

#[actix::test]
async fn who_goes_on_at_a_node_that_has_not_heard_of_the_group_yet_misses_nothing() {
    let mut world = World::start(3, kept()).await;
    let group = world.group(2, "g", &[1, 2, 3]).await;
    // A node that knows nobody, and no group.
    let stranger = Node::in_memory(NodeSettings::new(9, "test", addr(9)), &world.network).await.unwrap();
    let client = client(&world, 101, &[1, 9]).await;
    let mut follower = soon(client.events("g")).await.unwrap();
    soon(group.multicast("before")).await.unwrap();
    assert_eq!(until(&mut follower, "before").await, ["before"]);
    world.kill(1).await;
    soon(async {
        while !client.status().await.is_ok_and(|status| status.member == stranger.member()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_view(&group, &[2, 3]).await;
    soon(group.multicast("meanwhile")).await.unwrap();
    // Another one brings it together with the others.
    let settings = NodeSettings::new(8, "test", addr(8)).seed(addr(2)).seed(addr(9));
    let between = Node::in_memory(settings, &world.network).await.unwrap();
    assert_eq!(until(&mut follower, "meanwhile").await, ["v2 {n2, n3}", "meanwhile"]);
    client.close().await;
    for node in [between, stranger] {
        node.stop().await;
    }
    world.stop().await;
}
