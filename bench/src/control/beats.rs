//! Heartbeats at a pace, with or without data beside them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, try_join, try_join_all},
    stream::FuturesUnordered,
};
use quorate::{Node, membership::NodeId};

use crate::{
    BenchError,
    cluster::Cluster,
    harness::Side,
    multicast::GroupFlow,
    pace::Pace,
    sample::{Latencies, Sample},
};

/// What a heartbeat counts that has not come back within the detection time.
const UNANSWERED: Duration = Duration::from_millis(500);

/// Heartbeats between two nodes at a pace, both ways, with or without data beside them.
#[derive(Debug)]
pub(super) struct Beats {
    cluster: Arc<Cluster>,
    every: Duration,
    data: Option<GroupFlow>,
}

impl Beats {
    pub(super) const fn new(cluster: Arc<Cluster>, every: Duration, data: Option<GroupFlow>) -> Self {
        Self { cluster, every, data }
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (every, deadline) = (self.every, Instant::now() + length);
        let beating = (0..2_usize).map(|index| {
            let (node, peer) = (self.cluster.node(index), NodeId::new(2 - index as u64));
            self.cluster.at(index, move |_| beat_until(node, peer, every, deadline))
        });
        let data = match &mut self.data {
            Some(data) => data.round(length).map(|sample| sample.map(drop)).boxed(),
            None => std::future::ready(Ok(())).boxed(),
        };
        let (each, ()) = try_join(try_join_all(beating), data).await?;
        let mut all = Latencies::new();
        for latencies in &each {
            all.add(latencies);
        }
        Ok(all.into_sample())
    }
}

impl Side for Beats {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends heartbeats that ask for one back at a pace, however many are under way.
async fn beat_until(
    node: Node,
    peer: NodeId,
    every: Duration,
    deadline: Instant,
) -> Result<Latencies, BenchError> {
    let mut pace = Pace::new(every);
    let (mut latencies, mut under_way) = (Latencies::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            Some(took) = under_way.next() => latencies.record(took),
            due = pace.turn() => {
                if due >= deadline {
                    break;
                }
                // The timer of a node that works too long at a time makes its heartbeats late as well.
                let late = due.elapsed();
                let node = &node;
                under_way.push(async move { node.round_trip(peer).await.map_or(UNANSWERED, |took| late + took) });
            }
        }
    }
    while let Some(took) = under_way.next().await {
        latencies.record(took);
    }
    Ok(latencies)
}
