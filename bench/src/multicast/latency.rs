//! How long a message takes to be delivered while there is little else to do.

use std::{
    iter, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join, try_join_all};
use quorate::{Group, GroupEvents};

use crate::{
    BenchError,
    measure::{Latencies, Load, Pace, Sample, Side},
    places::{Cluster, next_message},
};

/// How long a message takes from its sender until it is delivered, at each of the members.
#[derive(Debug)]
pub(super) struct GroupLatency {
    cluster: Arc<Cluster>,
    load: Load,
    /// Time from one message to the next; without, one follows when its sender has delivered the other.
    every: Option<Duration>,
    /// What stamps count from: the members share a process and so a clock.
    epoch: Instant,
    readers: Vec<GroupEvents>,
}

impl GroupLatency {
    pub(super) async fn new(
        cluster: &Arc<Cluster>,
        load: Load,
        every: Option<Duration>,
    ) -> Result<Self, BenchError> {
        let readers = try_join_all((0..cluster.members()).map(|index| cluster.events(index))).await?;
        Ok(Self { cluster: Arc::clone(cluster), load, every, epoch: Instant::now(), readers })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (load, every, epoch) = (self.load.clone(), self.every, self.epoch);
        let clock = move || epoch.elapsed();
        let deadline = Instant::now() + length;
        let mut readers = mem::take(&mut self.readers).into_iter().enumerate();
        let here = (every.is_none()).then(|| readers.next()).flatten();
        let receiving =
            readers.map(|(index, reader)| self.cluster.at(index, move |_| receive(reader, clock)));
        let receiving = try_join_all(receiving);
        let (sent, received) = match (every, here) {
            (Some(every), _) => {
                let sending = move |group| send_until(group, load, every, clock, deadline);
                try_join(self.cluster.at(0, sending), receiving).await?
            }
            (None, Some((_, reader))) => {
                let sending = move |group| send_each_after(group, reader, load, clock, deadline);
                let ((sent, own), others) = try_join(self.cluster.at(0, sending), receiving).await?;
                (sent, iter::once(own).chain(others).collect())
            }
            (None, None) => return Err(BenchError::ours("a round failed before")),
        };
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

/// Sends stamped messages, each as soon as the one before is delivered here, and times them here.
async fn send_each_after(
    group: Group,
    mut events: GroupEvents,
    load: Load,
    clock: impl Fn() -> Duration,
    deadline: Instant,
) -> Result<(u64, (GroupEvents, Latencies)), BenchError> {
    let mut latencies = Latencies::new();
    loop {
        let last = Instant::now() >= deadline;
        group.send(load.stamped(clock(), last)).await.map_err(BenchError::ours)?;
        let payload = next_message(&mut events).await?;
        latencies.record(since_stamp(&payload, &clock)?);
        if last {
            return Ok((latencies.count(), (events, latencies)));
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
        latencies.record(since_stamp(&payload, &clock)?);
        if Load::ends(&payload) {
            return Ok((events, latencies));
        }
    }
}

fn since_stamp(payload: &[u8], clock: impl Fn() -> Duration) -> Result<Duration, BenchError> {
    let stamp = Load::stamp(payload).ok_or_else(|| BenchError::ours("a message without a stamp"))?;
    Ok(clock().saturating_sub(stamp))
}
