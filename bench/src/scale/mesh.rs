//! Nodes over QUIC in this process, each on a thread of its own, on which groups begin while they run.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use actix_rt::Arbiter;
use futures_util::{TryStreamExt, future::try_join_all, stream::FuturesUnordered};
use quorate::{
    Behind, EventOptions, Group, GroupEvents, GroupSettings, Node, NodeSettings,
    transport::{
        ClusterCa, ConnectionConfig, ConnectionSettings, QuicTransport, Traffic, Transport, Validity,
        faults::{FaultTiming, Faults},
    },
};
use quorate_membership::NodeId;

use super::departures::{PATIENCE, until_view};
use crate::{
    BenchError,
    places::{CLUSTER, Trouble, founded, on, open},
};

/// Views are all that happens.
const EVENTS: EventOptions = EventOptions { capacity: 64, bytes: 1 << 16, behind: Behind::Skip };
/// Members of each group that is measured.
pub(super) const GROUP_MEMBERS: usize = 3;
/// Groups that a node begins at one time. Waiting for each takes a turn of everybody on its thread, and beginning all of
/// thousands would hold everybody up.
const JOINED_AT_ONCE: usize = 64;
/// The group of all nodes, which shows that all are linked.
const ALL: &str = "all";

/// A node, its thread and its transport.
struct Host {
    arbiter: Arbiter,
    node: Node,
    transport: Arc<QuicTransport>,
    groups: Vec<Group>,
}

/// Nodes that are linked.
pub(super) struct Mesh {
    hosts: Vec<Host>,
    faults: Faults,
}

impl Mesh {
    /// Starts so many nodes, with one group of all of them. Their links have lanes for so many groups, or as many
    /// as links have by default.
    pub(super) async fn start(nodes: u64, groups: usize) -> Result<Self, BenchError> {
        let lanes = ConnectionSettings::default().lanes_max.max(groups as u32);
        let settings = ConnectionSettings { lanes_max: lanes, ..ConnectionSettings::default() };
        let connection = ConnectionConfig::try_from(settings).map_err(BenchError::ours)?;
        let ca = ClusterCa::create(CLUSTER, Validity::days(1)).map_err(BenchError::ours)?;
        let faults = Faults::new(1, FaultTiming::default());
        let mut mesh = Self { hosts: Vec::new(), faults: faults.clone() };
        let mut seeds: Vec<SocketAddr> = Vec::new();
        for number in 1..=nodes {
            let arbiter = Arbiter::new();
            let mut settings = NodeSettings::new(number, CLUSTER, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            settings.seeds.clone_from(&seeds);
            let credentials =
                ca.issue_node(NodeId::new(number), Validity::days(1)).map_err(BenchError::ours)?;
            let trouble = Trouble::Faults(faults.clone());
            let opened =
                on(&arbiter, move || open(settings, credentials, trouble, connection)).result().await;
            let (node, transport) = opened?;
            seeds.push(transport.local_addr());
            mesh.hosts.push(Host { arbiter, node, transport, groups: Vec::new() });
        }
        mesh.found(&[GroupSettings::new(ALL, 1..=nodes)]).await?;
        Ok(mesh)
    }

    /// Founds groups at all nodes that they name, and waits until all have founded them.
    pub(super) async fn found(&mut self, settings: &[GroupSettings]) -> Result<(), BenchError> {
        let founding = self.hosts.iter().map(|host| {
            let me = host.node.member().node.get();
            let mine = settings.iter().filter(|group| group.founders.contains(&me)).cloned().collect();
            let node = host.node.clone();
            on(&host.arbiter, move || found_at(node, mine)).result()
        });
        let founded = tokio::time::timeout(PATIENCE * 2, try_join_all(founding)).await;
        let founded = founded.map_err(|_| BenchError::Stuck(PATIENCE * 2))??;
        for (host, groups) in self.hosts.iter_mut().zip(founded) {
            host.groups = groups;
        }
        Ok(())
    }

    /// Groups that run at nodes, each counted at each.
    pub(super) fn memberships(&self) -> usize {
        self.hosts.iter().map(|host| host.groups.len()).sum()
    }

    /// What the nodes have sent.
    pub(super) fn traffic(&self) -> Traffic {
        self.hosts.iter().map(|host| host.transport.traffic()).fold(Traffic::default(), |sum, it| sum + it)
    }

    /// Has the last node die. Returns when, and when the last of the others had the next view of the last of its
    /// groups.
    pub(super) async fn kill_last(&mut self) -> Result<(Instant, Instant), BenchError> {
        let Some(last) = self.hosts.pop() else { return Err(BenchError::ours("no node runs")) };
        let loses: BTreeSet<&str> = last.groups.iter().map(Group::name).collect();
        let mut waiting = Vec::new();
        for host in &self.hosts {
            let groups = host.groups.iter().filter(|group| loses.contains(group.name())).cloned().collect();
            let readers = on(&host.arbiter, move || read(groups)).result().await?;
            waiting.push(on(&host.arbiter, move || until_all(readers, GROUP_MEMBERS - 1)).result());
        }
        let begun = Instant::now();
        self.faults.cut(Some(last.node.member().node), None);
        last.node.abort().await;
        let views = tokio::time::timeout(PATIENCE, try_join_all(waiting)).await;
        let views = views.map_err(|_| BenchError::Stuck(PATIENCE))??;
        last.arbiter.stop();
        let _ = last.arbiter.join();
        Ok((begun, views.into_iter().flatten().max().unwrap_or(begun)))
    }

    /// Ends the nodes and their threads.
    pub(super) async fn end(self) {
        for host in &self.hosts {
            self.faults.cut(Some(host.node.member().node), None);
        }
        for host in self.hosts {
            host.node.abort().await;
            host.arbiter.stop();
            let _ = host.arbiter.join();
        }
    }
}

/// Founds groups at a node, and waits until all are.
async fn found_at(node: Node, settings: Vec<GroupSettings>) -> Result<Vec<Group>, BenchError> {
    let (mut groups, waiting) = (Vec::new(), FuturesUnordered::new());
    for some in settings.chunks(JOINED_AT_ONCE) {
        let joined = try_join_all(some.iter().map(|settings| node.join(settings.clone()))).await;
        for (group, settings) in joined.map_err(BenchError::ours)?.into_iter().zip(some) {
            waiting.push(founded(group.clone(), settings.founders.len()));
            groups.push(group);
        }
    }
    waiting.try_collect::<()>().await?;
    Ok(groups)
}

async fn read(groups: Vec<Group>) -> Result<Vec<GroupEvents>, BenchError> {
    let reading = groups.iter().map(|group| group.events(EVENTS));
    try_join_all(reading).await.map_err(BenchError::ours)
}

/// Waits until all groups have a view with so many members; returns when the last had, if there are any.
async fn until_all(readers: Vec<GroupEvents>, members: usize) -> Result<Option<Instant>, BenchError> {
    let views = try_join_all(readers.into_iter().map(|events| until_view(events, members))).await?;
    Ok(views.into_iter().max())
}
