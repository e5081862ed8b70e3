//! Two nodes that a transport has joined.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::try_join;
use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{
    ClusterCa, ConnectionConfig, Credentials, Endpoint, Hello, Lane, LaneReceiver, LaneSender, Link,
    MemoryConfig, MemoryNetwork, MemoryTransport, QuicTransport, Role, TcpTransport, Transport, Validity,
};

use super::TransportKind;
use crate::{BenchError, places::Stage};

/// The cluster of the two nodes.
pub(crate) const CLUSTER: &str = "bench";

/// Two nodes that a transport has joined.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) stage: Arc<Stage>,
    links: [Arc<dyn Link>; 2],
    _transports: [Arc<dyn Transport>; 2],
}

impl Pair {
    /// Makes both transports, each where its node runs, and lets the first dial the second.
    pub(super) async fn new(stage: &Arc<Stage>, kind: TransportKind) -> Result<Self, BenchError> {
        let network = Network::new(kind)?;
        let near = network.transport(stage, 0).await?;
        let far = network.transport(stage, 1).await?;
        let to = Endpoint { node: Some(node(1)), addr: far.local_addr() };
        let (dialer, listener) = (Arc::clone(&near), Arc::clone(&far));
        let dialed = stage.at(0, async move { Ok(dialer.connect(&to).await) });
        let accepted = stage.at(1, async move { Ok(listener.accept().await) });
        let (dialed, accepted) = try_join(dialed, accepted).await?;
        let near_link = dialed.map_err(BenchError::ours)?;
        let far_link = accepted.ok_or_else(|| BenchError::ours("the transport is closed"))?;
        Ok(Self { stage: Arc::clone(stage), links: [near_link, far_link], _transports: [near, far] })
    }

    /// Opens a lane from one node to the other.
    pub(super) async fn lane(
        &self,
        from: usize,
    ) -> Result<(Box<dyn LaneSender>, Box<dyn LaneReceiver>), BenchError> {
        let (sender, receiver) = (Arc::clone(&self.links[from]), Arc::clone(&self.links[1 - from]));
        let opened = self.stage.at(from, async move { Ok(sender.open(Lane::Data(1)).await) });
        let accepted = self.stage.at(1 - from, async move { Ok(receiver.accept().await) });
        let (opened, accepted) = try_join(opened, accepted).await?;
        Ok((opened.map_err(BenchError::ours)?, accepted.map_err(BenchError::ours)?.1))
    }
}

/// What the transports of one pair have in common.
enum Network {
    Sockets(TransportKind, Box<ClusterCa>),
    Memory(MemoryNetwork),
}

impl Network {
    fn new(kind: TransportKind) -> Result<Self, BenchError> {
        Ok(match kind {
            TransportKind::Quic | TransportKind::Tcp => {
                let ca = ClusterCa::create(CLUSTER, Validity::days(1)).map_err(BenchError::ours)?;
                Self::Sockets(kind, Box::new(ca))
            }
            TransportKind::Memory => Self::Memory(MemoryNetwork::default()),
        })
    }

    async fn transport(&self, stage: &Stage, index: usize) -> Result<Arc<dyn Transport>, BenchError> {
        let hello = hello(CLUSTER, Some((Ipv4Addr::LOCALHOST, 0).into()));
        match self {
            Self::Sockets(kind, ca) => {
                let credentials = ca.issue_node(node(index), Validity::days(1)).map_err(BenchError::ours)?;
                let kind = *kind;
                stage
                    .at(index, async move { bind(kind, credentials, hello, ConnectionConfig::default()) })
                    .await
            }
            Self::Memory(network) => {
                let config = MemoryConfig::default();
                let transport = MemoryTransport::new(network, node(index), Role::Node, hello, config);
                Ok(Arc::new(transport?))
            }
        }
    }
}

/// A transport of this kind; within the runtime that shall drive it.
pub(crate) fn bind(
    kind: TransportKind,
    credentials: Credentials,
    hello: Hello,
    config: ConnectionConfig,
) -> Result<Arc<dyn Transport>, BenchError> {
    Ok(if kind == TransportKind::Tcp {
        Arc::new(TcpTransport::bind(credentials, hello, config).map_err(BenchError::ours)?)
    } else {
        Arc::new(QuicTransport::bind(credentials, hello, config).map_err(BenchError::ours)?)
    })
}

fn node(index: usize) -> NodeId {
    NodeId::new(index as u64 + 1)
}

/// What a node of the benchmark says of itself.
pub(crate) fn hello(cluster: &str, listens: Option<SocketAddr>) -> Hello {
    Hello {
        versions: (1, 1),
        features: 0,
        cluster: cluster.into(),
        incarnation: Incarnation::new(1),
        listens,
    }
}
