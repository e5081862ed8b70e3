//! A node of ours on a host.

use std::{
    iter::repeat_n,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::try_join;
use quorate::{GroupEvents, GroupSettings, NodeSettings, protocols::Order};
use quorate_transport::{CredentialFiles, Credentials};

use super::{
    MEMBERS,
    words::{Pace, Part, Work},
};
use crate::{
    BenchError,
    hosts::now,
    measure::{Latencies, Load},
    multicast::{flow, latency},
    places::{CLUSTER, GROUP, Place, Trouble},
};

/// A node of ours, and a reader of what its group delivers.
#[derive(Debug)]
pub(super) struct Member {
    place: Place,
    reader: Option<GroupEvents>,
}

impl Member {
    /// Starts it, and waits until all have founded the group. Within an actix system only.
    pub(super) async fn found(
        credentials: &Path,
        (node, listen): (usize, SocketAddr),
        seeds: Vec<SocketAddr>,
        delivery: Order,
    ) -> Result<Self, BenchError> {
        let credentials =
            Credentials::load(&CredentialFiles::of_node(credentials)).map_err(BenchError::ours)?;
        let mut settings = NodeSettings::new(node as u64, CLUSTER, listen);
        settings.seeds = seeds;
        settings.groups.push(GroupSettings::new(GROUP, 1..=MEMBERS as u64).order(delivery));
        let place = Place::start(settings, credentials, Trouble::Nothing).await?;
        place.founded(MEMBERS).await?;
        let reader = Some(place.events().await?);
        Ok(Self { place, reader })
    }

    pub(super) async fn round(
        &mut self,
        work: Work,
        sends: bool,
        length: Duration,
    ) -> Result<Part, BenchError> {
        let reader = self.reader.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let (load, begun, deadline) = (Load::new(work.message_bytes), now(), Instant::now() + length);
        let sending = async {
            match work.pace {
                _ if !sends => Ok(0),
                Pace::Full { batches } => {
                    self.place.at(move |group| flow::send_until(group, load, batches, deadline)).await
                }
                Pace::Every(every) => {
                    self.place.at(move |group| latency::send_until(group, load, every, now, deadline)).await
                }
            }
        };
        let receiving = self.place.at(move |_| receive(reader, work));
        let (sent, (reader, received, latencies, over)) = try_join(sending, receiving).await?;
        self.reader = Some(reader);
        Ok(Part { sent, received, begun, over, latencies })
    }

    /// Stops the node.
    pub(super) async fn stop(self) {
        self.place.stop().await;
        self.place.end();
    }
}

/// Takes the messages of a round. Returns how many came, how long each took if that is known, and when the last came.
async fn receive(
    reader: GroupEvents,
    work: Work,
) -> Result<(GroupEvents, u64, Vec<u64>, Duration), BenchError> {
    match work.pace {
        Pace::Full { .. } => {
            let (reader, received, ended) = flow::receive(reader, work.senders).await?;
            Ok((reader, received, Vec::new(), now().saturating_sub(ended.elapsed())))
        }
        Pace::Every(_) => {
            let (reader, latencies) = latency::receive(reader, now).await?;
            Ok((reader, latencies.count(), each(latencies), now()))
        }
    }
}

fn each(latencies: Latencies) -> Vec<u64> {
    let all = latencies.into_histogram();
    let alike = all
        .iter_recorded()
        .flat_map(|them| repeat_n(them.value_iterated_to(), them.count_at_value() as usize));
    alike.collect()
}
