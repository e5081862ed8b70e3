//! What the process of a member does: it reads orders and answers them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::future::try_join;
use quorate::{GroupSettings, NodeSettings};
use quorate_transport::{CredentialFiles, Credentials};

use super::words::{Answer, Order};
use crate::{
    BenchError,
    hosts::serve,
    measure::Load,
    multicast::flow,
    places::{CLUSTER, GROUP, Place, Trouble, in_system},
};

/// Batches that are handed over and not accepted yet, at most.
pub(super) const BATCHES: usize = 4;

/// Does what the benchmark `memory` says on standard input, in whose process this is not: runs a member of a group
/// under load, whose credentials lie in this folder. Returns when the input ends.
///
/// # Errors
/// [`BenchError`] of the output; all others are answers.
pub fn memory_host(credentials: &Path) -> Result<(), BenchError> {
    let mut host = Host { credentials: credentials.to_owned(), place: None, members: 0 };
    in_system(|| serve(Answer::Done, async move |order| host.carry_out(order).await))
}

struct Host {
    credentials: PathBuf,
    place: Option<Place>,
    members: usize,
}

impl Host {
    async fn carry_out(&mut self, order: Order) -> Result<Answer, BenchError> {
        if let Order::Run { node, members, seeds } = order {
            let place = self.run(node, members, seeds).await?;
            let addr = place.addr();
            (self.place, self.members) = (Some(place), members);
            return Ok(Answer::Listens(addr));
        }
        let place = self.place.as_ref().ok_or_else(|| BenchError::ours("a process has no member"))?;
        match order {
            Order::Await => place.founded(self.members).await.map(|()| Answer::Done),
            Order::Work { message_bytes, length } => self.work(place, Load::new(message_bytes), length).await,
            Order::Run { .. } => unreachable!("answered above"),
        }
    }

    async fn run(&self, node: u64, members: usize, seeds: Vec<SocketAddr>) -> Result<Place, BenchError> {
        let credentials =
            Credentials::load(&CredentialFiles::of_node(&self.credentials)).map_err(BenchError::ours)?;
        let mut settings = NodeSettings::new(node, CLUSTER, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        settings.seeds = seeds;
        settings.groups.push(GroupSettings::new(GROUP, 1..=members as u64));
        Place::start(settings, credentials, Trouble::Nothing).await
    }

    /// Sends as a benchmark of groups does, all members at the same time.
    async fn work(&self, place: &Place, load: Load, length: Duration) -> Result<Answer, BenchError> {
        let (events, senders) = (place.events().await?, self.members);
        let deadline = Instant::now() + length;
        let sending = place.at(move |group| flow::send_until(group, load, BATCHES, deadline));
        let receiving = place.at(move |_| flow::receive(events, senders));
        let (sent, (_, received, _)) = try_join(sending, receiving).await?;
        Ok(Answer::Worked { sent, received })
    }
}
