//! Messages published as fast as the bus takes them.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join, try_join_all};
use quorate::{Bus, Publishing, Subject, SubscribeOptions, Subscription};

use super::Target;
use crate::{
    BenchError,
    measure::{Load, Sample, Side},
    places::{Cluster, Stage},
};

/// Publishers on threads of their own, each with a handle of the bus of the first node.
pub(crate) struct BusFlow {
    stage: Arc<Stage>,
    handles: Vec<Bus>,
    subject: Subject,
    load: Load,
    callers: usize,
    reader: Option<Subscription>,
}

impl fmt::Debug for BusFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} publishers on {}", self.handles.len(), self.subject)
    }
}

impl BusFlow {
    /// So many publishers. The stage has a thread for each, and one for the subscriber. Each side of a
    /// comparison has a subject of its own.
    pub(crate) async fn new(
        cluster: &Cluster,
        stage: &Arc<Stage>,
        target: Target,
        (handle, subject): (Bus, Subject),
        publishers: usize,
        load: Load,
        callers: usize,
    ) -> Result<Self, BenchError> {
        let reads = |options: SubscribeOptions| {
            let bus = cluster.node(0).bus();
            let subject = subject.clone();
            async move { bus.subscribe(subject.as_str(), options).await.map_err(BenchError::ours) }
        };
        let reader = match target {
            Target::Local => Some(reads(SubscribeOptions::default().backpressure()).await?),
            _ => None,
        };
        let handles = vec![handle; publishers];
        Ok(Self { stage: Arc::clone(stage), handles, subject, load, callers, reader })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let started = Instant::now();
        let publishing = self.handles.iter().enumerate().map(|(index, bus)| {
            let (bus, subject, load) = (bus.clone(), self.subject.clone(), self.load.clone());
            let publishing = publish_until(bus, subject, load, self.callers, started + length);
            self.stage.at(index, publishing)
        });
        let (reader, publishers) = (self.reader.take(), self.handles.len());
        let receiving = self.stage.at(publishers, receive(reader, publishers));
        let (sent, (reader, received)) = try_join(try_join_all(publishing), receiving).await?;
        let elapsed = started.elapsed();
        let sent = sent.into_iter().sum();
        if reader.is_some() {
            BenchError::unless_all_came(sent, received)?;
        }
        self.reader = reader;
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for BusFlow {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Publishes until the time is over, and then one the last. So many may wait to be acknowledged.
async fn publish_until(
    bus: Bus,
    subject: Subject,
    load: Load,
    callers: usize,
    deadline: Instant,
) -> Result<u64, BenchError> {
    let mut sent = 0;
    let mut on_their_way: VecDeque<Publishing> = VecDeque::with_capacity(callers);
    loop {
        let ends = Instant::now() >= deadline;
        let begun = bus.begin(&subject, load.message(ends).clone()).await.map_err(BenchError::ours)?;
        on_their_way.push_back(begun);
        sent += 1;
        while (ends || on_their_way.len() >= callers)
            && let Some(first) = on_their_way.pop_front()
        {
            first.acknowledged().await.map_err(BenchError::ours)?;
        }
        if ends {
            return Ok(sent);
        }
    }
}

/// Counts the messages of a round, until each publisher's last one.
pub(crate) async fn receive(
    mut reader: Option<Subscription>,
    publishers: usize,
) -> Result<(Option<Subscription>, u64), BenchError> {
    let (mut received, mut ended) = (0, 0);
    while ended < publishers
        && let Some(subscription) = &mut reader
    {
        let delivery = subscription.next().await.ok_or_else(|| BenchError::ours("the bus ended"))?;
        if let Some(missed) = delivery.missed {
            return Err(BenchError::ours(format!("the subscriber missed messages: {missed:?}")));
        }
        received += 1;
        ended += usize::from(Load::ends(&delivery.payload));
    }
    Ok((reader, received))
}
