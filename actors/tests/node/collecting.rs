//! How many answers a request to a group collects.

use crate::common::{MANY, PATIENCE, World, soon};
use quorate::{
    Ended, Group, GroupEvent, GroupSettings, SendError,
    protocols::{Collect, Event},
};

/// Answers every request with its node's number.
async fn answering(group: &Group, node: u64) {
    let (group, mut events) = (group.clone(), group.events(MANY).await.unwrap());
    actix::spawn(async move {
        while let Some(event) = events.next().await {
            if let GroupEvent::Event(Event::Request { request, .. }) = event {
                group.answer(request, format!("{node}")).await.unwrap();
            }
        }
    });
}

#[actix::test]
async fn the_first_answer_or_those_of_a_majority_suffice_though_others_stay_silent() {
    let world = World::start(3, vec![GroupSettings::new("g", [1, 2, 3])]).await;
    let mut groups = Vec::new();
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    answering(&groups[2], 3).await;
    let first = soon(groups[0].request("who?", Collect::First, PATIENCE)).await.unwrap();
    assert_eq!((first.answers, first.ended), (vec![(world.node(3).member(), "3".into())], Ended::Enough));

    answering(&groups[1], 2).await;
    let most = soon(groups[0].request("who?", Collect::Majority, PATIENCE)).await.unwrap();
    let mut nodes: Vec<u64> = most.answers.iter().map(|(member, _)| member.node.get()).collect();
    nodes.sort_unstable();
    assert_eq!((nodes, most.ended), (vec![2, 3], Ended::Enough));
    world.stop().await;
}

#[actix::test]
async fn one_member_is_asked_alone_and_told_apart_from_one_that_is_silent_or_gone() {
    let mut world = World::start(3, vec![GroupSettings::new("g", [1, 2, 3])]).await;
    let mut groups = Vec::new();
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    answering(&groups[1], 2).await;
    let (second, third) = (world.node(2).member(), world.node(3).member());
    let mut others = groups[2].events(MANY).await.unwrap();
    let answer = soon(groups[0].request_to(second, "who?", PATIENCE)).await.unwrap();
    assert_eq!(answer, (Some("2".into()), Ended::Enough));
    let short = std::time::Duration::from_millis(20);
    let silent = soon(groups[0].request_to(third, "only you?", short)).await.unwrap();
    assert_eq!(silent, (None, Ended::TimedOut));
    loop {
        if let Some(GroupEvent::Event(Event::Request { payload, .. })) = soon(others.next()).await {
            assert_eq!(payload, "only you?", "what another one is asked goes there alone");
            break;
        }
    }
    let asking = groups[0].clone();
    let asked = actix::spawn(async move { asking.request_to(third, "still there?", PATIENCE).await });
    loop {
        if let Some(GroupEvent::Event(Event::Request { .. })) = soon(others.next()).await {
            break;
        }
    }
    world.kill(3).await;
    assert_eq!(soon(asked).await.unwrap().unwrap(), (None, Ended::Short), "it has left the view");
    let refused = soon(groups[0].request_to(third, "who?", PATIENCE)).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    world.stop().await;
}
