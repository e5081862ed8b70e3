//! Nodes whose process stands still, and nodes that only could seem to.

use std::{sync::mpsc, thread, time::Duration};

use crate::common::{MANY, PATIENCE, World, in_view, soon};
use actix::Arbiter;
use quorate::{
    GroupEvent, GroupSettings,
    protocols::{Event, WedgeReason},
};

/// More than half of the detection time of these nodes, and less than all of it.
const STALL: Duration = Duration::from_millis(220);
const MESSAGES: usize = 20;

#[actix::test]
async fn what_queued_up_during_a_stall_reaches_a_group_after_the_news_of_it() {
    let settings = || vec![GroupSettings::new("g", [1, 2, 3])];
    let elsewhere = Arbiter::new();
    let (founded, wait_founded) = tokio::sync::oneshot::channel();
    let (stalls, wait_stall) = tokio::sync::oneshot::channel::<()>();
    let (sent, wait_sent) = mpsc::channel();
    let (over, wait_over) = tokio::sync::oneshot::channel::<()>();
    let mut here = World::start(0, settings()).await;
    let mut there = here.beside();
    elsewhere.spawn_fn(move || {
        actix::spawn(async move {
            there.add(1).await;
            there.add(2).await;
            let group = there.group(1, "g", &[1, 2, 3]).await;
            founded.send(()).expect("the test waits");
            wait_stall.await.expect("the test goes on");
            for number in 0..MESSAGES {
                group.multicast(format!("late {number}")).await.expect("a majority is here");
            }
            sent.send(()).expect("the test waits");
            wait_over.await.expect("the test goes on");
            there.stop().await;
        });
    });
    here.add(3).await;
    let group = here.group(3, "g", &[1, 2, 3]).await;
    soon(wait_founded).await.expect("the others are there");
    let mut events = group.events(MANY).await.unwrap();
    stalls.send(()).expect("the others wait");
    // From here on nothing of this node goes on: what is sent to it has to wait.
    wait_sent.recv_timeout(PATIENCE).expect("the others do not need this node");
    thread::sleep(STALL);
    let mut stalled = false;
    let mut late = 0;
    while late < MESSAGES {
        match soon(events.next()).await.expect("the group goes on") {
            GroupEvent::Event(Event::Wedged(WedgeReason::Stalled)) => stalled = true,
            GroupEvent::Event(Event::Message { payload, .. }) => {
                assert!(stalled, "{payload:?} was taken in before the news of the stall");
                late += 1;
            }
            GroupEvent::Event(Event::Removed { .. }) => break, // and so got nothing late
            _ => {}
        }
    }
    assert!(stalled, "nobody noticed the stall");
    over.send(()).expect("the others wait");
    here.stop().await;
    elsewhere.stop();
}

#[actix::test]
async fn a_node_that_has_nobody_left_to_watch_is_not_told_that_it_stood_still() {
    let mut world = World::start(1, vec![GroupSettings::new("solo", [1])]).await;
    let group = world.group(1, "solo", &[1]).await;
    let second = world.add_outside(2).await;
    let peers = async || world.node(1).status().await.unwrap().peers;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    soon(async {
        while !peers().await.iter().any(|peer| peer.reachable && peer.in_cluster) {
            look.tick().await;
        }
    })
    .await;
    soon(second.stop()).await;
    soon(async {
        while !peers().await.is_empty() {
            look.tick().await;
        }
    })
    .await;
    // The timer that was set for the other node comes once more; after that there is none.
    tokio::time::sleep(STALL).await;
    group.multicast("a").await.unwrap();
    let mut events = group.events(MANY).await.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(STALL).await;
        group.multicast("b").await.unwrap();
    }
    for _ in 0..5 {
        let event = soon(events.next()).await;
        assert!(matches!(event, Some(GroupEvent::Event(Event::Message { .. }))), "{event:?}");
    }
    in_view(&group, &[1]).await;
    world.stop().await;
}
