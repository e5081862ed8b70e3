//! Bare quinn carries a message to another node and back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join};
use quinn::{Connection, RecvStream, SendStream};

use super::{RawNet, Tuning};
use crate::{
    BenchError,
    measure::{Latencies, Load, Sample, Side, Turns},
    places::Stage,
};

/// Bare quinn carries a message to another node and back.
#[derive(Debug)]
pub(crate) struct RawEcho {
    net: RawNet,
    load: Load,
    /// Time from one message to the next; without, one follows when the other is back.
    every: Option<Duration>,
    near: Option<RawEnds>,
    far: Option<RawEnds>,
    _connections: [Connection; 2],
}

/// What one node reads from and writes to.
#[derive(Debug)]
pub(crate) struct RawEnds {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl RawEcho {
    pub(crate) async fn new(
        stage: &Arc<Stage>,
        load: Load,
        every: Option<Duration>,
    ) -> Result<Self, BenchError> {
        let net = RawNet::new(stage, 2, Tuning::CHOSEN).await?;
        let (near, far) = net.connect(0, 1).await?;
        let (there_send, there_recv) = net.stream((0, &near), (1, &far)).await?;
        let (back_send, back_recv) = net.stream((1, &far), (0, &near)).await?;
        Ok(Self {
            net,
            load,
            every,
            near: Some(RawEnds { send: there_send, recv: back_recv }),
            far: Some(RawEnds { send: back_send, recv: there_recv }),
            _connections: [near, far],
        })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let gone = || BenchError::Baseline("a round failed before".into());
        let (near, far) = (self.near.take().ok_or_else(gone)?, self.far.take().ok_or_else(gone)?);
        let deadline = Instant::now() + length;
        let asking = self.net.stage.at(0, ask_until(near, self.load.clone(), self.every, deadline));
        let answering = self.net.stage.at(1, answer(far, self.load.message_bytes));
        let ((near, latencies), far) = try_join(asking, answering).await?;
        (self.near, self.far) = (Some(near), Some(far));
        Ok(latencies.into_sample())
    }
}

impl Side for RawEcho {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Sends one message after the other and times its way there and back.
pub(crate) async fn ask_until(
    mut ends: RawEnds,
    load: Load,
    every: Option<Duration>,
    deadline: Instant,
) -> Result<(RawEnds, Latencies), BenchError> {
    let mut turns = Turns::new(every);
    let mut latencies = Latencies::new();
    let mut buffer = vec![0; load.message_bytes];
    loop {
        let asked = turns.next().await;
        let last = asked >= deadline;
        ends.send.write_chunk(load.message(last).clone()).await.map_err(BenchError::baseline)?;
        ends.recv.read_exact(&mut buffer).await.map_err(BenchError::baseline)?;
        latencies.record(asked.elapsed());
        if last {
            return Ok((ends, latencies));
        }
    }
}

/// Sends back what comes, until the last message of the round.
pub(super) async fn answer(mut ends: RawEnds, message_bytes: usize) -> Result<RawEnds, BenchError> {
    let mut buffer = vec![0; message_bytes];
    loop {
        ends.recv.read_exact(&mut buffer).await.map_err(BenchError::baseline)?;
        ends.send.write_all(&buffer).await.map_err(BenchError::baseline)?;
        if Load::ends(&buffer) {
            return Ok(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    fn round(every: Option<Duration>) -> u64 {
        let stage = Arc::new(Stage::thread_each(2).expect("two threads"));
        let run = async {
            let mut echo = RawEcho::new(&stage, Load::new(64), every).await?;
            echo.round(Duration::from_millis(10)).await?;
            echo.round(Duration::from_millis(10)).await
        };
        match stage.node(0).block_on(run).expect("a round") {
            Sample::Latency(histogram) => {
                let count = histogram.len();
                let sample = Sample::Latency(histogram);
                assert!(sample.read(Reading::Quantile(0.5)) > Some(0.0));
                count
            }
            _ => panic!("not a latency"),
        }
    }

    #[test]
    fn messages_come_back_one_after_the_other() {
        assert!(round(None) >= 2);
    }

    #[test]
    fn messages_at_a_pace_are_as_many_as_the_pace_asks_for() {
        // A busy machine may miss the pace now and then, and never sends more.
        let on_pace = (0..100).any(|_| {
            let count = round(Some(Duration::from_millis(2)));
            assert!(count <= 7, "{count}");
            count >= 5
        });
        assert!(on_pace);
    }
}
