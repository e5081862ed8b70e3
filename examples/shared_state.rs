//! Three nodes share a map that they change by messages; a fourth joins and has it, too.
//!
//! Run: `cargo run -p quorate-examples --example shared_state`
//!
//! Prints: `n4 joins and is given {"apples": "3", "pears": "7"}`

use std::{collections::BTreeMap, error::Error, net::SocketAddr};

use quorate::{
    Group, GroupEvent, GroupEvents, GroupSettings, Node, NodeSettings, StateOptions, protocols::Event,
    transport::MemoryNetwork,
};
use serde_json::{from_slice, to_vec};

type Map = BTreeMap<String, String>;
type Member = (Node, Group, GroupEvents);

async fn start(network: &MemoryNetwork, number: u64) -> Result<Member, Box<dyn Error>> {
    let addr = |number: u64| SocketAddr::from(([127, 0, 0, 1], 7000 + number as u16));
    let settings = NodeSettings::new(number, "demo", addr(number)).seed(addr(1));
    let node = Node::in_memory(settings, network).await?;
    let shared = GroupSettings::new("shared", [1, 2, 3]).with_state();
    let (group, events) = node.join_with_state(shared, StateOptions::default()).await?;
    Ok((node, group, events))
}

/// Applies events until the map has so many entries. Who applies all events has the same map.
async fn follow(map: &mut Map, events: &mut GroupEvents, entries: usize) -> Result<(), Box<dyn Error>> {
    while map.len() < entries {
        match events.next().await.ok_or("the group ended")? {
            GroupEvent::Event(Event::Message { payload: entry, .. }) => map.extend([from_slice(&entry)?]),
            GroupEvent::Snapshot(request) => request.give(to_vec(map)?).await?,
            GroupEvent::Restore(state) => *map = from_slice(&state.into_bytes())?,
            _ => {}
        }
    }
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (network, mut members) = (MemoryNetwork::default(), Vec::new());
    for number in 1..=3 {
        let (node, group, mut events) = start(&network, number).await?;
        actix::spawn(async move { follow(&mut Map::new(), &mut events, usize::MAX).await.is_ok() });
        members.push((node, group));
    }
    members[0].1.multicast(r#"["apples", "3"]"#).await?;
    members[1].1.multicast(r#"["pears", "7"]"#).await?;
    let ((node, _, mut events), mut map) = (start(&network, 4).await?, Map::new());
    follow(&mut map, &mut events, 2).await?;
    println!("n4 joins and is given {map:?}");
    node.stop().await;
    Ok(())
}
