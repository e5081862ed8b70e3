//! A group whose members are this machine and the others, and bare quinn to the same.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join, join_all, try_join, try_join_all};
use quorate::{GroupEvents, protocols::Order};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    Peers,
    link::unspecified,
    member::Member,
    talk::{Talk, unexpected},
    words::{Ask, Said},
};
use crate::{
    BenchError,
    measure::{Load, Sample, Side},
    multicast::{flow, latency},
    places::Stage,
};

/// A node here, and one on each of the other machines, which a conversation each tells what to do.
pub(super) struct Party {
    pub(super) here: Member,
    pub(super) talks: AsyncMutex<Vec<Talk>>,
    pub(super) others: usize,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a node here and {} elsewhere", self.others)
    }
}

impl Party {
    /// Has all found a group. Within an actix system only.
    pub(super) async fn found(stage: &Arc<Stage>, peers: &Peers, order: Order) -> Result<Self, BenchError> {
        let (mut talks, mut members) = (Vec::new(), vec![peers.credentials.identity().node.get()]);
        for &addr in &peers.addrs {
            let talk = Talk::open(stage, peers, addr).await?;
            members.push(talk.node());
            talks.push(talk);
        }
        let mut seeds = Vec::new();
        for talk in &mut talks {
            let join = Ask::Join { members: members.clone(), seeds: seeds.clone(), order };
            match talk.ask(&join).await? {
                Said::Joined { port } => seeds.push(SocketAddr::new(talk.addr.ip(), port)),
                other => return Err(unexpected(&other)),
            }
        }
        let anywhere = seeds
            .first()
            .map_or(SocketAddr::from(([0; 4], 0)), |addr| SocketAddr::new(unspecified(*addr), 0));
        let mut here = Member::join(peers.credentials.clone(), anywhere, (members, seeds), order).await?;
        let others = talks.len();
        let told = try_join_all(talks.iter_mut().map(|talk| talk.order(&Ask::Await)));
        try_join(here.founded(), told).await?;
        Ok(Self { here, talks: AsyncMutex::new(talks), others })
    }

    /// Has each of the others count a round.
    pub(super) async fn count(&self, words: &Ask) -> Result<Vec<u64>, BenchError> {
        let mut talks = self.talks.lock().await;
        try_join_all(talks.iter_mut().map(|talk| talk.count(words))).await
    }

    /// Stops all nodes. The others have stopped then, so that another group may begin there.
    pub(super) async fn stop(self) {
        let mut talks = self.talks.into_inner();
        let leaving = join_all(talks.iter_mut().map(|talk| talk.order(&Ask::Leave)));
        // What fails now is no reason to lose the figures.
        join(self.here.stop(), leaving).await;
    }
}

/// Checks that the others have got what was sent.
pub(super) fn all_got(sent: u64, counts: impl IntoIterator<Item = u64>) -> Result<(), BenchError> {
    counts.into_iter().try_for_each(|received| BenchError::unless_all_came(sent, received))
}

/// Messages multicast from here as fast as the group takes them; the time ends when all have said how many came.
#[derive(Debug)]
pub(super) struct FarGroupFlow<'a> {
    pub(super) party: &'a Party,
    pub(super) load: Load,
    pub(super) batches: usize,
    pub(super) reader: Option<GroupEvents>,
}

impl FarGroupFlow<'_> {
    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let reader = self.reader.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let (place, load, batches, started) =
            (&self.party.here.place, self.load.clone(), self.batches, Instant::now());
        let working = try_join(
            place.at(move |group| flow::send_until(group, load, batches, started + length)),
            place.at(move |_| flow::receive(reader, 1)),
        );
        let ((sent, (reader, received, _)), counts) =
            try_join(working, self.party.count(&Ask::CountGroup)).await?;
        let elapsed = started.elapsed();
        self.reader = Some(reader);
        all_got(sent, counts.into_iter().chain([received]))?;
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for FarGroupFlow<'_> {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// How long a message takes until it is delivered here, where its sender is: no other clock is known.
#[derive(Debug)]
pub(super) struct FarGroupLatency<'a> {
    pub(super) party: &'a Party,
    pub(super) load: Load,
    pub(super) every: Duration,
    pub(super) reader: Option<GroupEvents>,
}

impl FarGroupLatency<'_> {
    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let reader = self.reader.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let (place, load, every, epoch) =
            (&self.party.here.place, self.load.clone(), self.every, Instant::now());
        let clock = move || epoch.elapsed();
        let working = try_join(
            place.at(move |group| latency::send_until(group, load, every, clock, epoch + length)),
            place.at(move |_| latency::receive(reader, clock)),
        );
        let ((sent, (reader, latencies)), counts) =
            try_join(working, self.party.count(&Ask::CountGroup)).await?;
        self.reader = Some(reader);
        all_got(sent, counts.into_iter().chain([latencies.count()]))?;
        Ok(latencies.into_sample())
    }
}

impl Side for FarGroupLatency<'_> {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}
