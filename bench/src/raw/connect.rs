//! Bare quinn opens a connection and gets the first byte back, again and again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join};
use quinn::Connection;

use super::{RawNet, Tuning};
use crate::{
    BenchError,
    harness::Side,
    sample::{Latencies, Sample},
    stage::Stage,
};

/// What a connection goes on from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resumption {
    /// Nothing: certificates are shown each time.
    None,
    /// A ticket of an earlier connection.
    Ticket,
    /// The same, and the first byte is sent along with it.
    ZeroRtt,
}

/// Bare quinn opens a connection and gets the first byte back, again and again.
#[derive(Debug)]
pub(crate) struct RawConnect {
    net: RawNet,
    resumption: Resumption,
}

impl RawConnect {
    pub(crate) async fn new(stage: &Arc<Stage>, resumption: Resumption) -> Result<Self, BenchError> {
        let net = RawNet::resuming(stage, 2, Tuning::CHOSEN, resumption != Resumption::None).await?;
        Ok(Self { net, resumption })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (dialer, listener) = (self.net.endpoint(0), self.net.endpoint(1));
        let addr = listener.local_addr()?;
        let (early, begun) = (self.resumption == Resumption::ZeroRtt, Instant::now());
        let dialing = self.net.stage.at(0, async move {
            let mut latencies = Latencies::new();
            loop {
                let at = Instant::now();
                let last = begun.elapsed() >= length;
                let connecting = dialer.connect(addr, super::net::NAME).map_err(BenchError::baseline)?;
                // Without a ticket there is nothing to send early with.
                let connection = if early {
                    match connecting.into_0rtt() {
                        Ok((connection, _)) => connection,
                        Err(connecting) => connecting.await.map_err(BenchError::baseline)?,
                    }
                } else {
                    connecting.await.map_err(BenchError::baseline)?
                };
                exchange(&connection, last).await?;
                latencies.record(at.elapsed());
                connection.close(0_u32.into(), b"");
                if last {
                    return Ok(latencies);
                }
            }
        });
        let answering = self.net.stage.at(1, async move {
            loop {
                let incoming =
                    listener.accept().await.ok_or_else(|| BenchError::Baseline("closed".into()))?;
                let connecting = incoming.accept().map_err(BenchError::baseline)?;
                let connection = match connecting.into_0rtt() {
                    Ok((connection, _)) => connection,
                    Err(connecting) => connecting.await.map_err(BenchError::baseline)?,
                };
                let last = answer(&connection).await?;
                // Dropped before, it would take the answer along.
                connection.closed().await;
                if last {
                    return Ok(());
                }
            }
        });
        let (latencies, ()) = try_join(dialing, answering).await?;
        Ok(latencies.into_sample())
    }
}

impl Side for RawConnect {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends a byte, which says whether it is the last, and waits until it is back.
async fn exchange(connection: &Connection, last: bool) -> Result<(), BenchError> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(BenchError::baseline)?;
    send.write_all(&[u8::from(last)]).await.map_err(BenchError::baseline)?;
    recv.read_exact(&mut [0]).await.map_err(BenchError::baseline)
}

/// Sends back what comes, and returns whether it was the last.
async fn answer(connection: &Connection) -> Result<bool, BenchError> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(BenchError::baseline)?;
    let mut byte = [0];
    recv.read_exact(&mut byte).await.map_err(BenchError::baseline)?;
    send.write_all(&byte).await.map_err(BenchError::baseline)?;
    Ok(byte == [1])
}
