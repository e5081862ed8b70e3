//! Members of a group under load, each in a process of its own.

use std::{path::Path, time::Duration};

use futures_util::future::try_join_all;

use super::words::{Answer, Order};
use crate::{
    BenchError,
    hosts::{Host, Issuer, Own, PATIENCE},
    places::{CLUSTER, Folder},
};

/// Members of a group, each in a process of its own; they end with this.
#[derive(Debug)]
pub(super) struct Members {
    hosts: Vec<Host<Answer>>,
    _folder: Folder,
}

impl Members {
    /// Starts so many processes with this command, and waits until their nodes have founded a group.
    pub(super) async fn found(program: &Path, members: usize) -> Result<Self, BenchError> {
        let folder = Folder::make()?;
        let issuer = Issuer::new(CLUSTER)?;
        let (mut hosts, mut seeds) = (Vec::new(), Vec::new());
        for node in 1..=members as u64 {
            let own = folder.path().join(format!("n{node}"));
            issuer.issue(node, &own)?;
            let shown = own.to_string_lossy();
            let mut host = Host::start(program, &["bench", "memory-host", &shown], Own::Nothing).await?;
            match host.ask(&Order::Run { node, members, seeds: seeds.clone() }, PATIENCE).await? {
                Answer::Listens(addr) => seeds.push(addr),
                _ => return Err(BenchError::ours("a process did not say where its node listens")),
            }
            hosts.push(host);
        }
        try_join_all(hosts.iter_mut().map(|host| host.ask(&Order::Await, PATIENCE))).await?;
        Ok(Self { hosts, _folder: folder })
    }

    /// The numbers of the processes.
    pub(super) fn processes(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.process().to_string()).collect()
    }

    /// Has all of them send for so long, as fast as the group takes messages. Returns how many were delivered to each,
    /// which must be all.
    pub(super) async fn work(&mut self, message_bytes: usize, length: Duration) -> Result<u64, BenchError> {
        let order = Order::Work { message_bytes, length };
        let answers = self.hosts.iter_mut().map(|host| host.ask(&order, length + PATIENCE));
        let worked = try_join_all(answers).await?.into_iter().map(|answer| match answer {
            Answer::Worked { sent, received } => Ok((sent, received)),
            _ => Err(BenchError::ours("a process did not say what its member did")),
        });
        let worked = worked.collect::<Result<Vec<_>, _>>()?;
        let sent = worked.iter().map(|(sent, _)| sent).sum();
        worked.iter().try_for_each(|(_, received)| BenchError::unless_all_came(sent, *received))?;
        Ok(sent)
    }
}
