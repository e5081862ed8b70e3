//! Requests from one node to another, one after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::task::JoinHandle;
use futures_util::future::BoxFuture;
use quorate::{Bus, Subject, SubscribeOptions, Subscription};

use crate::{
    BenchError,
    measure::{Latencies, Load, Sample, Side},
    places::Cluster,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first node asks; the second answers. Both work on the threads of their nodes.
#[derive(Debug)]
pub(super) struct BusAsking {
    cluster: Arc<Cluster>,
    subject: Subject,
    load: Load,
    answering: JoinHandle<()>,
}

impl BusAsking {
    pub(super) async fn new(
        cluster: &Arc<Cluster>,
        subject: Subject,
        load: Load,
    ) -> Result<Self, BenchError> {
        let bus = cluster.node(1).bus();
        let asked = bus.subscribe(subject.as_str(), SubscribeOptions::default()).await;
        let asked = asked.map_err(BenchError::ours)?;
        let answering = cluster.at(1, move |_| async { Ok(actix_rt::spawn(answer(bus, asked))) }).await?;
        Ok(Self { cluster: Arc::clone(cluster), subject, load, answering })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (bus, subject, load) = (self.cluster.node(0).bus(), self.subject.clone(), self.load.clone());
        let deadline = Instant::now() + length;
        self.cluster.at(0, move |_| ask_until(bus, subject, load, deadline)).await
    }
}

impl Side for BusAsking {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

impl Drop for BusAsking {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// Answers each request with what it brought.
pub(crate) async fn answer(bus: Bus, mut asked: Subscription) {
    while let Some(request) = asked.next().await {
        // Whoever asked finds out.
        let _ = bus.reply(&request, request.payload.clone()).await;
    }
}

/// Asks one request after the other, and times each until its answer is here.
pub(crate) async fn ask_until(
    bus: Bus,
    subject: Subject,
    load: Load,
    deadline: Instant,
) -> Result<Sample, BenchError> {
    let mut latencies = Latencies::new();
    loop {
        let begun = Instant::now();
        let answered = bus.request(&subject, load.message(false).clone(), PATIENCE).await;
        answered.map_err(BenchError::ours)?;
        latencies.record(begun.elapsed());
        if begun >= deadline {
            return Ok(latencies.into_sample());
        }
    }
}
