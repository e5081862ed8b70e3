//! Our links to a machine that answers.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use quorate_transport::{LaneReceiver, LaneSender, Link, Transport};

use super::{Peers, Service, bind, endpoint};
use crate::{
    BenchError, TransportKind,
    measure::{Load, Sample, Side},
    places::Stage,
    transport::{Ends, Framing, ask_until, send_until},
};

/// This machine's end of a link to another one.
#[derive(Debug)]
pub(super) struct Near {
    stage: Arc<Stage>,
    link: Arc<dyn Link>,
    _transport: Arc<dyn Transport>,
}

impl Near {
    pub(super) async fn new(
        stage: &Arc<Stage>,
        kind: TransportKind,
        peers: &Peers,
        addr: SocketAddr,
    ) -> Result<Self, BenchError> {
        let (credentials, anywhere) = (peers.credentials.clone(), SocketAddr::new(unspecified(addr), 0));
        let connecting = async move {
            let transport = bind(kind, credentials, anywhere)?;
            let link = transport.connect(&endpoint(addr)).await.map_err(BenchError::ours)?;
            Ok((transport, link))
        };
        let (transport, link) = stage.at(0, connecting).await?;
        Ok(Self { stage: Arc::clone(stage), link, _transport: transport })
    }

    pub(super) const fn link(&self) -> &Arc<dyn Link> {
        &self.link
    }

    /// Opens the lane of a service, whose answers come on another one.
    async fn ask(
        &self,
        service: Service,
    ) -> Result<(Box<dyn LaneSender>, Box<dyn LaneReceiver>), BenchError> {
        let link = Arc::clone(&self.link);
        self.stage
            .at(0, async move {
                let sender = link.open(service.lane()).await.map_err(BenchError::ours)?;
                let (_, receiver) = link.accept().await.map_err(BenchError::ours)?;
                Ok((sender, receiver))
            })
            .await
    }
}

/// The address that stands for all of this machine, of the kind that reaches the other one.
pub(super) fn unspecified(other: SocketAddr) -> std::net::IpAddr {
    if other.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    }
}

/// Frames to another machine as fast as the lane takes them; the time ends when it says how many came.
#[derive(Debug)]
pub(super) struct FarFlow {
    stage: Arc<Stage>,
    load: Load,
    framing: Framing,
    lane: Option<(Box<dyn LaneSender>, Box<dyn LaneReceiver>)>,
}

impl FarFlow {
    pub(super) async fn new(near: &Near, load: Load, framing: Framing) -> Result<Self, BenchError> {
        let service = if framing == Framing::Single { Service::Count } else { Service::CountBundles };
        let lane = Some(near.ask(service).await?);
        Ok(Self { stage: Arc::clone(&near.stage), load, framing, lane })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (sender, mut receiver) =
            self.lane.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let started = Instant::now();
        let sending = send_until(sender, self.load.clone(), self.framing, started + length);
        let running = async move {
            let (sender, sent) = sending.await?;
            let mut said = Vec::new();
            receiver.recv(&mut said).await.map_err(BenchError::ours)?;
            let body = said.pop().ok_or_else(|| BenchError::ours("the lane ended"))?.into_body();
            let received = body.first_chunk().map(|count| u64::from_le_bytes(*count));
            let received = received.ok_or_else(|| BenchError::ours("the peer does not say how many came"))?;
            Ok((sender, receiver, sent, received))
        };
        let (sender, receiver, sent, received) = self.stage.at(0, running).await?;
        let elapsed = started.elapsed();
        self.lane = Some((sender, receiver));
        BenchError::unless_all_came(sent, received)?;
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for FarFlow {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// A frame to another machine and back, one after the other.
#[derive(Debug)]
pub(super) struct FarEcho {
    stage: Arc<Stage>,
    load: Load,
    ends: Option<Ends>,
}

impl FarEcho {
    pub(super) async fn new(near: &Near, load: Load) -> Result<Self, BenchError> {
        let (sender, receiver) = near.ask(Service::Echo).await?;
        Ok(Self { stage: Arc::clone(&near.stage), load, ends: Some(Ends::new(sender, receiver)) })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let ends = self.ends.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let asking = ask_until(ends, self.load.clone(), Instant::now() + length);
        let (ends, latencies) = self.stage.at(0, asking).await?;
        self.ends = Some(ends);
        Ok(latencies.into_sample())
    }
}

impl Side for FarEcho {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}
