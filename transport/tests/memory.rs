//! The memory transport keeps what every transport promises, and its own bounds.

use std::{net::SocketAddr, sync::Arc};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{
    Endpoint, Hello, Link, MemoryConfig, MemoryNetwork, MemoryTransport, Role, Transport,
    conformance::{self, Factory, Profile},
};

#[derive(Default)]
struct Memory(MemoryNetwork);

impl Factory for Memory {
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
        let Profile { node, role, hello, frames, .. } = profile;
        let config = MemoryConfig { frames, ..MemoryConfig::default() };
        let transport = MemoryTransport::new(&self.0, node, role, hello, config).expect("any port");
        Box::pin(ready(Arc::new(transport) as _))
    }
}

#[tokio::test]
async fn memory_keeps_every_promise() {
    conformance::run(&Memory::default()).await;
}

fn hello(port: u16) -> Hello {
    Hello {
        versions: (1, 1),
        features: 0,
        cluster: "test".to_owned(),
        incarnation: Incarnation::new(1),
        listens: Some(SocketAddr::from(([127, 0, 0, 1], port))),
    }
}

fn node(network: &MemoryNetwork, number: u64, config: MemoryConfig) -> MemoryTransport {
    MemoryTransport::new(network, NodeId::new(number), Role::Node, hello(0), config).expect("any port")
}

async fn link(from: &MemoryTransport, to: &MemoryTransport) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let to_endpoint = Endpoint { node: None, addr: to.local_addr() };
    let (ours, theirs) = tokio::join!(from.connect(&to_endpoint), to.accept());
    (ours.expect("it listens"), theirs.expect("it is not closed"))
}

#[tokio::test]
async fn an_address_is_taken_once_and_free_again_when_its_transport_is_gone() {
    let network = MemoryNetwork::default();
    let listen =
        || MemoryTransport::new(&network, NodeId::new(1), Role::Node, hello(4000), MemoryConfig::default());
    let first = listen().expect("nobody is there");
    assert_eq!(listen().unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    drop(first);
    assert_eq!(listen().expect("nobody is there any more").local_addr().port(), 4000);
}

#[tokio::test]
async fn the_oldest_datagrams_make_room() {
    let network = MemoryNetwork::default();
    let config = MemoryConfig { datagrams_max: 2, ..MemoryConfig::default() };
    let (a, b) = (node(&network, 1, config), node(&network, 2, config));
    let (ours, theirs) = link(&a, &b).await;
    for text in ["one", "two", "three"] {
        ours.send_datagram(text.into()).expect("it is short");
    }
    assert_eq!(theirs.recv_datagram().await.expect("the link stands"), "two");
    assert_eq!(theirs.recv_datagram().await.expect("the link stands"), "three");
    assert!(theirs.recv_datagram().now_or_never().is_none());
}
