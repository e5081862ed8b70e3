//! The main job over QUIC, with certificates, in one process.

use crate::common::{
    quic::{client, three},
    soon, texts,
};
use quorate::{
    SubscribeOptions,
    transport::{ClusterCa, Validity},
};

#[actix::test]
async fn acknowledged_lines_come_once_and_in_one_order_over_quic_though_a_node_dies_half_way() {
    const LINES: usize = 5000;
    let ca = ClusterCa::create("test", Validity::days(1)).unwrap();
    let (mut nodes, addrs) = three(&ca).await;
    let publisher = client(&ca, 104, vec![addrs[2], addrs[1]]).await;
    let mut readers = Vec::new();
    for addr in &addrs[..2] {
        let reader = client(&ca, 101, vec![*addr]).await;
        let options = SubscribeOptions::default().backpressure();
        let subscription = reader.bus().subscribe("log.>", options).await.unwrap();
        readers.push((reader, subscription));
    }
    let bus = publisher.bus();
    let mut publishing = Vec::new();
    for k in 0..LINES {
        publishing.push(soon(bus.begin("log.app", format!("line {k}"))).await.unwrap());
        if k == LINES / 2 {
            nodes.remove(&3).unwrap().abort().await;
        }
    }
    for one in publishing {
        soon(one.acknowledged()).await.unwrap();
    }
    let expected: Vec<String> = (0..LINES).map(|k| format!("line {k}")).collect();
    for (reader, mut subscription) in readers {
        assert!(texts(&mut subscription, LINES).await == expected);
        reader.close().await;
    }
    publisher.close().await;
    for node in nodes.into_values() {
        node.stop().await;
    }
}
