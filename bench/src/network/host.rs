//! What a host does: its process reads orders and answers them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    blast::{BlastReceiver, BlastSender},
    flow::{FlowReceiver, FlowSender},
    groups::{GroupsReceiver, GroupsSender},
    link::{Accepting, Dialled},
    words::{Answer, Order, Work, WorkId},
};
use crate::{
    BenchError,
    hosts::{ip, serve},
    places::on_own_thread,
};

/// Ports begin here, one for each work.
const PORT: u16 = 4610;

/// Does what the benchmark `network` says on standard input, in whose process this is not: one of its two hosts,
/// whose credentials lie in this folder. Returns when the input ends.
///
/// # Errors
/// [`BenchError`] of the output; all others are answers.
pub fn network_host(credentials: &Path) -> Result<(), BenchError> {
    let mut host = Host { credentials: credentials.to_owned(), ready: HashMap::new() };
    on_own_thread(|| serve(Answer::Done, async move |order| host.carry_out(order).await))
}

/// One end of a work.
#[derive(Debug)]
enum Part {
    Blasts(BlastSender),
    Blasted(BlastReceiver),
    Flows(FlowSender),
    Flown(FlowReceiver),
    Sends(GroupsSender),
    Receives(GroupsReceiver),
}

struct Host {
    credentials: PathBuf,
    ready: HashMap<WorkId, Part>,
}

impl Host {
    async fn carry_out(&mut self, order: Order) -> Result<Answer, BenchError> {
        match order {
            Order::Join { device, address } => {
                ip("link set lo up")?;
                ip(&format!("addr add {address}/24 dev {device}"))?;
                ip(&format!("link set {device} up"))?;
            }
            Order::Receive { id, work, at } => {
                let part = self.receiver(work, (at, PORT + id).into()).await?;
                self.ready.insert(id, part);
            }
            Order::Send { id, work, to } => {
                let part = self.sender(work, (to, PORT + id).into()).await?;
                self.ready.insert(id, part);
            }
            Order::Round { id, length } => {
                let unknown = || BenchError::Ours(format!("work {id} is not prepared"));
                return self.ready.get_mut(&id).ok_or_else(unknown)?.round(length).await;
            }
        }
        Ok(Answer::Done)
    }

    async fn receiver(&self, work: Work, at: SocketAddr) -> Result<Part, BenchError> {
        let accepting = |opening| Accepting::new(opening, &self.credentials, at);
        Ok(match work {
            Work::Blast { .. } => Part::Blasted(BlastReceiver::new(at).await?),
            Work::Flow { opening, message_bytes } => {
                Part::Flown(FlowReceiver::new(accepting(opening)?, message_bytes))
            }
            Work::Groups { opening, groups, shared_lane, .. } => {
                Part::Receives(GroupsReceiver::new(accepting(opening)?, groups, shared_lane))
            }
        })
    }

    async fn sender(&self, work: Work, to: SocketAddr) -> Result<Part, BenchError> {
        let dialled = |opening| Dialled::new(opening, &self.credentials, to);
        Ok(match work {
            Work::Blast { packet_bytes, bytes_per_second } => {
                Part::Blasts(BlastSender::new(to, packet_bytes, bytes_per_second).await?)
            }
            Work::Flow { opening, message_bytes } => {
                Part::Flows(FlowSender::new(dialled(opening).await?, message_bytes).await?)
            }
            Work::Groups { opening, groups, every, shared_lane } => {
                Part::Sends(GroupsSender::new(dialled(opening).await?, groups, every, shared_lane).await?)
            }
        })
    }
}

impl Part {
    async fn round(&mut self, length: Duration) -> Result<Answer, BenchError> {
        match self {
            Self::Blasts(part) => part.round(length).await,
            Self::Blasted(part) => part.round(length).await,
            Self::Flows(part) => part.round(length).await,
            Self::Flown(part) => part.round().await,
            Self::Sends(part) => part.round(length).await,
            Self::Receives(part) => part.round().await,
        }
    }
}
