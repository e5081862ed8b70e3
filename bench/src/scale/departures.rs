//! How long a group of any size takes to go on without a member that leaves, or dies.

use std::time::{Duration, Instant};

use futures_util::future::{join, try_join_all};
use quorate::{
    GroupEvent, GroupEvents,
    protocols::{Event, Order},
    transport::faults::{FaultTiming, Faults},
};

use crate::{BenchError, places::Cluster};

/// How long a view may take to come, on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// How a member goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Going {
    Leaves,
    Dies,
}

/// Has the last of so many members go; returns how long it took until all others had the next view.
pub(super) async fn depart(members: usize, going: Going) -> Result<Duration, BenchError> {
    let faults = Faults::new(1, FaultTiming::default());
    let cluster = Cluster::start(members, Order::Uniform, Some(faults.clone())).await?;
    let last = members - 1;
    let mut waiting = Vec::new();
    for index in 0..last {
        let events = cluster.events(index).await?;
        waiting.push(cluster.at(index, move |_| async move { until_view(events, last).await }));
    }
    let node = cluster.node(last);
    let begun = Instant::now();
    let going = async {
        match going {
            Going::Leaves => drop(node.stop().await),
            Going::Dies => {
                faults.cut(Some(node.member().node), None);
                node.abort().await;
            }
        }
    };
    let installed = async {
        let all = tokio::time::timeout(PATIENCE, try_join_all(waiting)).await;
        let all = all.map_err(|_| BenchError::Stuck(PATIENCE))??;
        Ok::<_, BenchError>(all.into_iter().max().unwrap_or(begun))
    };
    let (installed, ()) = join(installed, going).await;
    cluster.stop().await;
    Ok(installed?.saturating_duration_since(begun))
}

/// Waits for a view with so many members; returns when it came.
pub(super) async fn until_view(mut events: GroupEvents, members: usize) -> Result<Instant, BenchError> {
    while let Some(event) = events.next().await {
        if let GroupEvent::Event(Event::View(view)) = event
            && view.members.len() == members
            && !view.id.is_genesis()
        {
            return Ok(Instant::now());
        }
    }
    Err(BenchError::ours("the group ended"))
}
