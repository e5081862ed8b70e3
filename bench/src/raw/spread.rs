//! Bare quinn carries the same messages from one or all nodes to all others.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join, try_join_all};
use quinn::{Connection, RecvStream, SendStream};

use super::{RawNet, Tuning};
use crate::{
    BenchError,
    measure::{Load, Sample, Side, Walker, frame_batch},
    places::Stage,
};

/// Pieces of a stream taken at once.
const PIECES: usize = 64;

/// Bare quinn carries the same messages from one or all nodes to all others.
#[derive(Debug)]
pub(crate) struct RawSpread {
    net: RawNet,
    load: Load,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    _connections: Vec<Connection>,
}

/// A node and its streams to all others.
#[derive(Debug)]
struct Sender {
    node: usize,
    streams: Vec<SendStream>,
}

/// A node and its stream from one other.
#[derive(Debug)]
struct Receiver {
    from: usize,
    node: usize,
    stream: RecvStream,
}

impl RawSpread {
    /// Joins the nodes, the first `senders` of which will send. One connection per pair of nodes
    /// of which one sends, and on it one stream per direction that is used.
    pub(crate) async fn new(
        stage: &Arc<Stage>,
        nodes: usize,
        senders: usize,
        load: Load,
    ) -> Result<Self, BenchError> {
        Self::with(Tuning::CHOSEN, stage, nodes, senders, load).await
    }

    /// The same with other settings.
    pub(crate) async fn with(
        tuning: Tuning,
        stage: &Arc<Stage>,
        nodes: usize,
        senders: usize,
        load: Load,
    ) -> Result<Self, BenchError> {
        let net = RawNet::new(stage, nodes, tuning).await?;
        let mut connections = Vec::new();
        let mut spread = Self {
            net,
            load,
            senders: (0..senders).map(|node| Sender { node, streams: Vec::new() }).collect(),
            receivers: Vec::new(),
            _connections: Vec::new(),
        };
        for from in 0..senders {
            for to in from + 1..nodes {
                let (near, far) = spread.net.connect(from, to).await?;
                spread.join((from, &near), (to, &far)).await?;
                if to < senders {
                    spread.join((to, &far), (from, &near)).await?;
                }
                connections.extend([near, far]);
            }
        }
        Ok(Self { _connections: connections, ..spread })
    }

    async fn join(&mut self, from: (usize, &Connection), to: (usize, &Connection)) -> Result<(), BenchError> {
        let (send, recv) = self.net.stream(from, to).await?;
        self.senders[from.0].streams.push(send);
        self.receivers.push(Receiver { from: from.0, node: to.0, stream: recv });
        Ok(())
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let started = Instant::now();
        let stage = &self.net.stage;
        let sending = mem::take(&mut self.senders)
            .into_iter()
            .map(|sender| stage.at(sender.node, send(sender, self.load.clone(), started + length)));
        let receiving = mem::take(&mut self.receivers)
            .into_iter()
            .map(|receiver| stage.at(receiver.node, receive(receiver)));
        let (sent, received) = try_join(try_join_all(sending), try_join_all(receiving)).await?;

        let counts: Vec<u64> = sent.iter().map(|(_, count)| *count).collect();
        self.senders = sent.into_iter().map(|(sender, _)| sender).collect();
        let mut over = started;
        for (receiver, count, ended) in received {
            BenchError::unless_all_came(counts[receiver.from], count)?;
            over = over.max(ended);
            self.receivers.push(receiver);
        }
        Ok(Sample::Flow {
            messages: counts.iter().sum(),
            message_bytes: self.load.message_bytes,
            elapsed: over - started,
        })
    }
}

impl Side for RawSpread {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

async fn send(mut sender: Sender, load: Load, deadline: Instant) -> Result<(Sender, u64), BenchError> {
    let count = send_until(&mut sender.streams, &load, deadline).await?;
    Ok((sender, count))
}

/// Sends batches on all streams until the time is over; returns how many messages went on each.
pub(crate) async fn send_until(
    streams: &mut [SendStream],
    load: &Load,
    deadline: Instant,
) -> Result<u64, BenchError> {
    let (mut pieces, mut count) = (Vec::new(), 0);
    loop {
        let ends = Instant::now() >= deadline;
        frame_batch(load, ends, &mut pieces);
        count += load.per_batch() as u64;
        write_all(streams, &mut pieces).await?;
        if ends {
            return Ok(count);
        }
    }
}

/// Writes the same pieces on all streams.
async fn write_all(streams: &mut [SendStream], pieces: &mut [Bytes]) -> Result<(), BenchError> {
    match streams {
        [only] => write(only, pieces).await,
        all => {
            let writes = all.iter_mut().map(|stream| {
                let mut pieces = pieces.to_vec();
                async move { write(stream, &mut pieces).await }
            });
            try_join_all(writes).await.map(drop)
        }
    }
}

async fn write(stream: &mut SendStream, pieces: &mut [Bytes]) -> Result<(), BenchError> {
    stream.write_all_chunks(pieces).await.map_err(BenchError::baseline)
}

/// Counts the messages of a round, and says when the last one came.
async fn receive(mut receiver: Receiver) -> Result<(Receiver, u64, Instant), BenchError> {
    let received = count(&mut receiver.stream).await?;
    Ok((receiver, received, Instant::now()))
}

/// Counts the messages of a round.
pub(crate) async fn count(stream: &mut RecvStream) -> Result<u64, BenchError> {
    let mut walker = Walker::default();
    let mut pieces = [const { Bytes::new() }; PIECES];
    while !walker.over {
        let read = stream.read_chunks(&mut pieces).await.map_err(BenchError::baseline)?;
        let count = read.ok_or_else(|| BenchError::Baseline("the stream ended".into()))?;
        for piece in &mut pieces[..count] {
            walker.walk(&mem::take(piece));
        }
    }
    Ok(walker.messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    /// Runs two short rounds and returns how many messages the second moved.
    fn messages(nodes: usize, senders: usize, bytes: usize) -> u64 {
        let stage = Arc::new(Stage::shared(2).expect("two threads"));
        let run = async {
            let mut spread = RawSpread::new(&stage, nodes, senders, Load::new(bytes)).await?;
            spread.round(Duration::from_millis(5)).await?;
            spread.round(Duration::from_millis(5)).await
        };
        match stage.node(0).block_on(run).expect("a round") {
            sample @ Sample::Flow { messages, .. } => {
                assert!(sample.read(Reading::Bytes) > Some(0.0));
                messages
            }
            _ => panic!("not a flow"),
        }
    }

    #[test]
    fn one_node_reaches_all_others_in_whole_batches() {
        let count = messages(3, 1, 64);
        assert!(count >= 1024 && count.is_multiple_of(1024), "{count}");
        assert!(messages(2, 1, 65_536) >= 1);
    }

    #[test]
    fn all_nodes_reach_all_others() {
        let count = messages(3, 3, 16 * 1024);
        assert!(count >= 12 && count.is_multiple_of(4), "{count}");
    }
}
