//! One publisher for subscribers on other nodes, as fast as its bus takes messages.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join, try_join_all};
use quorate::{Bus, Subject, SubscribeOptions, Subscription};

use super::flow::receive;
use crate::{
    BenchError,
    measure::{Load, Sample, Side},
    places::Cluster,
};

/// Messages that may wait for a subscriber, beside the bound of bytes that every subscription has.
const WAITING_MAX: usize = 1 << 16;

/// How somebody subscribes who counts all that is published.
pub(crate) fn counting() -> SubscribeOptions {
    SubscribeOptions::default().capacity(WAITING_MAX).backpressure()
}

/// The first node publishes; each other one has a subscriber. All work on the threads of their nodes.
#[derive(Debug)]
pub(super) struct BusFan {
    cluster: Arc<Cluster>,
    subject: Subject,
    load: Load,
    subscribers: Vec<Subscription>,
}

impl BusFan {
    pub(super) async fn new(
        cluster: &Arc<Cluster>,
        subject: Subject,
        load: Load,
    ) -> Result<Self, BenchError> {
        let mut subscribers = Vec::new();
        for index in 1..cluster.members() {
            let subscribed = cluster.node(index).bus().subscribe(subject.as_str(), counting()).await;
            subscribers.push(subscribed.map_err(BenchError::ours)?);
        }
        Ok(Self { cluster: Arc::clone(cluster), subject, load, subscribers })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let started = Instant::now();
        let (bus, subject, load) = (self.cluster.node(0).bus(), self.subject.clone(), self.load.clone());
        let publishing = self.cluster.at(0, move |_| publish_until(bus, subject, load, started + length));
        let receiving = mem::take(&mut self.subscribers)
            .into_iter()
            .enumerate()
            .map(|(index, subscriber)| self.cluster.at(index + 1, move |_| receive(Some(subscriber), 1)));
        let (sent, received) = try_join(publishing, try_join_all(receiving)).await?;
        let elapsed = started.elapsed();
        for (subscriber, count) in received {
            BenchError::unless_all_came(sent, count)?;
            self.subscribers.extend(subscriber);
        }
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for BusFan {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Publishes until the time is over, and then one the last; returns how many once all are acknowledged.
pub(crate) async fn publish_until(
    bus: Bus,
    subject: Subject,
    load: Load,
    deadline: Instant,
) -> Result<u64, BenchError> {
    let mut sent = 0;
    loop {
        let ends = Instant::now() >= deadline;
        let begun = bus.begin(&subject, load.message(ends).clone()).await.map_err(BenchError::ours)?;
        sent += 1;
        if ends {
            begun.acknowledged().await.map_err(BenchError::ours)?;
            return Ok(sent);
        }
    }
}
