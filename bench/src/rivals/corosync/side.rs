//! A side of the comparison: a group whose members are on three hosts.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    hosts::Hosts,
    words::{Pace, Part, Whose, Work},
};
use crate::{
    BenchError,
    measure::{Latencies, Sample, Side},
};

/// A group whose members are on three hosts, and what they do in a round.
#[derive(Debug)]
pub(super) struct Spread {
    hosts: Arc<AsyncMutex<Hosts>>,
    whose: Whose,
    work: Work,
    processes: Vec<String>,
}

impl Spread {
    pub(super) async fn new(hosts: &Arc<AsyncMutex<Hosts>>, whose: Whose, work: Work) -> Self {
        let processes = hosts.lock().await.processes(whose);
        Self { hosts: Arc::clone(hosts), whose, work, processes }
    }
}

impl Side for Spread {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(async move {
            let parts = self.hosts.lock().await.round(self.whose, self.work, length).await?;
            sum_up(self.work, &parts)
        })
    }

    fn processes(&self) -> Vec<String> {
        self.processes.clone()
    }
}

/// What the members did together: each has to have got all messages.
fn sum_up(work: Work, parts: &[Part]) -> Result<Sample, BenchError> {
    let sent = parts.iter().map(|part| part.sent).sum();
    parts.iter().try_for_each(|part| BenchError::unless_all_came(sent, part.received))?;
    if let Pace::Every(_) = work.pace {
        let mut all = Latencies::new();
        for &nanos in parts.iter().flat_map(|part| &part.latencies) {
            all.record(Duration::from_nanos(nanos));
        }
        return Ok(all.into_sample());
    }
    let begun = parts.iter().filter(|part| part.sent > 0).map(|part| part.begun).min().unwrap_or_default();
    let over = parts.iter().map(|part| part.over).max().unwrap_or_default();
    let elapsed = over.saturating_sub(begun);
    Ok(Sample::Flow { messages: sent, message_bytes: work.message_bytes, elapsed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    fn part(sent: u64, received: u64, begun: u64, over: u64) -> Part {
        let [begun, over] = [begun, over].map(Duration::from_millis);
        Part { sent, received, begun, over, latencies: vec![2_000] }
    }

    #[test]
    fn a_round_lasts_from_the_first_sender_until_the_last_member_has_the_last_message() {
        let work = Work { message_bytes: 10, senders: 2, pace: Pace::Full { batches: 1 } };
        let parts = [part(3, 5, 1_100, 1_900), part(2, 5, 1_000, 2_000), part(0, 5, 500, 1_500)];
        let sample = sum_up(work, &parts).expect("all have all");
        assert_eq!(sample.read(Reading::Messages), Some(5.0));
        let short = [part(3, 3, 0, 1), part(0, 2, 0, 1)];
        assert!(matches!(sum_up(work, &short), Err(BenchError::Miscounted { sent: 3, received: 2 })));
    }

    #[test]
    fn latencies_are_those_at_all_members() {
        let work = Work { message_bytes: 64, senders: 1, pace: Pace::Every(Duration::from_millis(2)) };
        let sample = sum_up(work, &[part(1, 1, 0, 1), part(0, 1, 0, 1)]).expect("all have all");
        assert_eq!(sample.latencies().map(hdrhistogram::Histogram::len), Some(2));
    }
}
