//! Heartbeats at a pace, with or without data beside them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, try_join, try_join_all},
    stream::FuturesUnordered,
};
use quorate::{
    Node, RoundTripError,
    membership::{NodeId, Timing},
};

use super::silence::{Beat, silences};
use crate::{
    BenchError,
    measure::{Latencies, Pace, Sample, Side},
    multicast::GroupFlow,
    places::Cluster,
};

/// Heartbeats between two nodes at a pace, both ways, with or without data beside them.
#[derive(Debug)]
pub(super) struct Beats {
    cluster: Arc<Cluster>,
    every: Duration,
    data: Option<GroupFlow>,
}

impl Beats {
    pub(super) const fn new(cluster: Arc<Cluster>, every: Duration, data: Option<GroupFlow>) -> Self {
        Self { cluster, every, data }
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (every, deadline) = (self.every, Instant::now() + length);
        let beating = (0..2_usize).map(|index| {
            let (node, peer) = (self.cluster.node(index), NodeId::new(2 - index as u64));
            self.cluster.at(index, move |_| beat_until(node, peer, every, deadline))
        });
        let data = match &mut self.data {
            Some(data) => data.round(length).map(|sample| sample.map(drop)).boxed(),
            None => std::future::ready(Ok(())).boxed(),
        };
        let (each, ()) = try_join(try_join_all(beating), data).await?;
        Ok(sum_up(&each, every))
    }
}

impl Side for Beats {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// What the heartbeats of both nodes came to, which they sent at this pace.
fn sum_up(each: &[Vec<Beat>], pace: Duration) -> Sample {
    let (mut round_trips, mut silent) = (Latencies::new(), Latencies::new());
    let at_own_pace = ((Timing::DEFAULT.heartbeat() + pace / 2).as_nanos() / pace.as_nanos()).max(1) as usize;
    for beats in each {
        beats.iter().filter_map(|beat| beat.took).for_each(|took| round_trips.record(took));
        silences(beats, at_own_pace).for_each(|silence| silent.record(silence));
    }
    let all = each.iter().flatten();
    let lost = all.clone().filter(|beat| beat.took.is_none()).count();
    Sample::Beats {
        round_trips: round_trips.into_histogram(),
        silences: silent.into_histogram(),
        lost_percent: 100.0 * lost as f64 / all.count().max(1) as f64,
    }
}

/// Sends heartbeats that ask for one back at a pace, however many are under way. Returns them in the order in which
/// they were sent.
async fn beat_until(
    node: Node,
    peer: NodeId,
    every: Duration,
    deadline: Instant,
) -> Result<Vec<Beat>, BenchError> {
    let mut pace = Pace::new(every);
    let (mut beats, mut under_way) = (Vec::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            Some((number, took)) = under_way.next() => answered(&mut beats, number, took),
            due = pace.turn() => {
                if due >= deadline {
                    break;
                }
                // The timer of a node that works too long at a time makes its heartbeats late as well.
                let (late, number, node) = (due.elapsed(), beats.len(), &node);
                beats.push(Beat { due, took: None });
                under_way.push(async move { (number, took(node.round_trip(peer).await, late)) });
            }
        }
    }
    while let Some((number, took)) = under_way.next().await {
        answered(&mut beats, number, took);
    }
    Ok(beats)
}

fn answered(beats: &mut [Beat], number: usize, took: Option<Duration>) {
    beats[number].took = took;
}

/// How long a heartbeat took that was sent so late; `None` if it was lost on its way there or back, for then it has no
/// round trip. One of which nothing is known within the detection time, nor of any later one, took at least that.
fn took(trip: Result<Duration, RoundTripError>, late: Duration) -> Option<Duration> {
    match trip {
        Ok(took) => Some(late + took),
        Err(RoundTripError::Lost(_)) => None,
        Err(_) => Some(late + Timing::DEFAULT.detect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    const PACE: Duration = Duration::from_millis(32);

    #[test]
    fn a_lost_heartbeat_has_no_round_trip_but_lengthens_the_silence() {
        let begun = Instant::now();
        // At their own pace nodes send every third of these.
        let beats = |lost: &[u32]| {
            let took = |n| (!lost.contains(&n)).then_some(Duration::from_millis(1));
            (0..12).map(|n| Beat { due: begun + PACE * n, took: took(n) }).collect::<Vec<_>>()
        };
        let read = |sample: &Sample, reading| sample.read(reading).expect("a figure");
        let near = |value: f64, millis: f64| (value / 1e3 / millis - 1.0).abs() < 0.01;
        let all_came = sum_up(&[beats(&[]), beats(&[])], PACE);
        assert!(near(read(&all_came, Reading::Silence(1.0)), 96.0), "{all_came:?}");
        let one_lost = sum_up(&[beats(&[]), beats(&[4, 7, 8])], PACE);
        let lost = |sample| read(sample, Reading::Lost);
        assert_eq!((lost(&all_came), lost(&one_lost)), (0.0, 12.5));
        assert!(near(read(&one_lost, Reading::Quantile(1.0)), 1.0), "{one_lost:?}");
        assert!(near(read(&one_lost, Reading::Silence(1.0)), 288.0), "{one_lost:?}");
        assert!(near(read(&one_lost, Reading::Silence(0.5)), 96.0), "{one_lost:?}");
    }

    #[test]
    fn nothing_heard_within_the_detection_time_is_not_taken_for_a_lost_packet() {
        let (peer, late) = (NodeId::new(2), Duration::from_millis(3));
        assert_eq!(took(Ok(late), late), Some(late * 2));
        assert_eq!(took(Err(RoundTripError::Lost(peer)), late), None);
        assert_eq!(took(Err(RoundTripError::NoAnswer(peer)), late), Some(Duration::from_millis(503)));
    }
}
