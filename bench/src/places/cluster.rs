//! A group of nodes over QUIC in this process, each on a thread of its own.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
};

use quorate::{
    Group, GroupEvents, GroupSettings, Node, NodeSettings,
    protocols::Order,
    transport::{ClusterCa, Traffic, Validity, faults::Faults},
};
use quorate_membership::NodeId;

use super::place::{GROUP, Place, Trouble};
use crate::BenchError;

pub(crate) const CLUSTER: &str = "bench";

/// A group of nodes over QUIC, each on a thread of its own.
#[derive(Debug)]
pub(crate) struct Cluster {
    places: Vec<Place>,
}

impl Cluster {
    /// Starts the nodes and waits until all are in one view. Within an actix system only.
    pub(crate) async fn start(
        members: usize,
        order: Order,
        faults: Option<Faults>,
    ) -> Result<Self, BenchError> {
        let trouble = faults.map_or(Trouble::Nothing, Trouble::Faults);
        Self::start_with(members, trouble, |group| group.order(order)).await
    }

    /// The same with any kind of group.
    pub(crate) async fn start_with(
        members: usize,
        trouble: Trouble,
        shape: impl Fn(GroupSettings) -> GroupSettings,
    ) -> Result<Self, BenchError> {
        let ca = ClusterCa::create(CLUSTER, Validity::days(1)).map_err(BenchError::ours)?;
        let mut places: Vec<Place> = Vec::with_capacity(members);
        for number in 1..=members as u64 {
            let mut settings = NodeSettings::new(number, CLUSTER, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            settings.seeds = places.iter().map(Place::addr).collect();
            settings.groups.push(shape(GroupSettings::new(GROUP, 1..=members as u64)));
            let credentials =
                ca.issue_node(NodeId::new(number), Validity::days(1)).map_err(BenchError::ours)?;
            places.push(Place::start(settings, credentials, trouble.clone()).await?);
        }
        for place in &places {
            place.founded(members).await?;
        }
        Ok(Self { places })
    }

    pub(crate) fn members(&self) -> usize {
        self.places.len()
    }

    /// The node of a member.
    pub(crate) fn node(&self, index: usize) -> Node {
        self.places[index].node()
    }

    /// What the links of all nodes have sent so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.places.iter().map(Place::traffic).fold(Traffic::default(), |sum, more| sum + more)
    }

    /// Reads the events of the group at a member, from now on.
    pub(crate) async fn events(&self, index: usize) -> Result<GroupEvents, BenchError> {
        self.places[index].events().await
    }

    /// Runs a piece of a benchmark on the thread of a member and waits for it.
    pub(crate) async fn at<T, F>(
        &self,
        index: usize,
        work: impl FnOnce(Group) -> F + Send + 'static,
    ) -> Result<T, BenchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BenchError>> + 'static,
    {
        self.places[index].at(work).await
    }

    /// Stops the nodes and their threads.
    pub(crate) async fn stop(&self) {
        for place in &self.places {
            place.stop().await;
        }
        self.places.iter().for_each(Place::end);
    }
}
