//! Publishers on threads of their own, whose messages go past the bus actor where they can.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use quorate::{
    Bus, Delivery, Missed, Node, SubscribeOptions, Subscription, membership::NodeId, transport::faults::Rule,
};
use tokio::time::timeout;

use crate::common::{PATIENCE, World, linked, soon};

/// Publishers that number their messages.
struct Publishers {
    begun: Arc<Vec<AtomicU64>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const PUBLISHERS: u64 = 3;
/// Messages that a publisher begins at once, in the order of their numbers.
const AT_ONCE: u64 = 4;

impl Publishers {
    /// Each has a handle of its own, and publishes on two subjects in turns.
    fn start(bus: &Bus, prefix: &'static str) -> Self {
        let begun: Arc<Vec<AtomicU64>> = Arc::new((0..PUBLISHERS).map(|_| AtomicU64::new(0)).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..PUBLISHERS).map(|me| {
            let (bus, begun, stop) = (bus.clone(), Arc::clone(&begun), Arc::clone(&stop));
            on_a_thread(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    begun[me as usize].store(number + AT_ONCE, Ordering::SeqCst);
                    let calls = (1..=AT_ONCE).map(|nth| {
                        let subject = format!("{prefix}.{}", if nth % 2 == 1 { "x" } else { "y" });
                        let (bus, text) = (&bus, format!("{me} {}", number + nth));
                        async move { bus.publish(subject.as_str(), text).await }
                    });
                    join_all(calls).await.into_iter().for_each(Result::unwrap);
                    number += AT_ONCE;
                }
            })
        });
        let threads = threads.collect();
        Self { begun, stop, threads }
    }

    /// The last number that each has begun with.
    fn begun(&self) -> Vec<u64> {
        self.begun.iter().map(|number| number.load(Ordering::SeqCst)).collect()
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        joined(self.threads).await;
    }
}

fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    })
}

/// Waits for threads while this one goes on.
async fn joined(threads: Vec<JoinHandle<()>>) {
    let all = move || threads.into_iter().for_each(|thread| thread.join().unwrap());
    tokio::task::spawn_blocking(all).await.unwrap();
}

fn read(delivery: &Delivery) -> (u64, u64) {
    let text = std::str::from_utf8(&delivery.payload).unwrap();
    let (who, number) = text.split_once(' ').unwrap();
    (who.parse().unwrap(), number.parse().unwrap())
}

/// Reads so many messages of each publisher: all that was begun after these numbers, in its order.
async fn reads_on(subscription: &mut Subscription, begun: &[u64], count: u64) {
    let mut seen: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    while seen.len() < begun.len() || seen.values().any(|(first, last)| last - first < count) {
        let delivery = soon(subscription.next()).await.expect("the subscription goes on");
        assert_eq!(delivery.missed, None);
        let (who, number) = read(&delivery);
        let (first, last) = seen.entry(who).or_insert((number, number - 1));
        assert!(*first <= begun[who as usize] + 1, "it came before {first}, at {begun:?}");
        assert_eq!(number, *last + 1, "of publisher {who}");
        *last = number;
    }
}

/// Subscribers come and go, read fast or slowly, and for a while messages of one subject have to take the
/// way through the actor.
async fn order_is_kept_and_nothing_is_missed(prefix: &'static str, publish_on: &Bus, bus: &Bus) {
    let publishers = Publishers::start(publish_on, prefix);
    let all = format!("{prefix}.>");
    for round in 0..60 {
        let options = if round % 2 == 0 {
            SubscribeOptions::default().backpressure()
        } else {
            SubscribeOptions::default().buffered()
        };
        let options = options.capacity(1 << (round % 5));
        let shares = SubscribeOptions::default().queue("some");
        let queue = match round % 3 {
            0 => None,
            _ => Some(bus.subscribe(&format!("{prefix}.x"), shares).await.unwrap()),
        };
        let mut subscription = bus.subscribe(&all, options).await.unwrap();
        let begun = publishers.begun();
        reads_on(&mut subscription, &begun, 40).await;
        drop(queue);
        reads_on(&mut subscription, &[u64::MAX - 1; PUBLISHERS as usize], 40).await;
    }
    publishers.stop().await;
}

#[actix::test]
async fn a_subscriber_gets_all_that_is_published_once_it_stands_in_each_publishers_order() {
    let node = Node::alone("demo").await.unwrap();
    order_is_kept_and_nothing_is_missed("free", &node.bus(), &node.bus()).await;
    node.stop().await;
}

#[actix::test]
async fn so_does_one_of_subjects_that_are_bound_to_a_group() {
    let node = Node::alone("demo").await.unwrap();
    order_is_kept_and_nothing_is_missed("local", &node.bus(), &node.bus()).await;
    node.stop().await;
}

#[actix::test]
async fn so_does_one_at_another_node() {
    let world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    order_is_kept_and_nothing_is_missed("free", &world.node(1).bus(), &world.node(2).bus()).await;
    world.stop().await;
}

#[actix::test]
async fn what_is_begun_at_once_for_another_node_arrives_in_the_order_of_the_calls() {
    const MESSAGES: usize = 30_000;
    let world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let options = SubscribeOptions::default().buffered();
    let mut reader = world.node(2).bus().subscribe("a", options).await.unwrap();
    let bus = world.node(1).bus();
    bus.publish("a", "first").await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().payload, "first");
    // More than may wait for the actor: some wait for room, in which others would fit.
    let calls = (0..MESSAGES).map(|number| bus.begin("a", number.to_string()));
    let begun = join_all(calls).await;
    for number in 0..MESSAGES {
        assert_eq!(soon(reader.next()).await.unwrap().payload, number.to_string());
    }
    for publishing in begun {
        publishing.unwrap().acknowledged().await.unwrap();
    }
    world.stop().await;
}

/// Two publishers on other threads that leave what they publish for the actor, as fast as they can.
#[actix::test]
async fn publishers_that_keep_the_bus_busy_leave_turns_to_all_others_on_its_thread() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let shares = SubscribeOptions::default().queue("some");
    let _queue = bus.subscribe("a", shares).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let threads = (0..2).map(|_| {
        let (bus, stop) = (node.bus(), Arc::clone(&stop));
        on_a_thread(async move {
            while !stop.load(Ordering::Relaxed) {
                bus.begin("a", "x").await.unwrap();
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    for _ in 0..20 {
        soon(tokio::task::yield_now()).await;
        soon(node.status()).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    joined(threads).await;
    node.stop().await;
}

#[actix::test]
async fn what_was_acknowledged_before_a_node_stops_arrives_and_nothing_is_after_it_has() {
    let mut world = World::start(2, vec![]).await;
    linked(&world, &[1, 2]).await;
    let mut reader =
        world.node(2).bus().subscribe("a", SubscribeOptions::default().buffered()).await.unwrap();
    let node = world.nodes.remove(&1).unwrap();
    let (bus, count) = (node.bus(), Arc::new(AtomicU64::new(0)));
    bus.publish("a", "0 0").await.unwrap();
    let acknowledged = Arc::clone(&count);
    let publisher = on_a_thread(async move {
        for number in 1.. {
            if bus.publish("a", format!("0 {number}")).await.is_err() {
                break;
            }
            acknowledged.store(number, Ordering::SeqCst);
        }
    });
    while count.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    node.stop().await;
    assert!(node.bus().publish("a", "late").await.is_err());
    joined(vec![publisher]).await;
    for number in 0..=count.load(Ordering::SeqCst) {
        assert_eq!(read(&soon(reader.next()).await.unwrap()), (0, number));
    }
    world.stop().await;
}

#[actix::test]
async fn whoever_publishes_for_a_node_that_takes_little_waits_and_nobody_else_does() {
    const MESSAGE_BYTES: usize = 64 << 10;
    let world = World::start(3, vec![]).await;
    linked(&world, &[1, 2, 3]).await;
    let mut readers = Vec::new();
    for node in [2, 3] {
        let bus = world.node(node).bus();
        let subscribed = bus.subscribe(&format!("to.{node}"), SubscribeOptions::default().buffered()).await;
        readers.push(subscribed.unwrap());
    }
    let (near, far) = (Some(NodeId::new(1)), Some(NodeId::new(2)));
    world.faults.set(near, far, Rule { bytes_per_s: NonZeroU64::new(1 << 20), ..Rule::default() });
    let (bus, payload) = (world.node(1).bus(), Bytes::from(vec![0; MESSAGE_BYTES]));
    bus.publish("to.2", payload.clone()).await.unwrap();
    let mut sent = 1;
    let mut waits = loop {
        let mut begun = Box::pin(bus.begin("to.2", payload.clone()));
        if poll_once(begun.as_mut()).is_pending() {
            // The actor gets a turn to take what waits for it.
            if soon(timeout(Duration::from_millis(200), begun.as_mut())).await.is_err() {
                break begun;
            }
        }
        sent += 1;
        assert!(sent * MESSAGE_BYTES < 32 << 20, "nobody waits");
    };
    let clone = bus.clone();
    clone.publish("to.3", "passes").await.unwrap();
    assert_eq!(soon(readers[1].next()).await.unwrap().payload, "passes");
    assert!(poll_once(waits.as_mut()).is_pending());
    world.faults.set(near, far, Rule::default());
    soon(waits).await.unwrap();
    for _ in 0..=sent {
        let delivery = soon(readers[0].next()).await.unwrap();
        assert_eq!((delivery.payload.len(), delivery.missed), (MESSAGE_BYTES, None));
    }
    world.stop().await;
}

#[actix::test]
async fn what_a_subscriber_has_no_room_for_is_counted_where_it_is_missing() {
    const EACH: u64 = 5_000;
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut subscription = bus.subscribe("a", SubscribeOptions::default().capacity(16)).await.unwrap();
    let threads = (0..2).map(|me| {
        let bus = bus.clone();
        on_a_thread(async move {
            for number in 1..=EACH {
                bus.publish("a", format!("{me} {number}")).await.unwrap();
            }
        })
    });
    let mut published = pin!(joined(threads.collect()));
    let (mut seen, mut count) = (BTreeMap::new(), 0);
    let mut take = |delivery: &Delivery| {
        if let Some(Missed::Count(missed)) = delivery.missed {
            count += missed;
        }
        count += 1;
        let (who, number) = read(delivery);
        assert!(seen.insert(who, number).is_none_or(|last| last < number), "publisher {who} at {number}");
        count
    };
    loop {
        tokio::select! {
            biased;
            () = &mut published => break,
            delivery = subscription.next() => take(&delivery.unwrap()),
        };
    }
    while let Some(delivery) = subscription.next().now_or_never() {
        take(&delivery.unwrap());
    }
    bus.publish("a", "2 1").await.unwrap();
    assert_eq!(take(&soon(subscription.next()).await.unwrap()), 2 * EACH + 1);
    node.stop().await;
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The actors run on this thread, so none of them does anything between two lines that do not wait.
#[actix::test]
async fn what_waits_for_the_actor_is_not_overtaken_by_what_needs_no_actor() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut all = bus.subscribe("a.*", SubscribeOptions::default()).await.unwrap();
    let _queue = bus.subscribe("a.slow", SubscribeOptions::default().queue("some")).await.unwrap();
    bus.publish("a.fast", "1").await.unwrap();
    assert_eq!(poll_once(bus.publish("a.fast", "2")), Poll::Ready(Ok(())), "it needs no actor");
    let mut third = pin!(bus.publish("a.slow", "3"));
    let mut fourth = pin!(bus.publish("a.fast", "4"));
    let mut fifth = pin!(bus.request("a.fast", "5", PATIENCE));
    assert!(poll_once(third.as_mut()).is_pending());
    assert!(poll_once(fourth.as_mut()).is_pending());
    assert!(poll_once(fifth.as_mut()).is_pending());
    bus.publish("a.fast", "6").await.unwrap();
    assert_eq!(third.await, Ok(()));
    assert_eq!(poll_once(bus.publish("a.fast", "7")), Poll::Ready(Ok(())), "nothing waits any more");
    for number in ["1", "2", "3", "4", "5", "6", "7"] {
        assert_eq!(soon(all.next()).await.unwrap().payload, number);
    }
    node.stop().await;
}

#[actix::test]
async fn a_publisher_waits_for_a_subscriber_that_holds_it_back_and_for_nobody_else() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let holds = SubscribeOptions::default().capacity(1).backpressure();
    let mut slow = bus.subscribe("a", holds).await.unwrap();
    let mut fast = bus.subscribe("a", SubscribeOptions::default()).await.unwrap();
    bus.publish("a", "1").await.unwrap();
    let second = bus.begin("a", "2").await.unwrap();
    let mut second = pin!(second.acknowledged());
    assert_eq!(poll_once(second.as_mut()), Poll::Pending);
    for number in ["1", "2"] {
        assert_eq!(soon(fast.next()).await.unwrap().payload, number);
    }
    assert_eq!(poll_once(second.as_mut()), Poll::Pending);
    assert_eq!(soon(slow.next()).await.unwrap().payload, "1");
    soon(second).await.unwrap();
    assert_eq!(soon(slow.next()).await.unwrap().payload, "2");
    node.stop().await;
}

/// Again, no actor does anything between two lines that do not wait.
#[actix::test]
async fn what_waits_for_room_comes_first_though_there_is_room_again() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut slow = bus.subscribe("a", SubscribeOptions::default().capacity(1).buffered()).await.unwrap();
    for number in ["1", "2"] {
        bus.publish("a", number).await.unwrap();
    }
    assert_eq!(soon(slow.next()).await.unwrap().payload, "1");
    let mut third = pin!(bus.publish("a", "3"));
    assert!(poll_once(third.as_mut()).is_pending());
    assert_eq!(soon(slow.next()).await.unwrap().payload, "2");
    assert_eq!(soon(slow.next()).await.unwrap().payload, "3");
    node.stop().await;
}

#[actix::test]
async fn a_subscription_ends_with_its_node_though_publishers_know_of_it() {
    let node = Node::alone("demo").await.unwrap();
    let bus = node.bus();
    let mut subscription = bus.subscribe("a", SubscribeOptions::default()).await.unwrap();
    bus.publish("a", "1").await.unwrap();
    assert_eq!(poll_once(bus.publish("a", "2")), Poll::Ready(Ok(())), "it needs no actor");
    node.abort().await;
    let mut count = 0;
    while soon(subscription.next()).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 2);
    assert!(bus.publish("a", "3").await.is_err());
}
