//! A member crashes; the others agree on a view without it, and go on.
//!
//! Run: `cargo run -p quorate-examples --example failover`
//!
//! Prints: `n1: view v1 {n1, n2, n3}`
//! Prints: `n1: view v2 {n1, n2}`
//! Prints: `n1: "sent by n2 after the crash"`

use std::{error::Error, net::SocketAddr};

use quorate::{
    EventOptions, GroupEvent, GroupSettings, Node, NodeSettings, StartError, protocols::Event,
    transport::MemoryNetwork,
};

/// Starts a node that founds the group together with the others; node 1 is where they meet.
async fn start(network: &MemoryNetwork, number: u64) -> Result<Node, StartError> {
    let addr = |number: u64| SocketAddr::from(([127, 0, 0, 1], 7000 + number as u16));
    let settings = NodeSettings::new(number, "demo", addr(number)).seed(addr(1));
    let group = GroupSettings::new("g", [1, 2, 3]);
    Node::in_memory(settings.group(group), network).await
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::default();
    let [first, second, third] =
        [start(&network, 1).await?, start(&network, 2).await?, start(&network, 3).await?];
    let group = first.group("g").await.ok_or("the node declares it")?;
    let mut events = group.events(EventOptions::default()).await?;
    while let Some(GroupEvent::Event(event)) = events.next().await {
        match event {
            Event::View(view) if view.members.len() == 3 => {
                println!("n1: view {view}");
                third.abort().await;
            }
            Event::View(view) if !view.members.contains(&third.member()) => {
                println!("n1: view {view}");
                let group = second.group("g").await.ok_or("it survived")?;
                group.multicast("sent by n2 after the crash").await?;
            }
            Event::Message { payload, .. } => {
                println!("n1: {:?}", std::str::from_utf8(&payload)?);
                break;
            }
            _ => {}
        }
    }
    second.stop().await;
    first.stop().await;
    Ok(())
}
