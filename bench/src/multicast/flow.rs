//! Messages multicast as fast as the group takes them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all, try_join, try_join_all};
use quorate::{Group, GroupEvents};

use crate::{
    BenchError,
    measure::{Load, Sample, Side},
    places::{Cluster, next_message},
};

/// Messages multicast by the first members as fast as the group takes them.
#[derive(Debug)]
pub(crate) struct GroupFlow {
    cluster: Arc<Cluster>,
    senders: usize,
    load: Load,
    batches: usize,
}

impl GroupFlow {
    pub(crate) fn new(cluster: &Arc<Cluster>, senders: usize, load: Load, batches: usize) -> Self {
        Self { cluster: Arc::clone(cluster), senders, load, batches }
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        // For this round alone: another side may use the same group in turns with this one.
        let readers =
            try_join_all((0..self.cluster.members()).map(|index| self.cluster.events(index))).await?;
        let started = Instant::now();
        let (senders, batches) = (self.senders, self.batches);
        let sending = (0..senders).map(|index| {
            let load = self.load.clone();
            self.cluster.at(index, move |group| send_until(group, load, batches, started + length))
        });
        let receiving = readers
            .into_iter()
            .enumerate()
            .map(|(index, reader)| self.cluster.at(index, move |_| receive(reader, senders)));
        let (sent, received) = try_join(try_join_all(sending), try_join_all(receiving)).await?;
        let sent = sent.into_iter().sum();
        let mut over = started;
        for (_, count, ended) in received {
            BenchError::unless_all_came(sent, count)?;
            over = over.max(ended);
        }
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed: over - started })
    }
}

impl Side for GroupFlow {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends batches, so many at a time, until the time is over, and then one message, the last.
pub(crate) async fn send_until(
    group: Group,
    load: Load,
    batches: usize,
    deadline: Instant,
) -> Result<u64, BenchError> {
    let calls = (0..batches).map(|_| async {
        let mut sent = 0;
        while Instant::now() < deadline {
            group.send_all(load.batch(false).cloned()).await.map_err(BenchError::ours)?;
            sent += load.per_batch() as u64;
        }
        Ok(sent)
    });
    let sent: u64 = join_all(calls).await.into_iter().sum::<Result<u64, BenchError>>()?;
    group.send(load.message(true).clone()).await.map_err(BenchError::ours)?;
    Ok(sent + 1)
}

/// Counts the messages of a round, until each sender's last one.
pub(crate) async fn receive(
    mut events: GroupEvents,
    senders: usize,
) -> Result<(GroupEvents, u64, Instant), BenchError> {
    let (mut received, mut ended) = (0, 0);
    while ended < senders {
        let payload = next_message(&mut events).await?;
        received += 1;
        ended += usize::from(Load::ends(&payload));
    }
    Ok((events, received, Instant::now()))
}
