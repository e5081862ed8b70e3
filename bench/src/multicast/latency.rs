//! How long a message takes to be delivered while there is little else to do.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join, try_join_all};
use quorate::{Group, GroupEvents};

use crate::{
    BenchError,
    cluster::Cluster,
    harness::Side,
    load::Load,
    pace::Pace,
    place::next_message,
    sample::{Latencies, Sample},
};

/// How long a message takes from its sender until it is delivered, at each of the members.
#[derive(Debug)]
pub(super) struct GroupLatency {
    cluster: Arc<Cluster>,
    load: Load,
    every: Duration,
    /// What stamps count from: the members share a process and so a clock.
    epoch: Instant,
    readers: Vec<GroupEvents>,
}

impl GroupLatency {
    pub(super) async fn new(cluster: &Arc<Cluster>, load: Load, every: Duration) -> Result<Self, BenchError> {
        let readers = try_join_all((0..cluster.members()).map(|index| cluster.events(index))).await?;
        Ok(Self { cluster: Arc::clone(cluster), load, every, epoch: Instant::now(), readers })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (load, every, epoch) = (self.load.clone(), self.every, self.epoch);
        let clock = move || epoch.elapsed();
        let deadline = Instant::now() + length;
        let sending = self.cluster.at(0, move |group| send_until(group, load, every, clock, deadline));
        let receiving = mem::take(&mut self.readers)
            .into_iter()
            .enumerate()
            .map(|(index, reader)| self.cluster.at(index, move |_| receive(reader, clock)));
        let (sent, received) = try_join(sending, try_join_all(receiving)).await?;
        let mut all = Latencies::new();
        for (reader, latencies) in received {
            BenchError::unless_all_came(sent, latencies.count())?;
            all.add(&latencies);
            self.readers.push(reader);
        }
        Ok(all.into_sample())
    }
}

impl Side for GroupLatency {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends stamped messages at a pace.
pub(crate) async fn send_until(
    group: Group,
    load: Load,
    every: Duration,
    clock: impl Fn() -> Duration,
    deadline: Instant,
) -> Result<u64, BenchError> {
    let mut pace = Pace::new(every);
    let mut sent = 0;
    loop {
        let from = pace.turn().await;
        let last = from >= deadline;
        let stamp = clock().saturating_sub(from.elapsed());
        group.send(load.stamped(stamp, last)).await.map_err(BenchError::ours)?;
        sent += 1;
        if last {
            return Ok(sent);
        }
    }
}

/// Times the messages of a round.
pub(crate) async fn receive(
    mut events: GroupEvents,
    clock: impl Fn() -> Duration,
) -> Result<(GroupEvents, Latencies), BenchError> {
    let mut latencies = Latencies::new();
    loop {
        let payload = next_message(&mut events).await?;
        let stamp = Load::stamp(&payload).ok_or_else(|| BenchError::ours("a message without a stamp"))?;
        latencies.record(clock().saturating_sub(stamp));
        if Load::ends(&payload) {
            return Ok((events, latencies));
        }
    }
}
