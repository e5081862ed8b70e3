//! Bare quinn carries a message to another node and back while others take all that the connection carries.

use std::{
    slice,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join4};
use quinn::{Connection, RecvStream, SendStream};

use super::{RawEnds, RawNet, Tuning, ask_until, count, echo::answer, send_until};
use crate::{
    BenchError,
    measure::{BATCH_BYTES, Load, Sample, Side},
    places::Stage,
};

/// A message to another node and back on streams of its own, beside a stream that is always full.
#[derive(Debug)]
pub(crate) struct RawBeside {
    net: RawNet,
    load: Load,
    streams: Option<Streams>,
    _connections: [Connection; 2],
}

#[derive(Debug)]
struct Streams {
    near: RawEnds,
    far: RawEnds,
    full: (SendStream, RecvStream),
}

impl RawBeside {
    /// The message's streams have a priority: above that of the full one, which is 0, they go ahead of it.
    pub(crate) async fn new(stage: &Arc<Stage>, load: Load, priority: i32) -> Result<Self, BenchError> {
        let net = RawNet::new(stage, 2, Tuning::CHOSEN).await?;
        let (near, far) = net.connect(0, 1).await?;
        let full = net.stream((0, &near), (1, &far)).await?;
        let (there_send, there_recv) = net.stream((0, &near), (1, &far)).await?;
        let (back_send, back_recv) = net.stream((1, &far), (0, &near)).await?;
        for stream in [&there_send, &back_send] {
            stream.set_priority(priority).map_err(BenchError::baseline)?;
        }
        let streams = Some(Streams {
            near: RawEnds { send: there_send, recv: back_recv },
            far: RawEnds { send: back_send, recv: there_recv },
            full,
        });
        Ok(Self { net, load, streams, _connections: [near, far] })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let gone = || BenchError::Baseline("a round failed before".into());
        let Streams { near, far, full: (mut send, mut recv) } = self.streams.take().ok_or_else(gone)?;
        let (stage, deadline) = (&self.net.stage, Instant::now() + length);
        let asking = stage.at(0, ask_until(near, self.load.clone(), None, deadline));
        let answering = stage.at(1, answer(far, self.load.message_bytes));
        let sending = stage.at(0, async move {
            send_until(slice::from_mut(&mut send), &Load::new(BATCH_BYTES), deadline).await?;
            Ok(send)
        });
        let receiving = stage.at(1, async move {
            count(&mut recv).await?;
            Ok(recv)
        });
        let ((near, latencies), far, send, recv) = try_join4(asking, answering, sending, receiving).await?;
        self.streams = Some(Streams { near, far, full: (send, recv) });
        Ok(latencies.into_sample())
    }
}

impl Side for RawBeside {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}
