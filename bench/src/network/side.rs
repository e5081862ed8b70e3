//! A side of a comparison between two hosts.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    hold_ups::hold_ups,
    hosts::{Hosts, unexpected},
    words::{Answer, Work, WorkId},
};
use crate::{
    BenchError,
    measure::{Sample, Side},
};

/// What one host sends and the other receives.
#[derive(Debug)]
pub(super) struct Between {
    hosts: Arc<AsyncMutex<Hosts>>,
    id: WorkId,
    /// Whether all that is sent has to arrive.
    reliable: bool,
    round_trip: Duration,
}

impl Between {
    /// Has both hosts get ready for it.
    pub(super) async fn prepare(
        hosts: &Arc<AsyncMutex<Hosts>>,
        work: Work,
        round_trip: Duration,
    ) -> Result<Self, BenchError> {
        let id = hosts.lock().await.prepare(work).await?;
        let reliable = !matches!(work, Work::Blast { .. });
        Ok(Self { hosts: Arc::clone(hosts), id, reliable, round_trip })
    }

    async fn run(&mut self, length: Duration) -> Result<Sample, BenchError> {
        let (sent, answer) = self.hosts.lock().await.round(self.id, length).await?;
        let received = match &answer {
            Answer::Received { messages, .. } => *messages,
            Answer::Arrivals(arrivals) => arrivals.len() as u64,
            other => return Err(unexpected(other)),
        };
        if self.reliable {
            BenchError::unless_all_came(sent, received)?;
        }
        match answer {
            Answer::Received { messages, message_bytes, elapsed } => {
                Ok(Sample::Flow { messages, message_bytes, elapsed })
            }
            Answer::Arrivals(arrivals) => Ok(hold_ups(arrivals, self.round_trip)),
            other => Err(unexpected(&other)),
        }
    }
}

impl Side for Between {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }

    /// Two hosts do, and this process is the link between them.
    fn processes(&self) -> Vec<String> {
        Vec::new()
    }
}
