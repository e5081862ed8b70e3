//! Bare quinn to a machine that answers, and its other side.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join_all};
use quinn::{Connection, Endpoint, RecvStream, SendStream};

use super::{
    Peers, Service,
    talk::{Talk, unexpected},
    words::{Ask, RawAt, Said, TOKEN_BYTES},
};
use crate::{
    BenchError,
    measure::{Load, MESSAGE_BYTES_MAX, Sample, Side},
    places::Stage,
    raw::{RawEnds, Tuning, ask_until, client_config, count, dial, endpoint, send_until, server_config},
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
        let mut talk = Talk::open(stage, peers, addr).await?;
        let at = match talk.ask(&Ask::Baseline).await? {
            Said::Baseline(at) => at,
            other => return Err(unexpected(&other)),
        };
        let connecting = async move {
            let config =
                client_config(Tuning::CHOSEN, at.certificate.into()).map_err(BenchError::baseline)?;
            let anywhere = SocketAddr::new(super::link::unspecified(addr), 0);
            let mut dialing = endpoint(Tuning::CHOSEN, anywhere, None)?;
            dialing.set_default_client_config(config);
            let connection = dial(&dialing, SocketAddr::new(addr.ip(), at.port)).await?;
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

/// Bare connections to all peers.
pub(super) async fn near_all(stage: &Arc<Stage>, peers: &Peers) -> Result<Vec<RawNear>, BenchError> {
    let mut all = Vec::new();
    for &addr in &peers.addrs {
        all.push(RawNear::new(stage, peers, addr).await?);
    }
    Ok(all)
}

/// The same messages on a bare stream to each; the time ends when all have said how many came.
#[derive(Debug)]
pub(super) struct RawFarSpread {
    stage: Arc<Stage>,
    load: Load,
    streams: Option<(Vec<SendStream>, Vec<RecvStream>)>,
}

impl RawFarSpread {
    /// To at least one.
    pub(super) async fn new(nears: &[RawNear], load: Load) -> Result<Self, BenchError> {
        let asking = nears.iter().map(|near| near.ask(Service::Count, &load));
        let streams = Some(try_join_all(asking).await?.into_iter().unzip());
        Ok(Self { stage: Arc::clone(&nears[0].stage), load, streams })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let gone = || BenchError::Baseline("a round failed before".into());
        let (mut sends, mut recvs) = self.streams.take().ok_or_else(gone)?;
        let (load, started) = (self.load.clone(), Instant::now());
        let running = async move {
            let sent = send_until(&mut sends, &load, started + length).await?;
            for recv in &mut recvs {
                let mut said = [0; 8];
                recv.read_exact(&mut said).await.map_err(BenchError::baseline)?;
                let received = u64::from_le_bytes(said);
                BenchError::unless_all_came(sent, received)?;
            }
            Ok(((sends, recvs), sent))
        };
        let (streams, sent) = self.stage.at(0, running).await?;
        let elapsed = started.elapsed();
        self.streams = Some(streams);
        Ok(Sample::Flow { messages: sent, message_bytes: self.load.message_bytes, elapsed })
    }
}

impl Side for RawFarSpread {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// A message on a bare stream to another machine and back, one after the other.
#[derive(Debug)]
pub(super) struct RawFarEcho {
    stage: Arc<Stage>,
    load: Load,
    every: Option<Duration>,
    ends: Option<RawEnds>,
}

impl RawFarEcho {
    /// One after the other, or one each so often.
    pub(super) async fn new(near: &RawNear, load: Load, every: Option<Duration>) -> Result<Self, BenchError> {
        let (send, recv) = near.ask(Service::Echo, &load).await?;
        Ok(Self { stage: Arc::clone(&near.stage), load, every, ends: Some(RawEnds { send, recv }) })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let ends = self.ends.take().ok_or_else(|| BenchError::Baseline("a round failed before".into()))?;
        let asking = ask_until(ends, self.load.clone(), self.every, Instant::now() + length);
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
