//! Groups of nodes over a network that is cut, heals and breaks.

use std::time::Duration;

use crate::common::{MANY, World, in_view, messages, soon};
use quorate::{
    Group, GroupEvent, GroupEvents, GroupSettings, Happened, RoundTripError, SubscribeOptions, Subscription,
    membership::{Change, NodeId},
    protocols::{Event, WedgeReason},
};

const fn n(node: u64) -> NodeId {
    NodeId::new(node)
}

/// Three nodes in one group, and what each of them reads.
async fn three() -> (World, Vec<Group>, Vec<GroupEvents>) {
    let world = World::start(3, vec![GroupSettings::new("g", [1, 2, 3])]).await;
    let (mut groups, mut readers) = (Vec::new(), Vec::new());
    for node in 1..=3 {
        let group = world.group(node, "g", &[1, 2, 3]).await;
        readers.push(group.events(MANY).await.unwrap());
        groups.push(group);
    }
    (world, groups, readers)
}

/// What comes until something that is looked for, inclusive.
async fn until(events: &mut GroupEvents, is: impl Fn(&Event) -> bool) -> Event {
    loop {
        match soon(events.next()).await {
            Some(GroupEvent::Event(event)) if is(&event) => return event,
            Some(_) => {}
            None => panic!("the group ended"),
        }
    }
}

/// All messages until this one, which the group has to deliver.
async fn messages_until(events: &mut GroupEvents, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().is_none_or(|text| text != last) {
        all.append(&mut messages(events, 1).await);
    }
    all
}

async fn removals(group: &Group) -> usize {
    let views = group.history().await.unwrap();
    let changes = views.iter().flat_map(|record| &record.view.changes);
    changes.filter(|(_, change)| *change == Change::Unreachable).count()
}

#[actix::test]
async fn a_member_that_is_cut_off_stands_still_and_is_told_why_it_was_removed_when_the_cut_heals() {
    let (world, groups, mut readers) = three().await;
    world.faults.partition(&[n(3)], &[n(1), n(2)]);
    until(&mut readers[2], |event| *event == Event::Wedged(WedgeReason::NoMajority)).await;
    in_view(&groups[0], &[1, 2]).await;
    soon(groups[1].multicast("meanwhile")).await.unwrap();
    world.faults.heal_all();
    let removed = until(&mut readers[2], |event| matches!(event, Event::Removed { .. })).await;
    assert!(matches!(removed, Event::Removed { reason: Some(Change::Unreachable), .. }), "{removed:?}");
    in_view(&groups[2], &[1, 2, 3]).await;
    soon(groups[2].multicast("back")).await.unwrap();
    assert_eq!(messages_until(&mut readers[0], "back").await, ["meanwhile", "back"]);
    assert_eq!(messages_until(&mut readers[2], "back").await, ["back"]);
    world.stop().await;
}

#[actix::test]
async fn a_one_way_cut_between_two_members_costs_at_most_one_of_them_and_stops_nobody_else() {
    let (world, groups, mut readers) = three().await;
    world.faults.cut_one_way(Some(n(1)), Some(n(3)));
    // Until it is noticed; nobody is told of that as an event.
    let mut look = tokio::time::interval(Duration::from_millis(5));
    soon(async {
        while groups[0].waits().await.unwrap().is_empty() && removals(&groups[1]).await == 0 {
            look.tick().await;
        }
    })
    .await;
    let mut last = String::new();
    for k in 0..5 {
        last = format!("{k}");
        soon(groups[1].multicast(last.clone())).await.unwrap();
    }
    assert!(removals(&groups[1]).await <= 1);
    world.faults.heal_all();
    in_view(&groups[1], &[1, 2, 3]).await;
    let all = messages_until(&mut readers[1], &last).await;
    assert_eq!(all, ["0", "1", "2", "3", "4"]);
    for group in &groups {
        soon(group.multicast(format!("by {}", group.name()))).await.unwrap();
    }
    world.stop().await;
}

#[actix::test]
async fn a_member_that_hears_and_is_not_heard_is_removed_and_promises_nothing() {
    let (world, groups, mut readers) = three().await;
    world.faults.cut_one_way(Some(n(3)), None);
    let mute = groups[2].send("mute").await.unwrap();
    in_view(&groups[0], &[1, 2]).await;
    soon(groups[0].multicast("meanwhile")).await.unwrap();
    world.faults.heal_all();
    let outcome = soon(mute.uniform()).await;
    in_view(&groups[0], &[1, 2, 3]).await;
    soon(groups[0].multicast("end")).await.unwrap();
    let all = messages_until(&mut readers[0], "end").await;
    assert_eq!(messages_until(&mut readers[1], "end").await, all);
    let times = all.iter().filter(|text| *text == "mute").count();
    match outcome {
        Ok(()) => assert_eq!(times, 1, "{all:?}"),
        Err(error) if !error.may_have_happened() => assert_eq!(times, 0, "{error}: {all:?}"),
        Err(_) => assert!(times <= 1, "{all:?}"),
    }
    world.stop().await;
}

/// The next so many messages of a subscription, none of which may be missed.
async fn published(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let delivery = soon(subscription.next()).await.expect("it goes on");
        assert_eq!(delivery.missed, None, "after {all:?}");
        all.push(String::from_utf8(delivery.payload.to_vec()).unwrap());
    }
    all
}

#[actix::test]
async fn readers_at_a_node_that_was_put_out_and_came_back_miss_nothing_and_go_on_there() {
    let world = World::start(3, vec![GroupSettings::new("g", [1, 2, 3]).bind("a.>")]).await;
    let group = world.group(3, "g", &[1, 2, 3]).await;
    let (here, other) = (world.node(3).bus(), world.node(1).bus());
    let mut reader = here.subscribe("a.>", SubscribeOptions::default().buffered()).await.unwrap();
    let mut idle = here.subscribe("a.>", SubscribeOptions::default().buffered()).await.unwrap();
    let mut follower = here.follow("g", None).await.unwrap();
    soon(other.publish("a.b", "0")).await.unwrap();
    assert_eq!(published(&mut reader, 1).await, ["0"]);
    let mut expected = vec!["0".to_owned()];
    for round in 0..2 {
        world.faults.partition(&[n(3)], &[n(1), n(2)]);
        in_view(&world.node(1).group("g").await.unwrap(), &[1, 2]).await;
        for k in 0..3 {
            expected.push(format!("{round} without, {k}"));
            soon(other.publish("a.b", expected.last().unwrap().clone())).await.unwrap();
        }
        world.faults.heal_all();
        in_view(&group, &[1, 2, 3]).await;
        expected.push(format!("{round} with"));
        soon(here.publish("a.b", expected.last().unwrap().clone())).await.unwrap();
        assert_eq!(published(&mut reader, 4).await, expected[expected.len() - 4..]);
    }
    // One that never read has it all, too, and so has one that follows the group with its views.
    assert_eq!(published(&mut idle, expected.len()).await, expected);
    let (mut messages, mut views) = (Vec::new(), Vec::new());
    while messages.len() < expected.len() {
        let event = soon(follower.next()).await.unwrap();
        assert_eq!(event.missed, None, "after {messages:?}");
        match event.what {
            Happened::Message { payload, .. } => {
                messages.push(String::from_utf8(payload.to_vec()).unwrap());
            }
            Happened::View(view) => views.push(view.id.epoch),
            _ => {}
        }
    }
    assert_eq!(messages, expected);
    assert!(views.is_sorted() && views.last() == Some(&5), "{views:?}");
    world.stop().await;
}

#[actix::test]
async fn links_that_break_again_and_again_lose_and_double_nothing() {
    let (world, groups, mut readers) = three().await;
    let mut sent = Vec::new();
    for k in 0..60_usize {
        let (a, b) = [(1, 2), (2, 3), (3, 1)][k % 3];
        sent.push(groups[k % 3].send(format!("{k}")).await.unwrap());
        if k % 6 == 0 {
            world.faults.break_links(n(a), n(b));
        }
        if k % 20 == 0 {
            soon(sent[k].uniform()).await.unwrap();
        }
    }
    for message in &sent {
        soon(message.everywhere()).await.unwrap();
    }
    let mut all = messages(&mut readers[0], 60).await;
    for reader in &mut readers[1..] {
        assert_eq!(messages(reader, 60).await, all);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 60);
    world.stop().await;
}

#[actix::test]
async fn a_heartbeat_comes_back_from_a_peer_but_not_from_one_that_is_cut_off_or_unknown() {
    let world = World::start(2, vec![GroupSettings::new("g", [1, 2])]).await;
    world.group(1, "g", &[1, 2]).await;
    let (node, peer, stranger) = (world.node(1).clone(), n(2), n(9));
    let took = soon(node.round_trip(peer)).await.expect("an answer");
    assert!(took > Duration::ZERO);
    assert_eq!(soon(node.round_trip(stranger)).await, Err(RoundTripError::NoAnswer(stranger)));
    world.faults.cut(Some(n(1)), Some(peer));
    assert_eq!(soon(node.round_trip(peer)).await, Err(RoundTripError::NoAnswer(peer)));
    world.stop().await;
    assert_eq!(soon(node.round_trip(peer)).await, Err(RoundTripError::Stopped));
}
