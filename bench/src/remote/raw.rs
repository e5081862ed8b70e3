//! Bare quinn to a machine that answers, and its other side.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_transport::Lane;

use super::{MESSAGE_BYTES_MAX, Near, Peers, RawAt, Service, TOKEN_BYTES};
use crate::{
    BenchError, TransportKind,
    harness::Side,
    load::{Load, frame_batch},
    raw::{NAME, RawEnds, Tuning, ask_until, client_config, count, endpoint, server_config},
    sample::Sample,
    stage::Stage,
};

/// Listens for bare connections; within a runtime only. Says where, and what certificate to trust.
pub(super) fn listen(beside: SocketAddr) -> Result<(Endpoint, RawAt), BenchError> {
    // The next port, which a firewall can be told of; any where any will do.
    let port = if beside.port() == 0 { Some(0) } else { beside.port().checked_add(1) };
    let port =
        port.ok_or_else(|| BenchError::Settings("there is no port beside 65535: choose another".into()))?;
    let (server, certificate) = server_config(Tuning::CHOSEN).map_err(BenchError::baseline)?;
    let listening = endpoint(Tuning::CHOSEN, SocketAddr::new(beside.ip(), port), Some(server))?;
    let at = RawAt {
        port: listening.local_addr()?.port(),
        certificate: certificate.to_vec(),
        token: rand::random(),
    };
    Ok((listening, at))
}

/// Serves bare connections until the endpoint is closed.
pub(super) async fn serve(listening: Endpoint, at: Arc<RawAt>) {
    while let Some(incoming) = listening.accept().await {
        let at = Arc::clone(&at);
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, recv)) = connection.accept_bi().await {
                tokio::spawn(serve_stream(send, recv, at.token));
            }
        });
    }
}

/// The token, then a byte that says what is wanted, and four how long messages are.
async fn serve_stream(
    mut send: SendStream,
    mut recv: RecvStream,
    token: [u8; TOKEN_BYTES],
) -> Result<(), BenchError> {
    let (mut shown, mut head) = ([0; TOKEN_BYTES], [0; 5]);
    recv.read_exact(&mut shown).await.map_err(BenchError::baseline)?;
    recv.read_exact(&mut head).await.map_err(BenchError::baseline)?;
    let [service, bytes @ ..] = head;
    let bytes = u32::from_le_bytes(bytes) as usize;
    if shown != token || !(1..=MESSAGE_BYTES_MAX).contains(&bytes) {
        return Err(BenchError::Baseline("a stream that nobody here has asked for".into()));
    }
    if service == Service::Echo.number() {
        let mut buffer = vec![0; bytes];
        loop {
            recv.read_exact(&mut buffer).await.map_err(BenchError::baseline)?;
            send.write_all(&buffer).await.map_err(BenchError::baseline)?;
        }
    }
    loop {
        let received = count(&mut recv).await?;
        send.write_all(&received.to_le_bytes()).await.map_err(BenchError::baseline)?;
    }
}

/// This machine's end of a bare connection to another one.
#[derive(Debug)]
pub(super) struct RawNear {
    stage: Arc<Stage>,
    connection: Connection,
    token: [u8; TOKEN_BYTES],
    _endpoint: Endpoint,
}

impl RawNear {
    /// Asks over a link where the other one is, and connects to it.
    pub(super) async fn new(stage: &Arc<Stage>, peers: &Peers, addr: SocketAddr) -> Result<Self, BenchError> {
        let near = Near::new(stage, TransportKind::Quic, peers, addr).await?;
        let link = Arc::clone(near.link());
        let connecting = async move {
            let mut asked = link.open(Lane::Control).await.map_err(BenchError::ours)?;
            let (_, mut answers) = link.accept().await.map_err(BenchError::ours)?;
            let mut said = Vec::new();
            answers.recv(&mut said).await.map_err(BenchError::ours)?;
            let body = said.pop().ok_or_else(|| BenchError::ours("the lane ended"))?.into_body();
            let at: RawAt = serde_json::from_slice(&body).map_err(BenchError::ours)?;
            asked.finish().await.map_err(BenchError::ours)?;
            let config =
                client_config(Tuning::CHOSEN, at.certificate.into()).map_err(BenchError::baseline)?;
            let anywhere = SocketAddr::new(super::link::unspecified(addr), 0);
            let mut dialing = endpoint(Tuning::CHOSEN, anywhere, None)?;
            dialing.set_default_client_config(config);
            let connecting = dialing.connect(SocketAddr::new(addr.ip(), at.port), NAME);
            let connection = connecting.map_err(BenchError::baseline)?.await.map_err(BenchError::baseline)?;
            Ok((dialing, connection, at.token))
        };
        let (endpoint, connection, token) = stage.at(0, connecting).await?;
        Ok(Self { stage: Arc::clone(stage), connection, token, _endpoint: endpoint })
    }

    async fn ask(&self, service: Service, load: &Load) -> Result<(SendStream, RecvStream), BenchError> {
        let (connection, token, bytes) = (self.connection.clone(), self.token, load.message_bytes as u32);
        self.stage
            .at(0, async move {
                let (mut send, recv) = connection.open_bi().await.map_err(BenchError::baseline)?;
                let [b0, b1, b2, b3] = bytes.to_le_bytes();
                send.write_all(&token).await.map_err(BenchError::baseline)?;
                let head = [service.number(), b0, b1, b2, b3];
                send.write_all(&head).await.map_err(BenchError::baseline)?;
                Ok((send, recv))
            })
            .await
    }
}

/// The same messages on a bare stream; the time ends when the other machine says how many came.
#[derive(Debug)]
pub(super) struct RawFarFlow {
    stage: Arc<Stage>,
    load: Load,
    stream: Option<(SendStream, RecvStream)>,
}

impl RawFarFlow {
    pub(super) async fn new(near: &RawNear, load: Load) -> Result<Self, BenchError> {
        let stream = Some(near.ask(Service::Count, &load).await?);
        Ok(Self { stage: Arc::clone(&near.stage), load, stream })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let gone = || BenchError::Baseline("a round failed before".into());
        let (mut send, mut recv) = self.stream.take().ok_or_else(gone)?;
        let (load, started) = (self.load.clone(), Instant::now());
        let running = async move {
            let (mut pieces, mut sent) = (Vec::new(), 0);
            loop {
                let ends = started.elapsed() >= length;
                frame_batch(&load, ends, &mut pieces);
                sent += load.per_batch() as u64;
                send.write_all_chunks(&mut pieces).await.map_err(BenchError::baseline)?;
                if ends {
                    break;
                }
            }
            let mut said = [0; 8];
            recv.read_exact(&mut said).await.map_err(BenchError::baseline)?;
            Ok((send, recv, sent, u64::from_le_bytes(said)))
        };
        let (send, recv, sent, received) = self.stage.at(0, running).await?;
        let elapsed = started.elapsed();
        self.stream = Some((send, recv));
        if sent != received {
            return Err(BenchError::Miscounted { sent, received });
        }
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for RawFarFlow {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// A message on a bare stream to another machine and back, one after the other.
#[derive(Debug)]
pub(super) struct RawFarEcho {
    stage: Arc<Stage>,
    load: Load,
    ends: Option<RawEnds>,
}

impl RawFarEcho {
    pub(super) async fn new(near: &RawNear, load: Load) -> Result<Self, BenchError> {
        let (send, recv) = near.ask(Service::Echo, &load).await?;
        Ok(Self { stage: Arc::clone(&near.stage), load, ends: Some(RawEnds { send, recv }) })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let ends = self.ends.take().ok_or_else(|| BenchError::Baseline("a round failed before".into()))?;
        let asking = ask_until(ends, self.load.clone(), None, Instant::now() + length);
        let (ends, latencies) = self.stage.at(0, asking).await?;
        self.ends = Some(ends);
        Ok(latencies.into_sample())
    }
}

impl Side for RawFarEcho {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}
