//! The bus of nodes over memory.

use std::{cell::Cell, pin::Pin, rc::Rc, time::Duration};

use crate::common::{PATIENCE, World, linked, soon, texts};
use actix::prelude::*;
use futures_util::{FutureExt, future::Either};
use quorate::{
    Bus, Delivery, GroupSettings, Missed, Node, PublishError, RequestError, SubscribeError, SubscribeOptions,
};
use serde::{Deserialize, Serialize};

#[actix::test]
async fn what_is_published_anywhere_after_a_subscription_stands_reaches_it() {
    let world = World::start(3, vec![]).await;
    linked(&world, &[1, 2, 3]).await;
    let mut here = world.node(1).bus().subscribe("news.*", SubscribeOptions::default()).await.unwrap();
    let mut all = world.node(2).bus().subscribe(">", SubscribeOptions::default()).await.unwrap();
    for node in 1..=3 {
        world.node(node).bus().publish("news.today", format!("{node}")).await.unwrap();
        world.node(node).bus().publish("weather", format!("{node}")).await.unwrap();
    }
    let mut got = texts(&mut here, 3).await;
    got.sort();
    assert_eq!(got, ["1", "2", "3"]);
    assert_eq!(texts(&mut all, 6).await.len(), 6);
    world.stop().await;
}

#[actix::test]
async fn a_request_is_answered_and_one_that_nobody_could_answer_fails_at_once() {
    let world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let asker = world.node(1).bus();
    let refused = soon(asker.request("double", "21", Duration::from_mins(1))).await;
    assert!(matches!(refused, Err(RequestError::NoResponders(_))), "{refused:?}");

    let replier = world.node(2).bus();
    let mut requests = replier.subscribe("double", SubscribeOptions::default()).await.unwrap();
    actix::spawn(async move {
        while let Some(request) = requests.next().await {
            let number: u64 = std::str::from_utf8(&request.payload).unwrap().parse().unwrap();
            replier.reply(&request, (number * 2).to_string()).await.unwrap();
        }
    });
    let answer = asker.request("double", "21", Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.payload, "42");
    let silent = world.node(2).bus().subscribe("silent", SubscribeOptions::default()).await.unwrap();
    let refused = asker.request("silent", "?", Duration::from_millis(50)).await;
    assert!(matches!(refused, Err(RequestError::TimedOut { .. })), "{refused:?}");
    drop(silent);
    world.stop().await;
}

#[actix::test]
async fn one_subscriber_of_a_queue_group_in_the_cluster_gets_each_message() {
    let world = World::start(3, vec![]).await;
    linked(&world, &[1, 2, 3]).await;
    let mut workers = Vec::new();
    for node in [1, 1, 2, 3] {
        let options = SubscribeOptions::default().queue("workers");
        workers.push(world.node(node).bus().subscribe("job", options).await.unwrap());
    }
    let bus = world.node(1).bus();
    for k in 0..120 {
        bus.publish("job", format!("{k:03}")).await.unwrap();
    }
    // What is not a job shows that no more jobs are to come.
    let mut all = Vec::new();
    while all.len() < 120 {
        let nexts = workers.iter_mut().map(|worker| Box::pin(worker.next()));
        let (delivery, ..) = soon(futures_util::future::select_all(nexts)).await;
        all.push(String::from_utf8(delivery.unwrap().payload.to_vec()).unwrap());
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 120, "nobody got what another one got");
    world.stop().await;
}

#[actix::test]
async fn bound_subjects_come_in_one_order_to_all_subscribers_at_members() {
    let world = World::start(3, vec![GroupSettings::new("log", [1, 2, 3]).bind("log.>")]).await;
    for node in 1..=3 {
        world.group(node, "log", &[1, 2, 3]).await;
    }
    let mut subscriptions = Vec::new();
    for node in 1..=3 {
        let options = SubscribeOptions::default().backpressure().capacity(8);
        subscriptions.push(world.node(node).bus().subscribe("log.*", options).await.unwrap());
    }
    let mut publishing = Vec::new();
    for k in 0..100 {
        for node in 1..=3 {
            let bus = world.node(node).bus();
            publishing.push(bus.begin("log.app", format!("{node}:{k}")).await.unwrap());
        }
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    let first = texts(&mut subscriptions[0], 300).await;
    for other in &mut subscriptions[1..] {
        assert_eq!(texts(other, 300).await, first);
    }
    world.stop().await;
}

#[actix::test]
async fn a_slow_subscriber_misses_with_a_count_or_holds_its_publisher_back_as_it_chose() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut skipping = bus.subscribe("x", SubscribeOptions::default().capacity(2)).await.unwrap();
    for k in 0..5 {
        bus.publish("x", format!("{k}")).await.unwrap();
    }
    assert_eq!(texts(&mut skipping, 2).await, ["0", "1"]);
    bus.publish("x", "5").await.unwrap();
    let next = soon(skipping.next()).await.unwrap();
    assert_eq!((next.payload, next.missed), ("5".into(), Some(Missed::Count(3))));

    let mut holding =
        bus.subscribe("y", SubscribeOptions::default().capacity(2).backpressure()).await.unwrap();
    let mut publishing = Vec::new();
    for k in 0..5 {
        publishing.push(bus.begin("y", format!("{k}")).await.unwrap());
    }
    let mut fourth = Box::pin(publishing.remove(3).acknowledged());
    let first = futures_util::future::select(&mut fourth, std::future::ready(()));
    assert!(matches!(first.await, Either::Right(_)), "there is no room for it yet");
    assert_eq!(texts(&mut holding, 5).await, ["0", "1", "2", "3", "4"]);
    soon(fourth).await.unwrap();
    node.stop().await;
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

struct Keeper(tokio::sync::mpsc::UnboundedSender<Reading>);

impl Actor for Keeper {
    type Context = Context<Self>;
}

impl Handler<Delivery> for Keeper {
    type Result = ();
    fn handle(&mut self, delivery: Delivery, _: &mut Self::Context) {
        self.0.send(delivery.decode().unwrap()).unwrap();
    }
}

#[actix::test]
async fn an_actor_subscribes_to_typed_messages() {
    let node = Node::alone("demo").await.unwrap();
    let (kept, mut readings) = tokio::sync::mpsc::unbounded_channel();
    let keeper = Keeper(kept).start();
    let options = SubscribeOptions::default();
    node.bus().subscribe_recipient("readings", options, keeper.recipient()).await.unwrap();
    let reading = Reading { sensor: "roof".into(), celsius: -3.5 };
    node.bus().publish_typed("readings", &reading).await.unwrap();
    assert_eq!(soon(readings.recv()).await, Some(reading));
    node.stop().await;
}

#[actix::test]
async fn the_longest_payload_passes_on_bound_and_unbound_subjects_and_one_byte_more_is_refused() {
    const LONGEST: usize = 64 << 20;
    let world = World::start(3, vec![GroupSettings::new("log", [1, 2, 3]).bind("log.>")]).await;
    for node in 1..=3 {
        world.group(node, "log", &[1, 2, 3]).await;
    }
    linked(&world, &[1, 2, 3]).await;
    let bus = world.node(1).bus();
    for subject in ["news", "log.app"] {
        let there = world.node(2).bus();
        let mut subscription = there.subscribe(subject, SubscribeOptions::default()).await.unwrap();
        let error = soon(bus.publish(subject, vec![0; LONGEST + 1])).await.unwrap_err();
        assert!(matches!(error, PublishError::TooLarge { limit: LONGEST, .. }), "{error}");
        soon(bus.publish(subject, vec![7; LONGEST])).await.unwrap();
        let delivery = soon(subscription.next()).await.unwrap();
        assert_eq!((delivery.payload.len(), delivery.missed), (LONGEST, None));
    }
    world.stop().await;
}

#[actix::test]
async fn a_queue_group_needs_a_name_that_all_nodes_can_keep() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    for name in ["", "two words", &"q".repeat(65)] {
        let refused = bus.subscribe("job", SubscribeOptions::default().queue(name)).await;
        assert!(matches!(&refused, Err(SubscribeError::Queue(queue)) if queue == name), "{refused:?}");
    }
    bus.subscribe("job", SubscribeOptions::default().queue("workers")).await.unwrap();
    node.stop().await;
}

#[actix::test]
async fn one_subscriber_of_a_queue_group_gets_each_message_on_a_bound_subject() {
    let world = World::start(3, vec![GroupSettings::new("log", [1, 2, 3]).bind("log.>")]).await;
    for node in 1..=3 {
        world.group(node, "log", &[1, 2, 3]).await;
    }
    linked(&world, &[1, 2, 3]).await;
    let (mut workers, mut plain) = (Vec::new(), Vec::new());
    for node in [1, 2] {
        let options = SubscribeOptions::default().queue("workers");
        workers.push(world.node(node).bus().subscribe("log.>", options).await.unwrap());
        plain.push(world.node(node).bus().subscribe("log.>", SubscribeOptions::default()).await.unwrap());
    }
    let mut expected = Vec::new();
    for k in 0..20 {
        expected.push(format!("{k:02}"));
        soon(world.node(3).bus().publish("log.app", expected[k].clone())).await.unwrap();
    }
    let (mut shared, mut by) = (Vec::new(), [0, 0]);
    while shared.len() < expected.len() {
        let nexts = workers.iter_mut().map(|worker| Box::pin(worker.next()));
        let (delivery, worker, _) = soon(futures_util::future::select_all(nexts)).await;
        by[worker] += 1;
        shared.push(String::from_utf8(delivery.unwrap().payload.to_vec()).unwrap());
    }
    shared.sort();
    assert_eq!(shared, expected);
    assert_eq!(by, [10, 10], "they take turns");
    for subscription in &mut plain {
        assert_eq!(texts(subscription, 20).await, expected, "who is in no queue group gets all of them");
    }
    world.stop().await;
}

#[actix::test]
async fn a_typed_request_is_answered_by_type_and_an_answer_of_another_type_is_told_from_none() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut questions = bus.subscribe("warmer", SubscribeOptions::default()).await.unwrap();
    let replier = bus.clone();
    actix::spawn(async move {
        while let Some(question) = questions.next().await {
            let Reading { sensor, celsius } = question.decode().unwrap();
            let warmer = Reading { sensor, celsius: celsius + 1.0 };
            replier.reply_typed(&question, &warmer).await.unwrap();
        }
    });
    let reading = Reading { sensor: "roof".into(), celsius: -3.5 };
    let answer: Reading = soon(bus.request_typed("warmer", &reading, PATIENCE)).await.unwrap();
    assert_eq!(answer, Reading { sensor: "roof".into(), celsius: -2.5 });
    let other = soon(bus.request_typed::<u64>("warmer", &reading, PATIENCE)).await;
    assert!(matches!(other, Err(RequestError::Unreadable { .. })), "{other:?}");
    node.stop().await;
}

#[actix::test]
async fn requests_that_nobody_answers_take_room_and_do_not_gather_without_bound() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    // Whoever subscribes here reads nothing, so what is asked waits in its queue and beyond it.
    let options = SubscribeOptions::default().backpressure().capacity(1);
    let silent = bus.subscribe("silent", options).await.unwrap();
    let short = Duration::from_millis(20);
    for _ in 0..8 {
        let refused = bus.request("silent", vec![0; 2 << 20], short).await;
        assert!(matches!(refused, Err(RequestError::TimedOut { .. })), "{refused:?}");
    }
    // One was taken and some wait; with them the room is full, for publications, too.
    let mut full = Box::pin(bus.publish("elsewhere", vec![0; 7 << 20]));
    let now = futures_util::future::select(&mut full, std::future::ready(()));
    assert!(matches!(now.await, Either::Right(_)), "there is no room for it");
    drop(silent);
    soon(full).await.unwrap();
    node.stop().await;
}

#[actix::test]
async fn a_subscriber_without_room_holds_back_publishers_on_other_nodes_and_nobody_else() {
    const MESSAGES: usize = 3000;
    let world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let options = SubscribeOptions::default().backpressure().capacity(4);
    let mut slow = world.node(2).bus().subscribe("slow.*", options.clone()).await.unwrap();
    let mut other = world.node(2).bus().subscribe("other", SubscribeOptions::default()).await.unwrap();
    let published = Rc::new(Cell::new(0));
    let (count, bus) = (Rc::clone(&published), world.node(1).bus());
    let publishing = actix::spawn(async move {
        for k in 0..MESSAGES {
            bus.publish("slow.a", k.to_string()).await.unwrap();
            count.set(k + 1);
        }
    });
    for k in 0..MESSAGES {
        // A publisher that does not wait is far ahead of a reader that gives way so often.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let delivery = soon(slow.next()).await.unwrap();
        assert_eq!((delivery.payload, delivery.missed), (k.to_string().into(), None));
        assert!(published.get() <= k + MESSAGES / 10, "{} are published, {k} are read", published.get());
        if k == MESSAGES / 2 {
            world.node(1).bus().publish("other", "passes").await.unwrap();
            assert_eq!(soon(other.next()).await.unwrap().payload, "passes");
        }
    }
    soon(publishing).await.unwrap();
    world.stop().await;
}

/// Publishes one message after the other, until one is not acknowledged for long. Returns its acknowledgement.
async fn held_back(bus: &Bus) -> Pin<Box<dyn Future<Output = Result<(), PublishError>>>> {
    'next: loop {
        let mut publishing = Box::pin(bus.begin("slow", "x").await.unwrap().acknowledged());
        for _ in 0..200 {
            if let Some(acknowledged) = (&mut publishing).now_or_never() {
                acknowledged.unwrap();
                continue 'next;
            }
            tokio::task::yield_now().await;
        }
        return publishing;
    }
}

#[actix::test]
async fn an_answer_waits_for_nobody_though_somebody_who_wants_everything_has_no_room() {
    let world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let replier = world.node(1).bus();
    let mut questions = replier.subscribe("ask", SubscribeOptions::default()).await.unwrap();
    let everything = SubscribeOptions::default().backpressure().capacity(1);
    let _all = world.node(2).bus().subscribe(">", everything).await.unwrap();
    let waits = soon(held_back(&replier)).await;
    let asker = world.node(2).bus();
    let asking = actix::spawn(async move { asker.request("ask", "21", PATIENCE).await });
    let question = soon(questions.next()).await.unwrap();
    soon(replier.reply(&question, "42")).await.unwrap();
    assert_eq!(soon(asking).await.unwrap().unwrap().payload, "42");
    assert!(waits.now_or_never().is_none(), "what is published waits all the while");
    world.stop().await;
}

#[actix::test]
async fn a_node_that_is_linked_later_hears_at_once_who_has_no_room() {
    let mut world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let options = SubscribeOptions::default().backpressure().capacity(1);
    let mut reader = world.node(2).bus().subscribe("slow", options).await.unwrap();
    let first = soon(held_back(&world.node(1).bus())).await;
    let third = world.add(3).await.bus();
    linked(&world, &[1, 2, 3]).await;
    let probe = || third.request("slow", "is it wanted?", Duration::from_millis(1));
    while let Err(RequestError::NoResponders(_)) = soon(probe()).await {}
    let mut publishing = Box::pin(third.begin("slow", "of the third").await.unwrap().acknowledged());
    for _ in 0..200 {
        assert!((&mut publishing).now_or_never().is_none(), "its very first message waits");
        tokio::task::yield_now().await;
    }
    while soon(reader.next()).await.unwrap().payload != "of the third" {}
    soon(first).await.unwrap();
    soon(publishing).await.unwrap();
    world.stop().await;
}

#[actix::test]
async fn a_subscriber_that_held_publishers_back_lets_them_go_when_it_ends_or_its_node_does() {
    let mut world = World::start(3, vec![]).await;
    linked(&world, &[1, 2, 3]).await;
    let options = SubscribeOptions::default().backpressure().capacity(1);
    for ends_by in ["itself", "its node"] {
        let reader = world.node(2).bus().subscribe("slow", options.clone()).await.unwrap();
        let bus = world.node(1).bus();
        let waits = soon(held_back(&bus)).await;
        match ends_by {
            "itself" => drop(reader),
            _ => world.kill(2).await,
        }
        soon(waits).await.unwrap();
    }
    world.stop().await;
}
