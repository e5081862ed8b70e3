//! Nodes in one process, each with a mesh over the memory transport, and faults between them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quorate_membership::{Incarnation, Member, NodeId};
use quorate_transport::{
    ConnectError, Endpoint, Frame, Hello, Lane, LaneReceiver, LinkError, MemoryConfig, MemoryNetwork,
    MemoryTransport, Mesh, MeshConfig, MeshEvent, MeshSettings, Role, Transport,
    faults::{FaultTiming, Faults, FaultyTransport},
};
use tokio::{sync::mpsc, task::LocalSet, time::sleep};

pub(super) const MS: Duration = Duration::from_millis(1);

/// All nodes of a test, and what may befall their network.
pub(super) struct World {
    pub(super) network: MemoryNetwork,
    pub(super) faults: Faults,
}

impl World {
    pub(super) fn new() -> Self {
        Self { network: MemoryNetwork::default(), faults: Faults::new(1, FaultTiming::default()) }
    }

    pub(super) fn transport(&self, member: Member, role: Role) -> Arc<dyn Transport> {
        let hello = Hello {
            versions: (1, 1),
            features: 0,
            cluster: "test".to_owned(),
            incarnation: member.incarnation,
            listens: (role == Role::Node).then(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let (node, config) = (member.node, MemoryConfig::default());
        let inner = MemoryTransport::new(&self.network, node, role, hello, config).expect("any port");
        Arc::new(FaultyTransport::new(node, Arc::new(inner), self.faults.clone()))
    }

    pub(super) fn node(&self, number: u64) -> Node {
        self.node_with(member(number, 1), MeshSettings::default())
    }

    pub(super) fn node_with(&self, member: Member, settings: MeshSettings) -> Node {
        let transport = self.transport(member, Role::Node);
        let addr = transport.local_addr();
        let config = MeshConfig::try_from(settings).expect("it makes sense");
        let (mesh, events) = Mesh::start(transport, member, config);
        Node { mesh, events, me: member.node, addr }
    }

    /// Two nodes, of which the first dials the second.
    pub(super) async fn linked(&self) -> (Node, Node) {
        let (mut a, mut b) = (self.node(1), self.node(2));
        a.watch(&b);
        a.up(2).await;
        b.up(1).await;
        (a, b)
    }
}

pub(super) fn member(number: u64, life: u64) -> Member {
    Member::new(NodeId::new(number), Incarnation::new(life))
}

pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) events: mpsc::Receiver<MeshEvent>,
    pub(super) me: NodeId,
    pub(super) addr: SocketAddr,
}

impl Node {
    pub(super) fn watch(&self, other: &Self) {
        self.mesh.watch(Endpoint { node: Some(other.me), addr: other.addr });
    }

    pub(super) async fn event(&mut self) -> MeshEvent {
        self.events.recv().await.expect("the mesh lives")
    }

    pub(super) async fn up(&mut self, number: u64) {
        let event = self.event().await;
        let MeshEvent::Up(peer) = event else { panic!("{event:?}") };
        assert_eq!(peer.info().member.node, NodeId::new(number));
    }

    pub(super) async fn down(&mut self) -> LinkError {
        let event = self.event().await;
        let MeshEvent::Down { error, .. } = event else { panic!("{event:?}") };
        error
    }

    pub(super) async fn lane(&mut self) -> (Lane, Box<dyn LaneReceiver>) {
        let event = self.event().await;
        let MeshEvent::Lane { lane, receiver, .. } = event else { panic!("{event:?}") };
        (lane, receiver)
    }

    pub(super) async fn unreachable(&mut self) -> ConnectError {
        let event = self.event().await;
        let MeshEvent::Unreachable { error, .. } = event else { panic!("{event:?}") };
        error
    }

    /// What happens within some time.
    pub(super) async fn events_within(&mut self, span: Duration) -> Vec<MeshEvent> {
        sleep(span).await;
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        events
    }

    pub(super) fn is_linked(&self, to: &Self) -> bool {
        self.mesh.peer(to.me).is_some()
    }
}

pub(super) fn frame(number: usize, bytes: usize) -> Frame {
    Frame { header: number.to_string().into(), body: vec![vec![0; bytes].into()].into() }
}

pub(super) async fn receive(receiver: &mut dyn LaneReceiver, frames: usize) -> Vec<Frame> {
    let mut got = Vec::new();
    while got.len() < frames {
        assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended");
    }
    got
}

/// Runs a test as an actor's arbiter would, on one thread.
pub(super) async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}
