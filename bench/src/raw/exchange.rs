//! Bare quinn exchanges what a group needs to deliver a message in a total order: it goes to every other node, and each
//! of those tells all others that it has come.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use quinn::{Connection, RecvStream, SendStream};

use super::{RawNet, Tuning};
use crate::{
    BenchError,
    measure::{Latencies, Load, Sample, Side, Turns},
    places::Stage,
};

/// Bare quinn exchanges as many messages as a group: of each, every node has heard all others before it counts.
#[derive(Debug)]
pub(crate) struct RawExchange {
    net: RawNet,
    load: Load,
    /// Time from one message to the next; without, one follows when the first node has heard all others of the other.
    every: Option<Duration>,
    /// What stamps count from: the nodes share a process and so a clock.
    epoch: Instant,
    nodes: Vec<Node>,
    _connections: Vec<Connection>,
}

/// Streams to and from all others, in their order.
#[derive(Debug, Default)]
struct Node {
    to: Vec<SendStream>,
    from: Vec<RecvStream>,
}

impl RawExchange {
    pub(crate) async fn new(
        stage: &Arc<Stage>,
        nodes: usize,
        load: Load,
        every: Option<Duration>,
    ) -> Result<Self, BenchError> {
        let net = RawNet::new(stage, nodes, Tuning::CHOSEN).await?;
        let (mut connections, mut all) = (Vec::new(), Vec::new());
        all.resize_with(nodes, Node::default);
        for (low, high) in (0..nodes).flat_map(|high| (0..high).map(move |low| (low, high))) {
            let (near, far) = net.connect(low, high).await?;
            for ((from, sender), (to, receiver)) in
                [((low, &near), (high, &far)), ((high, &far), (low, &near))]
            {
                let (send, recv) = net.stream((from, sender), (to, receiver)).await?;
                all[from].to.push(send);
                all[to].from.push(recv);
            }
            connections.extend([near, far]);
        }
        Ok(Self { net, load, every, epoch: Instant::now(), nodes: all, _connections: connections })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (every, epoch, stage) = (self.every, self.epoch, &self.net.stage);
        let deadline = Instant::now() + length;
        let work = mem::take(&mut self.nodes).into_iter().enumerate().map(|(index, node)| {
            let load = self.load.clone();
            stage.at(index, async move {
                match index {
                    0 => begin_until(node, load, every, epoch, deadline).await,
                    _ => follow(node, load.message_bytes, epoch).await,
                }
            })
        });
        let mut all = Latencies::new();
        for (node, latencies) in try_join_all(work).await? {
            all.add(&latencies);
            self.nodes.push(node);
        }
        Ok(all.into_sample())
    }
}

impl Side for RawExchange {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

impl Node {
    async fn tell_all(&mut self, message: &Bytes) -> Result<(), BenchError> {
        for stream in &mut self.to {
            stream.write_chunk(message.clone()).await.map_err(BenchError::baseline)?;
        }
        Ok(())
    }

    /// Waits for what others tell, of whom the first are left out.
    async fn hear(&mut self, left_out: usize, buffer: &mut [u8]) -> Result<(), BenchError> {
        for stream in &mut self.from[left_out..] {
            stream.read_exact(buffer).await.map_err(BenchError::baseline)?;
        }
        Ok(())
    }
}

/// Sends stamped messages, at a pace or at once, and waits for all others each time.
async fn begin_until(
    mut node: Node,
    load: Load,
    every: Option<Duration>,
    epoch: Instant,
    deadline: Instant,
) -> Result<(Node, Latencies), BenchError> {
    let (mut turns, mut latencies) = (Turns::new(every), Latencies::new());
    let mut buffer = vec![0; load.message_bytes];
    loop {
        let from = turns.next().await;
        let last = from >= deadline;
        let stamp = from.saturating_duration_since(epoch);
        node.tell_all(&load.stamped(stamp, last)).await?;
        node.hear(0, &mut buffer).await?;
        latencies.record(from.elapsed());
        if last {
            return Ok((node, latencies));
        }
    }
}

/// Tells all others of what comes from the first node, and waits until they have.
async fn follow(
    mut node: Node,
    message_bytes: usize,
    epoch: Instant,
) -> Result<(Node, Latencies), BenchError> {
    let (mut latencies, mut buffer) = (Latencies::new(), vec![0; message_bytes]);
    loop {
        node.from[0].read_exact(&mut buffer).await.map_err(BenchError::baseline)?;
        let message = Bytes::copy_from_slice(&buffer);
        node.tell_all(&message).await?;
        node.hear(1, &mut buffer).await?;
        let stamp = Load::stamp(&message).ok_or_else(|| BenchError::baseline("a message without a stamp"))?;
        latencies.record(epoch.elapsed().saturating_sub(stamp));
        if Load::ends(&message) {
            return Ok((node, latencies));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs two short rounds and returns how many messages each of the nodes timed in the second.
    fn messages(nodes: usize, every: Option<Duration>) -> u64 {
        let stage = Arc::new(Stage::thread_each(nodes).expect("a thread each"));
        let run = async {
            let mut exchange = RawExchange::new(&stage, nodes, Load::new(64), every).await?;
            exchange.round(Duration::from_millis(10)).await?;
            exchange.round(Duration::from_millis(10)).await
        };
        let Sample::Latency(histogram) = stage.node(0).block_on(run).expect("a round") else {
            panic!("not a latency")
        };
        let messages = histogram.len() / nodes as u64;
        assert_eq!(histogram.len(), messages * nodes as u64);
        messages
    }

    #[test]
    fn every_node_has_heard_all_others_of_every_message() {
        for nodes in [2, 3, 4] {
            let messages = messages(nodes, Some(Duration::from_millis(2)));
            assert!((2..=7).contains(&messages), "{messages}");
        }
    }

    #[test]
    fn without_a_pace_each_message_follows_the_one_before() {
        assert!(messages(3, None) >= 2);
    }
}
