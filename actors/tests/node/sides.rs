//! A partitionable group over links that are cut and healed.

use crate::common::{World, addr, in_view, messages, soon};
use quorate::{
    EventOptions, GroupEvent, GroupEvents, GroupSettings, NodeConfig, NodeSettings, SettingsError,
    membership::NodeId, protocols::Event,
};

/// Reads on until two sides have merged: what was delivered, and the nodes of the sides.
async fn until_merged(events: &mut GroupEvents) -> (Vec<String>, Vec<Vec<u64>>) {
    let (mut texts, mut come_along) = (Vec::new(), None);
    loop {
        match soon(events.next()).await.expect("events go on") {
            GroupEvent::Event(Event::Message { payload, .. }) => {
                texts.push(String::from_utf8(payload.to_vec()).unwrap());
            }
            GroupEvent::Event(Event::Transitional { members, .. }) => come_along = Some(members),
            GroupEvent::Event(Event::Merged { sides }) => {
                let with = come_along.expect("who comes along is told first");
                assert!(sides.iter().any(|side| side.members == with), "{sides:?}, told {with:?}");
                let nodes = |members: &[quorate::membership::Member]| {
                    let mut nodes: Vec<u64> = members.iter().map(|m| m.node.get()).collect();
                    nodes.sort_unstable();
                    nodes
                };
                let mut sides: Vec<Vec<u64>> = sides.iter().map(|side| nodes(&side.members)).collect();
                sides.sort();
                return (texts, sides);
            }
            GroupEvent::Missed(count) => panic!("{count} events were missed"),
            _ => {}
        }
    }
}

#[actix::test]
async fn both_sides_send_while_they_are_apart_and_merge_when_the_links_heal() {
    let world = World::start(3, vec![GroupSettings::new("g", [1, 2, 3]).partitionable()]).await;
    let (mut groups, mut readers) = (Vec::new(), Vec::new());
    for node in 1..=3 {
        groups.push(world.group(node, "g", &[1, 2, 3]).await);
    }
    for group in &groups {
        readers.push(group.events(EventOptions::default()).await.unwrap());
    }
    world.faults.partition(&[NodeId::new(3)], &[NodeId::new(1), NodeId::new(2)]);
    in_view(&groups[0], &[1, 2]).await;
    in_view(&groups[1], &[1, 2]).await;
    in_view(&groups[2], &[3]).await;
    let here = groups[0].send("of two").await.unwrap();
    let there = groups[2].send("of one").await.unwrap();
    soon(here.everywhere()).await.unwrap();
    soon(there.everywhere()).await.unwrap();
    world.faults.heal_all();
    for (index, text) in [(0, "of two"), (1, "of two"), (2, "of one")] {
        let (texts, sides) = until_merged(&mut readers[index]).await;
        assert_eq!((texts, sides), (vec![text.to_owned()], vec![vec![1, 2], vec![3]]));
    }
    let last = groups[1].send("of all").await.unwrap();
    for reader in &mut readers {
        assert_eq!(messages(reader, 1).await, ["of all"]);
    }
    soon(last.everywhere()).await.unwrap();
    world.stop().await;
}

#[test]
fn a_partitionable_group_with_a_witness_or_subjects_is_refused() {
    let refused = |group: GroupSettings| {
        let mut settings = NodeSettings::new(1, "test", addr(1));
        settings.groups = vec![group];
        NodeConfig::try_from(settings).unwrap_err()
    };
    let sides = || GroupSettings::new("g", [1, 2]).partitionable();
    assert!(matches!(refused(GroupSettings { witnesses: vec![3], ..sides() }), SettingsError::Sides { .. }));
    assert!(matches!(refused(sides().with_state()), SettingsError::Sides { .. }));
    assert!(matches!(refused(sides().bind("a")), SettingsError::SidesWithSubjects(_)));
    let evicts = GroupSettings { slow: Some("evict".into()), ..sides() };
    assert!(matches!(refused(evicts), SettingsError::Sides { .. }));
}
