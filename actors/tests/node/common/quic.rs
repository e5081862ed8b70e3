//! Nodes and clients over QUIC, with certificates.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use quorate::{
    Client, ClientConfig, ClientSettings, GroupSettings, Node, NodeConfig, NodeSettings,
    membership::NodeId,
    transport::{ClusterCa, ConnectionConfig, QuicTransport, Transport, Validity},
};

use super::in_view;

/// A node of cluster `test` at a free port of loopback; nodes 1 to 3 found group `log`.
async fn node(ca: &ClusterCa, number: u64, seeds: Vec<SocketAddr>) -> (Node, SocketAddr) {
    let mut settings = NodeSettings::new(number, "test", SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.seeds = seeds;
    settings.groups = vec![GroupSettings::new("log", [1, 2, 3]).bind("log.>")];
    let config = NodeConfig::try_from(settings).unwrap();
    let life = config.begin_life().unwrap();
    let credentials = ca.issue_node(NodeId::new(number), Validity::days(1)).unwrap();
    let transport =
        QuicTransport::bind(credentials, config.hello(&life), ConnectionConfig::default()).unwrap();
    let addr = transport.local_addr();
    (Node::start(config, life, Arc::new(transport)).await.unwrap(), addr)
}

/// Nodes 1 to 3 in one view of group `log`, and their addresses in that order.
pub(crate) async fn three(ca: &ClusterCa) -> (BTreeMap<u64, Node>, Vec<SocketAddr>) {
    let (mut nodes, mut addrs) = (BTreeMap::new(), Vec::new());
    for number in 1..=3 {
        let (node, addr) = node(ca, number, addrs.clone()).await;
        addrs.push(addr);
        nodes.insert(number, node);
    }
    for node in nodes.values() {
        in_view(&node.group("log").await.unwrap(), &[1, 2, 3]).await;
    }
    (nodes, addrs)
}

/// A client of these nodes.
pub(crate) async fn client(ca: &ClusterCa, number: u64, endpoints: Vec<SocketAddr>) -> Client {
    let config = ClientConfig::try_from(ClientSettings::new(number, "test", endpoints)).unwrap();
    let credentials = ca.issue_client(config.member().node, "test", Validity::days(1)).unwrap();
    let transport = QuicTransport::bind(credentials, config.hello(), ConnectionConfig::default()).unwrap();
    Client::connect(config, Arc::new(transport)).await.unwrap()
}
