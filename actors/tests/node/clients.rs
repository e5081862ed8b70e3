//! Clients of nodes over memory.

use std::time::Duration;

use crate::common::{MANY, PATIENCE, World, addr, in_view, messages, soon, texts};
use bytes::Bytes;
use quorate::{
    Bus, Client, ClientError, ClientSettings, GroupSettings, PublishError, RequestError, SubscribeError,
    SubscribeOptions, Wait, membership::NodeId,
};

fn log() -> Vec<GroupSettings> {
    vec![GroupSettings::new("log", [1, 2, 3]).bind("log.>")]
}

/// A client that prefers these nodes in this order.
async fn client(world: &World, number: u64, nodes: &[u64]) -> Result<Client, ClientError> {
    let mut settings = ClientSettings::new(number, "test", nodes.iter().map(|node| addr(*node)).collect());
    settings.connect_within_ms = Some(2000);
    Client::in_memory(settings, &world.network).await
}

async fn founded(world: &World) {
    for node in 1..=3 {
        world.group(node, "log", &[1, 2, 3]).await;
    }
}

#[actix::test]
async fn a_client_publishes_subscribes_and_asks_as_a_node_does() {
    let world = World::start(3, log()).await;
    founded(&world).await;
    let one = client(&world, 101, &[1]).await.unwrap();
    let two = client(&world, 102, &[2]).await.unwrap();
    let mut unbound = two.bus().subscribe("news", SubscribeOptions::default()).await.unwrap();
    let mut bound = two.bus().subscribe("log.*", SubscribeOptions::default()).await.unwrap();
    one.bus().publish("news", "a").await.unwrap();
    one.bus().publish("log.app", "b").await.unwrap();
    assert_eq!(texts(&mut unbound, 1).await, ["a"]);
    assert_eq!(texts(&mut bound, 1).await, ["b"]);

    let refused = soon(one.bus().request("double", "21", Duration::from_mins(1))).await;
    assert!(matches!(refused, Err(RequestError::NoResponders(_))), "{refused:?}");
    let replier = two.bus();
    let mut requests = replier.subscribe("double", SubscribeOptions::default()).await.unwrap();
    actix::spawn(async move {
        while let Some(request) = requests.next().await {
            replier.reply(&request, "42").await.unwrap();
        }
    });
    let answer = one.bus().request("double", "21", Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.payload, "42");

    let status = one.status().await.unwrap();
    assert_eq!((status.member.node.get(), status.clients), (1, 1));
    assert_eq!(status.groups[0].name, "log");
    assert_eq!(one.views("log").await.unwrap().len(), 1);
    assert!(matches!(one.views("none").await, Err(ClientError::NoGroup(_))));
    one.multicast("log", "raw").await.unwrap();
    assert!(matches!(one.multicast("none", "raw").await, Err(PublishError::Refused(_))));
    one.close().await;
    two.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_client_that_reaches_nobody_says_where_it_looked() {
    let world = World::start(0, log()).await;
    let refused = soon(client(&world, 101, &[1, 2])).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Unreachable { endpoints, .. } if endpoints.len() == 2),
        "{refused}"
    );
}

#[actix::test]
async fn subscribers_at_nodes_that_do_not_carry_the_group_get_its_one_order_though_carriers_die() {
    let mut world = World::start(5, log()).await;
    founded(&world).await;
    let mut here = world.node(1).bus().subscribe("log.>", SubscribeOptions::default()).await.unwrap();
    let options = SubscribeOptions::default().backpressure().capacity(16);
    let mut there = world.node(4).bus().subscribe("log.>", options.clone()).await.unwrap();
    let client = client(&world, 101, &[5]).await.unwrap();
    let mut far = client.bus().subscribe("log.>", options).await.unwrap();
    let (outside, remote) = (world.node(5).bus(), client.bus());
    for k in 0..100 {
        soon(outside.publish("log.a", format!("node {k}"))).await.unwrap();
        soon(remote.publish("log.b", format!("client {k}"))).await.unwrap();
    }
    let first = texts(&mut here, 200).await;
    assert_eq!(texts(&mut there, 200).await, first);
    assert_eq!(texts(&mut far, 200).await, first);

    // Node 4 and node 5 use different carriers; with either gone they go on at another one.
    let mut publishing = Vec::new();
    for k in 0..100 {
        publishing.push(remote.begin("log.b", format!("late {k}")).await.unwrap());
        if k == 50 {
            world.kill(3).await;
        }
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    let first = texts(&mut here, 100).await;
    let expected: Vec<String> = (0..100).map(|k| format!("late {k}")).collect();
    assert_eq!(first, expected);
    assert_eq!(texts(&mut there, 100).await, first);
    assert_eq!(texts(&mut far, 100).await, first);
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn acknowledged_lines_come_once_and_in_one_order_though_a_node_dies_half_way() {
    const LINES: usize = 30_000;
    let mut world = World::start(3, log()).await;
    founded(&world).await;
    let mut readers = Vec::new();
    for node in [1, 2] {
        let reader = client(&world, 100 + node, &[node]).await.unwrap();
        let options = SubscribeOptions::default().backpressure();
        let subscription = reader.bus().subscribe("log.>", options).await.unwrap();
        readers.push((reader, subscription));
    }
    // This one reads at the node that dies, and goes on elsewhere.
    let wanderer = client(&world, 110, &[3, 1]).await.unwrap();
    let options = SubscribeOptions::default().backpressure();
    let wandering = wanderer.bus().subscribe("log.>", options).await.unwrap();
    readers.push((wanderer, wandering));
    let reading: Vec<_> = readers
        .into_iter()
        .map(|(reader, mut subscription)| {
            actix::spawn(async move {
                let lines = texts(&mut subscription, LINES).await;
                reader.close().await;
                lines
            })
        })
        .collect();
    let publisher = client(&world, 104, &[3, 2]).await.unwrap();
    let bus = publisher.bus();
    let mut publishing = Vec::with_capacity(LINES);
    for k in 0..LINES {
        publishing.push(soon(bus.begin("log.app", format!("line {k}"))).await.unwrap());
        if k == LINES / 2 {
            assert_eq!(publisher.linked()[0].get(), 3);
            world.kill(3).await;
        }
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    let expected: Vec<String> = (0..LINES).map(|k| format!("line {k}")).collect();
    for lines in reading {
        let lines = lines.await.unwrap();
        assert!(lines == expected, "a reader got other lines than were published");
    }
    publisher.close().await;
    world.stop().await;
}

const LINES: usize = 3000;

/// Publishes lines, while this happens half-way; they arrive once and in order.
async fn half_way(world: &mut World, bus: Bus, end: impl AsyncFnOnce(&mut World)) {
    let reader = client(world, 101, &[1]).await.unwrap();
    let options = SubscribeOptions::default().backpressure();
    let mut subscription = reader.bus().subscribe("log.>", options).await.unwrap();
    let mut publishing = Vec::with_capacity(LINES);
    let begin = async |k: usize| soon(bus.begin("log.app", format!("{k}"))).await.unwrap();
    for k in 0..LINES / 2 {
        publishing.push(begin(k).await);
    }
    let rest = async {
        for k in LINES / 2..LINES {
            publishing.push(begin(k).await);
        }
        for one in publishing {
            soon(one.acknowledged()).await.unwrap();
        }
    };
    let all = async { texts(&mut subscription, LINES).await };
    let ((), (), all) = tokio::join!(end(world), rest, all);
    assert!(all == (0..LINES).map(|k| format!("{k}")).collect::<Vec<_>>());
    reader.close().await;
}

async fn stop(world: &mut World, node: u64) {
    world.nodes.remove(&node).unwrap().stop().await;
}

async fn leave(world: &World, node: u64) {
    world.node(node).group("log").await.unwrap().leave().await.unwrap();
}

#[actix::test]
async fn a_node_that_stops_in_order_or_leaves_the_group_loses_no_publication_of_its_clients() {
    for stops in [true, false] {
        let mut world = World::start(3, log()).await;
        founded(&world).await;
        let publisher = client(&world, 104, &[3, 2]).await.unwrap();
        assert_eq!(publisher.linked()[0].get(), 3);
        let end = async |world: &mut World| if stops { stop(world, 3).await } else { leave(world, 3).await };
        half_way(&mut world, publisher.bus(), end).await;
        publisher.close().await;
        world.stop().await;
    }
}

#[actix::test]
async fn nor_does_it_lose_what_a_node_without_the_group_publishes_through_it() {
    for stops in [true, false] {
        for carrier in [2, 3] {
            let mut world = World::start(4, log()).await;
            founded(&world).await;
            let bus = world.node(4).bus();
            let end = async |world: &mut World| {
                if stops { stop(world, carrier).await } else { leave(world, carrier).await }
            };
            half_way(&mut world, bus, end).await;
            world.stop().await;
        }
    }
}

#[actix::test]
async fn a_newcomer_drops_what_its_members_drop() {
    let mut world = World::start(4, log()).await;
    founded(&world).await;
    let publisher = client(&world, 104, &[3, 2]).await.unwrap();
    let bus = publisher.bus();
    for k in 0..50 {
        soon(bus.publish("log.app", format!("early {k}"))).await.unwrap();
    }
    let joined = world.node(4).join(log().remove(0)).await.unwrap();
    in_view(&joined, &[1, 2, 3, 4]).await;
    let options = SubscribeOptions::default().backpressure();
    let mut subscriptions = Vec::new();
    for node in [1, 4] {
        subscriptions.push(world.node(node).bus().subscribe("log.>", options.clone()).await.unwrap());
    }
    let mut publishing = Vec::new();
    for k in 0..5000 {
        publishing.push(soon(bus.begin("log.app", format!("{k}"))).await.unwrap());
        if k == 2500 {
            world.kill(3).await;
        }
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    let expected: Vec<String> = (0..5000).map(|k| format!("{k}")).collect();
    for subscription in &mut subscriptions {
        assert!(texts(subscription, 5000).await == expected);
    }
    publisher.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_reader_that_goes_on_at_a_newcomer_gets_what_older_members_keep() {
    let mut world = World::start(4, log()).await;
    founded(&world).await;
    let reader = client(&world, 104, &[3, 4]).await.unwrap();
    let options = SubscribeOptions::default().backpressure();
    let mut subscription = reader.bus().subscribe("log.>", options).await.unwrap();
    let bus = world.node(1).bus();
    soon(bus.publish("log.a", "before")).await.unwrap();
    assert_eq!(texts(&mut subscription, 1).await, ["before"]);
    let joined = world.node(4).join(log().remove(0)).await.unwrap();
    in_view(&joined, &[1, 2, 3, 4]).await;
    world.kill(3).await;
    in_view(&joined, &[1, 2, 4]).await;
    soon(bus.publish("log.a", "after")).await.unwrap();
    assert_eq!(texts(&mut subscription, 1).await, ["after"]);
    reader.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_client_that_publishes_too_much_at_once_is_told_so_and_goes_on() {
    let world = World::start(3, log()).await;
    founded(&world).await;
    let client = client(&world, 101, &[1]).await.unwrap();
    let bus = client.bus();
    let long = Bytes::from(vec![0; (64 << 20) + 1]);
    for subject in ["news", "log.app"] {
        // What is behind it in the same queue goes out all the same.
        let refused = soon(bus.begin(subject, long.clone())).await.unwrap();
        let next = soon(bus.begin(subject, "next")).await.unwrap();
        let error = soon(refused.acknowledged()).await.unwrap_err();
        assert!(matches!(error, PublishError::TooLarge { limit, .. } if limit == 64 << 20), "{error}");
        soon(next.acknowledged()).await.unwrap();
    }
    let error = soon(client.multicast("log", long.clone())).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    let error = soon(bus.request("news", long, PATIENCE)).await.unwrap_err();
    assert!(matches!(error, RequestError::Publish(PublishError::TooLarge { .. })), "{error}");
    soon(client.multicast("log", "short")).await.unwrap();
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn what_is_too_long_for_a_node_alone_holds_up_nothing_that_its_client_publishes_behind_it() {
    let mut world = World::start(0, log()).await;
    world.payload_bytes_max = Some(1 << 10);
    for node in 1..=3 {
        world.add(node).await;
    }
    founded(&world).await;
    let client = client(&world, 101, &[1]).await.unwrap();
    let bus = client.bus();
    let mut subscription = world.node(2).bus().subscribe("log.>", SubscribeOptions::default()).await.unwrap();
    let long = bus.begin("log.app", vec![0; 2 << 10]).await.unwrap();
    let next = bus.begin("log.app", "next").await.unwrap();
    let error = soon(long.acknowledged()).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 1024, .. }), "{error}");
    soon(next.acknowledged()).await.unwrap();
    assert_eq!(texts(&mut subscription, 1).await, ["next"]);
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_group_whose_window_is_full_holds_up_nothing_else_that_a_client_asks() {
    let settings = GroupSettings { window_bytes: Some(64 << 10), ..GroupSettings::new("g", [1, 2]) };
    let world = World::start(2, vec![settings]).await;
    world.group(1, "g", &[1, 2]).await;
    let group = world.group(2, "g", &[1, 2]).await;
    let mut events = group.events(MANY).await.unwrap();
    let client = client(&world, 101, &[1]).await.unwrap();
    let mut news = client.bus().subscribe("news", SubscribeOptions::default()).await.unwrap();
    // Neither of the two is a majority: the group stands still until they hear each other.
    world.faults.partition(&[NodeId::new(1)], &[NodeId::new(2)]);
    let sends = (0..4_u8).map(|k| {
        let client = client.clone();
        actix::spawn(async move { client.multicast("g", vec![k; 60 << 10]).await })
    });
    let sends: Vec<_> = sends.collect();
    soon(async {
        let is_full = |it: &Wait| matches!(it, Wait::Window { submissions: 3, .. });
        while !client.status().await.unwrap().groups[0].waits.iter().any(is_full) {}
    })
    .await;
    soon(client.bus().publish("news", "a")).await.unwrap();
    assert_eq!(texts(&mut news, 1).await, ["a"]);
    world.faults.heal_all();
    for send in sends {
        soon(send).await.unwrap().unwrap();
    }
    let all = messages(&mut events, 4).await;
    let firsts: Vec<u8> = all.iter().map(|text| text.as_bytes()[0]).collect();
    assert_eq!(firsts, [0, 1, 2, 3], "in the order in which they were sent");
    client.close().await;
    world.stop().await;
}

#[actix::test]
async fn a_client_that_does_not_read_holds_back_no_publisher_on_subjects_that_are_not_bound() {
    let world = World::start(3, log()).await;
    founded(&world).await;
    let client = client(&world, 101, &[1]).await.unwrap();
    let bus = client.bus();
    let patient = SubscribeOptions::default().capacity(2);
    for pattern in ["news", ">", "*.app"] {
        let refused = soon(bus.subscribe(pattern, patient.clone().backpressure())).await;
        assert!(matches!(refused, Err(SubscribeError::CannotHoldBack(_))), "{pattern}: {refused:?}");
    }
    let _bound = soon(bus.subscribe("log.*", patient.clone().backpressure())).await.unwrap();
    let mut slow = soon(bus.subscribe("news", patient.buffered())).await.unwrap();
    for k in 0..1000 {
        soon(world.node(1).bus().publish("news", format!("{k}"))).await.unwrap();
    }
    let expected: Vec<String> = (0..1000).map(|k| format!("{k}")).collect();
    assert_eq!(texts(&mut slow, 1000).await, expected, "they have waited for it");
    client.close().await;
    world.stop().await;
}
