//! Bare quinn opens a connection and gets the first byte back, again and again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join};
use quinn::{Connection, SendStream};

use super::{RawNet, Tuning};
use crate::{
    BenchError,
    measure::{Latencies, Sample, Side},
    places::Stage,
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

impl Resumption {
    /// Whether a connection was of this kind that was resumed, or not, and whose first byte was taken early, or not.
    const fn was(self, resumed: bool, early: bool) -> bool {
        match self {
            Self::None => !resumed,
            Self::Ticket => resumed && !early,
            Self::ZeroRtt => resumed && early,
        }
    }
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
        let mut connect = Self { net, resumption };
        // The first has no ticket yet, and brings one.
        connect.open(Duration::ZERO).await?;
        Ok(connect)
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (latencies, others) = self.open(length).await?;
        check(latencies, others, self.resumption).map(Latencies::into_sample)
    }

    /// Opens connections for so long, at least one. Returns how long those took that were of the kind that is
    /// measured, and how many were not.
    async fn open(&mut self, length: Duration) -> Result<(Latencies, u64), BenchError> {
        let (dialer, listener) = (self.net.endpoint(0), self.net.endpoint(1));
        let addr = listener.local_addr()?;
        let (resumption, certificates, begun) = (self.resumption, self.net.certificates(), Instant::now());
        let dialing = self.net.stage.at(0, async move {
            let (mut latencies, mut others) = (Latencies::new(), 0);
            loop {
                let shown = certificates.shown();
                let at = Instant::now();
                let last = begun.elapsed() >= length;
                let connecting = dialer.connect(addr, super::net::NAME).map_err(BenchError::baseline)?;
                // Without a ticket there is nothing to send early with.
                let (connection, accepted) = match resumption {
                    Resumption::ZeroRtt => match connecting.into_0rtt() {
                        Ok((connection, accepted)) => (connection, Some(accepted)),
                        Err(connecting) => (connecting.await.map_err(BenchError::baseline)?, None),
                    },
                    _ => (connecting.await.map_err(BenchError::baseline)?, None),
                };
                exchange(&connection, false).await?;
                let took = at.elapsed();
                let early = match accepted {
                    Some(accepted) => accepted.await,
                    None => false,
                };
                // The answer to a byte that was sent early may be here before the next ticket; after this it is, too.
                exchange(&connection, last).await?;
                connection.close(0_u32.into(), b"");
                if resumption.was(certificates.shown() == shown, early) {
                    latencies.record(took);
                } else {
                    others += 1;
                }
                if last {
                    return Ok((latencies, others));
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
                answer(&connection).await?;
                let (last, mut answered) = answer(&connection).await?;
                answered.finish().map_err(BenchError::baseline)?;
                // Dropped before, it would take the answer along. It is there if the other end has closed already, too.
                let _ = answered.stopped().await;
                if last {
                    return Ok(());
                }
            }
        });
        try_join(dialing, answering).await.map(|(opened, ())| opened)
    }
}

impl Side for RawConnect {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Refuses a round most of whose connections were not what is measured.
fn check(latencies: Latencies, others: u64, resumption: Resumption) -> Result<Latencies, BenchError> {
    if latencies.count() > others {
        return Ok(latencies);
    }
    let all = latencies.count() + others;
    Err(BenchError::Baseline(format!(
        "{others} of {all} connections were not resumed as was asked for ({resumption:?})"
    )))
}

/// Sends a byte, which says whether it is the last, and waits until it is back.
async fn exchange(connection: &Connection, last: bool) -> Result<(), BenchError> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(BenchError::baseline)?;
    send.write_all(&[u8::from(last)]).await.map_err(BenchError::baseline)?;
    recv.read_exact(&mut [0]).await.map_err(BenchError::baseline)
}

/// Sends back what comes, and returns whether it was the last, and on what it was sent.
async fn answer(connection: &Connection) -> Result<(bool, SendStream), BenchError> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(BenchError::baseline)?;
    let mut byte = [0];
    recv.read_exact(&mut byte).await.map_err(BenchError::baseline)?;
    send.write_all(&byte).await.map_err(BenchError::baseline)?;
    Ok((byte == [1], send))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_what_they_are_counted_as() {
        let stage = Arc::new(Stage::thread_each(2).expect("two threads"));
        for resumption in [Resumption::None, Resumption::Ticket, Resumption::ZeroRtt] {
            let run = async {
                let mut connect = RawConnect::new(&stage, resumption).await?;
                let before = connect.net.certificates().shown();
                let sample = connect.round(Duration::from_millis(50)).await?;
                Ok::<_, BenchError>((connect.net.certificates().shown() - before, sample))
            };
            let (shown, sample) = stage.node(0).block_on(run).expect("a round");
            let counted = sample.latencies().expect("how long they took").len();
            let alike = if resumption == Resumption::None { shown == counted } else { shown == 0 };
            assert!(counted > 0 && alike, "{resumption:?}: {counted} counted, {shown} certificates");
        }
    }

    #[test]
    fn a_round_of_other_connections_is_refused() {
        let few = || {
            let mut latencies = Latencies::new();
            latencies.record(Duration::from_millis(1));
            latencies
        };
        assert!(check(few(), 0, Resumption::Ticket).is_ok());
        let refused = check(few(), 2, Resumption::Ticket).expect_err("two of three").to_string();
        assert!(
            refused.contains("2 of 3 connections were not resumed as was asked for (Ticket)"),
            "{refused}"
        );
        assert!(!Resumption::Ticket.was(false, false) && !Resumption::ZeroRtt.was(true, false));
    }
}
