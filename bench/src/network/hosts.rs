//! Two hosts of their own network each, joined by a link.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::try_join;

use super::{
    relay::{Device, Relay},
    shaper::{Shape, Tally},
    words::{Answer, Order, Work, WorkId},
};
use crate::{
    BenchError,
    hosts::{Host, Issuer, Own, PATIENCE, check_system, ip},
    places::Folder,
    transport::CLUSTER,
};

/// Two hosts, each a process in a network of its own, which the kernel takes away with the process; and the link
/// between them. Nothing of it but the folder has a name that outlives this process, however it ends.
#[derive(Debug)]
pub(super) struct Hosts {
    // The link ends before the hosts: it reads their devices.
    relay: Relay,
    /// The sender and the receiver.
    ends: [Host<Answer>; 2],
    works: WorkId,
    _credentials: Folder,
}

impl Hosts {
    /// Starts the hosts with this command, and the link between them.
    pub(super) async fn start(program: &Path, shape: Shape, mtu: u16, seed: u64) -> Result<Self, BenchError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        check_system()?;
        let credentials = Folder::make()?;
        let issuer = Issuer::new(CLUSTER)?;
        let (made, mut hosts, mut devices) = (MADE.fetch_add(1, Ordering::Relaxed), Vec::new(), Vec::new());
        for (side, node) in [("a", 1), ("b", 2)] {
            let name = format!("qb{}{side}{made}", std::process::id());
            let folder = credentials.path().join(side);
            issuer.issue(node, &folder)?;
            let shown = folder.to_string_lossy();
            let mut host = Host::start(program, &["bench", "network-host", &shown], Own::Network).await?;
            let device = Device::make(&name, mtu)?;
            ip(&format!("link set dev {name} netns {}", host.process()))?;
            host.ask(&Order::Join { device: name, address: address(node) }, PATIENCE).await?;
            hosts.push(host);
            devices.push(device);
        }
        let both = "two sides give two";
        let ends = hosts.try_into().expect(both);
        let relay = Relay::start(devices.try_into().expect(both), shape, seed)?;
        Ok(Self { relay, ends, works: 0, _credentials: credentials })
    }

    /// Has both hosts prepare what the first will send to the second.
    pub(super) async fn prepare(&mut self, work: Work) -> Result<WorkId, BenchError> {
        self.works += 1;
        let (id, [sender, receiver]) = (self.works, &mut self.ends);
        let (receive, send) =
            (Order::Receive { id, work, at: address(2) }, Order::Send { id, work, to: address(2) });
        let prepared = async {
            receiver.ask(&receive, PATIENCE).await?;
            sender.ask(&send, PATIENCE).await
        };
        linked(&mut self.relay, prepared).await?;
        Ok(id)
    }

    /// Runs it for so long. Returns how many messages were sent, and what the receiver says.
    pub(super) async fn round(&mut self, id: WorkId, length: Duration) -> Result<(u64, Answer), BenchError> {
        let (order, [sender, receiver]) = (Order::Round { id, length }, &mut self.ends);
        let patience = length + PATIENCE;
        let both = try_join(sender.ask(&order, patience), receiver.ask(&order, patience));
        match linked(&mut self.relay, both).await? {
            (Answer::Sent(sent), received) => Ok((sent, received)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Ends it all. Returns what became of the packets, of both directions.
    pub(super) fn end(self) -> Result<Tally, BenchError> {
        self.relay.stop()
    }
}

/// What hosts do, as long as there is a link between them.
async fn linked<T>(
    relay: &mut Relay,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    tokio::select! {
        biased;
        error = relay.failed() => Err(error),
        done = work => done,
    }
}

pub(super) fn unexpected(answer: &Answer) -> BenchError {
    BenchError::Ours(format!("a host answered {answer:?}"))
}

fn address(node: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 94, 0, node as u8)
}
