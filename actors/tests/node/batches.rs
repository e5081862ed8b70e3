//! Messages that are handed to a group together.

use bytes::Bytes;
use futures_util::future::join_all;
use quorate::{Behind, EventOptions, Group, GroupEvent, GroupSettings, SendError, StateOptions};

use crate::common::{World, in_view, messages, soon};

/// So many texts, with some long ones among them, so that they do not fit into one frame.
fn texts(name: &str, count: usize) -> Vec<String> {
    let pad = |number: usize| if number.is_multiple_of(500) { "-".repeat(100_000) } else { String::new() };
    (0..count).map(|number| format!("{name}{number}{}", pad(number))).collect()
}

async fn world(group: GroupSettings) -> (World, Vec<Group>) {
    let world = World::start(3, vec![group]).await;
    let mut groups = Vec::new();
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    (world, groups)
}

#[actix::test]
async fn what_is_sent_together_comes_whole_and_in_its_order_to_all_members() {
    let (world, groups) = world(GroupSettings::new("g", [1, 2, 3])).await;
    let mut readers = join_all(groups.iter().map(|group| group.events(EventOptions::default()))).await;
    let sending = groups.iter().zip(["a", "b", "c"]).map(async |(group, name)| {
        let sent = group.send_all(texts(name, 2000)).await.unwrap();
        sent.uniform().await.unwrap();
        sent.everywhere().await.unwrap();
    });
    soon(join_all(sending)).await;
    let first = messages(readers[0].as_mut().unwrap(), 6000).await;
    for name in ["a", "b", "c"] {
        let of = first.iter().filter(|text| text.starts_with(name));
        assert!(of.eq(&texts(name, 2000)));
    }
    for reader in &mut readers[1..] {
        assert!(messages(reader.as_mut().unwrap(), 6000).await == first, "all have the same sequence");
    }
    world.stop().await;
}

#[actix::test]
async fn a_batch_ends_before_a_message_that_is_too_long_and_an_empty_one_is_done() {
    let mut world = World::start(0, Vec::new()).await;
    world.payload_bytes_max = Some(1 << 10);
    let mut groups = Vec::new();
    for node in 1..=2 {
        world.add_with(node, vec![GroupSettings::new("g", [1, 2])]).await;
    }
    for node in 1..=2 {
        groups.push(world.group(node, "g", &[1, 2]).await);
    }
    let mut events = groups[1].events(EventOptions::default()).await.unwrap();
    let long = [b"before".to_vec(), vec![0; 2000], b"after".to_vec()];
    let refused = soon(groups[0].send_all(long)).await.unwrap_err();
    assert_eq!((refused.taken, refused.why), (1, SendError::TooLarge { bytes: 2000, limit: 1024 }));
    soon(refused.sent.everywhere()).await.unwrap();
    let none = soon(groups[0].send_all(Vec::<Bytes>::new())).await.unwrap();
    none.everywhere().await.unwrap();
    soon(groups[0].send_all(["one", "two"])).await.unwrap();
    assert_eq!(
        messages(&mut events, 3).await,
        ["before", "one", "two"],
        "what follows the long one is not sent"
    );
    world.stop().await;
}

#[actix::test]
async fn a_reader_with_little_room_gets_the_first_of_a_batch_and_is_told_how_many_it_missed() {
    let (world, groups) = world(GroupSettings::new("g", [1, 2, 3])).await;
    for behind in [Behind::Skip, Behind::End] {
        let options = EventOptions { capacity: 10, behind, ..EventOptions::default() };
        let mut slow = groups[0].events(options).await.unwrap();
        let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        soon(soon(groups[0].send_all(all.clone())).await.unwrap().everywhere()).await.unwrap();
        assert_eq!(messages(&mut slow, 10).await, all[..10]);
        match behind {
            Behind::Skip => assert_eq!(soon(slow.next()).await, Some(GroupEvent::Missed(90))),
            _ => assert_eq!(soon(slow.next()).await, None),
        }
    }
    world.stop().await;
}

#[actix::test]
async fn those_who_follow_a_group_and_those_who_keep_its_state_get_each_message() {
    let (world, groups) = world(GroupSettings::new("g", [1, 2, 3]).history(1 << 20)).await;
    let mut follower = world.node(2).bus().follow("g", None).await.unwrap();
    let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    soon(groups[0].send_all(all.clone())).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 100 {
        let followed = soon(follower.next()).await.expect("it goes on");
        if let quorate::Happened::Message { payload, .. } = followed.what {
            got.push(String::from_utf8(payload.to_vec()).unwrap());
        }
    }
    assert_eq!(got, all);
    let settings = GroupSettings::new("kept", [1]).with_state();
    let (kept, mut events) = world.node(1).join_with_state(settings, StateOptions::default()).await.unwrap();
    in_view(&kept, &[1]).await;
    soon(kept.send_all(all.clone())).await.unwrap();
    assert_eq!(messages(&mut events, 100).await, all);
    world.stop().await;
}
