//! A cluster in one process, over memory.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod quic;
pub(crate) mod spy;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, GroupSettings, Node, NodeSettings, Subscription,
    membership::NodeId,
    protocols::Event,
    transport::{
        MemoryConfig, MemoryNetwork, MemoryTransport, Role,
        faults::{FaultTiming, Faults, FaultyTransport},
    },
};

/// For readers that look later at what came.
pub(crate) const MANY: EventOptions =
    EventOptions { capacity: 10_000, bytes: 64 << 20, behind: Behind::Skip };

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Nodes 1 to n, and what it takes to start more.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    /// What befalls the links between nodes: nothing unless a test says so.
    pub(crate) faults: Faults,
    pub(crate) nodes: BTreeMap<u64, Node>,
    groups: Vec<GroupSettings>,
    /// What nodes that are added are told of the longest payload.
    pub(crate) payload_bytes_max: Option<usize>,
}

pub(crate) fn addr(node: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9000 + node as u16))
}

impl World {
    /// Starts nodes 1 to n, all declared with these groups; node 1 is the seed of the others.
    pub(crate) async fn start(nodes: u64, groups: Vec<GroupSettings>) -> Self {
        let mut world = Self {
            network: MemoryNetwork::default(),
            faults: Faults::new(1, FaultTiming::default()),
            nodes: BTreeMap::new(),
            groups,
            payload_bytes_max: None,
        };
        for node in 1..=nodes {
            world.add(node).await;
        }
        world
    }

    /// More nodes on the same network, for another thread.
    pub(crate) fn beside(&self) -> Self {
        Self {
            network: self.network.clone(),
            faults: self.faults.clone(),
            nodes: BTreeMap::new(),
            groups: self.groups.clone(),
            payload_bytes_max: self.payload_bytes_max,
        }
    }

    /// Adds a node that carries no group.
    pub(crate) async fn add_outside(&mut self, number: u64) -> Node {
        let groups = std::mem::take(&mut self.groups);
        self.add(number).await;
        self.groups = groups;
        self.nodes.remove(&number).unwrap()
    }

    pub(crate) async fn add(&mut self, number: u64) -> Node {
        self.add_with(number, self.groups.clone()).await
    }

    /// Starts a node that is declared with these groups.
    pub(crate) async fn add_with(&mut self, number: u64, groups: Vec<GroupSettings>) -> Node {
        let mut settings = NodeSettings::new(number, "test", addr(number));
        settings.seeds = (1..=3).filter(|seed| *seed != number).map(addr).collect();
        settings.detect_within_ms = Some(300);
        settings.groups = groups;
        settings.payload_bytes_max = self.payload_bytes_max;
        let id = NodeId::new(number);
        let transport = |hello| {
            let memory = MemoryTransport::new(&self.network, id, Role::Node, hello, MemoryConfig::default())?;
            Ok::<_, std::io::Error>(FaultyTransport::new(id, Arc::new(memory), self.faults.clone()))
        };
        let node = Node::open(settings, transport).await.unwrap();
        self.nodes.insert(number, node.clone());
        node
    }

    pub(crate) fn node(&self, number: u64) -> &Node {
        &self.nodes[&number]
    }

    /// The group at a node, once the node is in a view with exactly these nodes.
    pub(crate) async fn group(&self, node: u64, name: &str, members: &[u64]) -> Group {
        let group = self.node(node).group(name).await.expect("the group runs here");
        in_view(&group, members).await;
        group
    }

    pub(crate) async fn kill(&mut self, number: u64) {
        self.nodes.remove(&number).unwrap().abort().await;
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes.into_values() {
            node.stop().await;
        }
    }
}

/// Waits until the group's view consists of exactly these nodes.
pub(crate) async fn in_view(group: &Group, members: &[u64]) {
    let mut events = group.events(EventOptions::default()).await.unwrap();
    let is = |nodes: Vec<u64>| {
        let mut nodes = nodes;
        nodes.sort_unstable();
        nodes == members
    };
    let waiting = async {
        if let Some(view) = group.view().await.unwrap()
            && !view.id.is_genesis()
            && is(view.members.iter().map(|m| m.node.get()).collect())
        {
            return;
        }
        while let Some(event) = events.next().await {
            if let GroupEvent::Event(Event::View(view)) = event
                && is(view.members.iter().map(|m| m.node.get()).collect())
            {
                return;
            }
        }
        panic!("the group ended");
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the view comes in time");
}

/// The next so many messages.
pub(crate) async fn messages(events: &mut GroupEvents, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        match soon(events.next()).await.expect("events go on") {
            GroupEvent::Event(Event::Message { payload, .. }) => {
                all.push(String::from_utf8(payload.to_vec()).unwrap());
            }
            GroupEvent::Missed(count) => panic!("{count} events were missed"),
            _ => {}
        }
    }
    all
}

/// The next so many publications, none of which may be missed.
pub(crate) async fn texts(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let delivery = soon(subscription.next()).await.expect("the subscription goes on");
        assert_eq!(delivery.missed, None, "after {} messages", all.len());
        all.push(String::from_utf8(delivery.payload.to_vec()).unwrap());
    }
    all
}

/// What comes within a bounded time.
pub(crate) async fn soon<T>(it: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, it).await.expect("it happens in time")
}

/// Waits until each of these nodes is linked to all others.
pub(crate) async fn linked(world: &World, nodes: &[u64]) {
    let all = async {
        for node in nodes {
            while world.node(*node).status().await.unwrap().peers.iter().filter(|p| p.linked).count()
                < nodes.len() - 1
            {
                tokio::task::yield_now().await;
            }
        }
    };
    soon(all).await;
}
