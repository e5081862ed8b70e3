//! One part of a program asks, another one answers, and the bus finds it; messages are typed.
//!
//! Run: `cargo run -p quorate-examples --example request_reply`
//!
//! Prints: `nobody could answer yet`
//! Prints: `2 + 40 = 42`

use std::{error::Error, time::Duration};

use quorate::{Bus, Node, RequestError, SubscribeOptions};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Add {
    left: i64,
    right: i64,
}

async fn ask(bus: &Bus, left: i64, right: i64) -> Result<i64, RequestError> {
    bus.request_typed("sum", &Add { left, right }, Duration::from_secs(5)).await
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::alone("demo").await?;
    let bus = node.bus();
    if let Err(RequestError::NoResponders(_)) = ask(&bus, 2, 40).await {
        println!("nobody could answer yet"); // known at once, without waiting for the time to be over
    }

    let (replier, mut questions) = (bus.clone(), bus.subscribe("sum", SubscribeOptions::default()).await?);
    actix::spawn(async move {
        while let Some(question) = questions.next().await {
            let Ok(Add { left, right }) = question.decode() else { continue };
            let _ = replier.reply_typed(&question, &(left + right)).await;
        }
    });
    println!("2 + 40 = {}", ask(&bus, 2, 40).await?);
    node.stop().await;
    Ok(())
}
