//! Subjects that are bound to a group reach every subscriber at any node in one order.
//!
//! Run: `cargo run -p quorate-examples --example chat`
//!
//! Prints: `n1 reads: [chat.alice] anyone here? [chat.bob] yes`
//! Prints: `n2 reads: [chat.alice] anyone here? [chat.bob] yes`
//! Prints: `n3 reads: [chat.alice] anyone here? [chat.bob] yes`

use std::{error::Error, net::SocketAddr};

use quorate::{GroupSettings, Node, NodeSettings, StartError, SubscribeOptions, transport::MemoryNetwork};

/// Starts a node that founds the group together with the others; node 1 is where they meet.
async fn start(network: &MemoryNetwork, number: u64) -> Result<Node, StartError> {
    let addr = |number: u64| SocketAddr::from(([127, 0, 0, 1], 7000 + number as u16));
    let settings = NodeSettings::new(number, "demo", addr(number)).seed(addr(1));
    let group = GroupSettings::new("chat", [1, 2, 3]).bind("chat.>");
    Node::in_memory(settings.group(group), network).await
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::default();
    let (mut nodes, mut readers) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let node = start(&network, number).await?;
        readers.push(node.bus().subscribe("chat.*", SubscribeOptions::default()).await?);
        nodes.push(node);
    }
    // Each waits until its message is sure to come, so the answer follows the question.
    nodes[0].bus().publish("chat.alice", "anyone here?").await?;
    nodes[1].bus().publish("chat.bob", "yes").await?;
    for (node, reader) in nodes.iter().zip(&mut readers) {
        print!("{} reads:", node.member().node);
        for _ in 0..2 {
            let message = reader.next().await.ok_or("the node runs")?;
            print!(" [{}] {}", message.subject, std::str::from_utf8(&message.payload)?);
        }
        println!();
    }
    for node in nodes {
        node.stop().await;
    }
    Ok(())
}
