//! How many answers a request to a group collects.

mod common;

use common::{MANY, World, soon};
use quorate::{Ended, Group, GroupEvent, GroupSettings, protocols::Collect, protocols::Event};

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
    let first = soon(groups[0].request("who?", Collect::First, common::PATIENCE)).await.unwrap();
    assert_eq!((first.answers, first.ended), (vec![(world.node(3).member(), "3".into())], Ended::Enough));

    answering(&groups[1], 2).await;
    let most = soon(groups[0].request("who?", Collect::Majority, common::PATIENCE)).await.unwrap();
    let mut nodes: Vec<u64> = most.answers.iter().map(|(member, _)| member.node.get()).collect();
    nodes.sort_unstable();
    assert_eq!((nodes, most.ended), (vec![2, 3], Ended::Enough));
    world.stop().await;
}
