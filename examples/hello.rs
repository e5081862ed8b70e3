//! Three nodes in one process form a group, and each delivers what all of them say in one order.
//!
//! Run: `cargo run -p quorate-examples --example hello`
//!
//! Prints: `n1 delivered: hello from n1, hello from n2, hello from n3`
//! Prints: `n2 delivered: hello from n1, hello from n2, hello from n3`
//! Prints: `n3 delivered: hello from n1, hello from n2, hello from n3`

use std::{error::Error, net::SocketAddr};

use quorate::{
    EventOptions, GroupEvent, GroupSettings, Node, NodeSettings, StartError, protocols::Event,
    transport::MemoryNetwork,
};

/// Starts a node that founds the group together with the others; node 1 is where they meet.
async fn start(network: &MemoryNetwork, number: u64) -> Result<Node, StartError> {
    let addr = |number: u64| SocketAddr::from(([127, 0, 0, 1], 7000 + number as u16));
    let settings = NodeSettings::new(number, "demo", addr(number)).seed(addr(1));
    let group = GroupSettings::new("hello", [1, 2, 3]);
    Node::in_memory(settings.group(group), network).await
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::default();
    let (mut nodes, mut members) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let node = start(&network, number).await?;
        let group = node.group("hello").await.ok_or("the node declares it")?;
        let events = group.events(EventOptions::default()).await?;
        nodes.push(node);
        members.push((group, events));
    }
    for (node, (group, _)) in nodes.iter().zip(&members) {
        // Returns once the message survives any failure of a minority.
        group.multicast(format!("hello from {}", node.member().node)).await?;
    }
    for (node, (_, events)) in nodes.iter().zip(&mut members) {
        let mut said = Vec::new();
        while said.len() < 3 {
            if let Some(GroupEvent::Event(Event::Message { payload, .. })) = events.next().await {
                said.push(String::from_utf8(payload.to_vec())?);
            }
        }
        println!("{} delivered: {}", node.member().node, said.join(", "));
    }
    for node in nodes {
        node.stop().await;
    }
    Ok(())
}
