//! Three hosts, and what joins them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use futures_util::future::try_join_all;
use quorate::protocols::Order as Delivery;

use super::{
    MEMBERS, daemon,
    words::{Answer, Order, Part, Whose, Work},
};
use crate::{
    BenchError,
    hosts::{Host, Issuer, Own, PATIENCE, check_system, children, ip},
    places::{CLUSTER, Folder},
};

const PORT: u16 = 4610;

/// Three hosts on a bridge, which is on a host of its own. Nothing of it but the folder has a name that outlives this
/// process, however it ends.
#[derive(Debug)]
pub(super) struct Hosts {
    all: Vec<Host<Answer>>,
    _bridge: Host<Answer>,
    _folder: Folder,
}

impl Hosts {
    /// Starts the hosts with this command, joins them with a link of this MTU, and has Corosync form a group.
    pub(super) async fn start(program: &Path, mtu: u16) -> Result<Self, BenchError> {
        let folder = Folder::make()?;
        let member = daemon::prepare(folder.path())?;
        check_system()?;
        let addrs: Vec<Ipv4Addr> = (1..=MEMBERS).map(address).collect();
        let configured = daemon::configure(folder.path(), &addrs, mtu)?;
        let issuer = Issuer::new(CLUSTER)?;

        let nothing = folder.path().to_string_lossy();
        let mut bridge = Host::start(program, &["bench", "corosync-host", &nothing], Own::All).await?;
        bridge.ask(&Order::Bridge { mtu }, PATIENCE).await?;
        let mut hosts = Vec::new();
        for node in 1..=MEMBERS {
            let own = folder.path().join(format!("n{node}"));
            issuer.issue(node as u64, &own)?;
            let shown = own.to_string_lossy();
            let mut host = Host::start(program, &["bench", "corosync-host", &shown], Own::All).await?;
            let port = format!("port{node}");
            ip(&format!(
                "link add name link0 mtu {mtu} netns {} type veth peer name {port} mtu {mtu} netns {}",
                host.process(),
                bridge.process()
            ))?;
            bridge.ask(&Order::Attach { device: port }, PATIENCE).await?;
            let addr = format!("{}/24", address(node));
            host.ask(&Order::Join { device: "link0".into(), addr }, PATIENCE).await?;
            hosts.push(host);
        }
        let mut joined = Self { all: hosts, _bridge: bridge, _folder: folder };
        let enter = |index: usize| Order::Enter { folder: configured[index].clone(), member: member.clone() };
        joined.ask_all(enter, PATIENCE).await?;
        Ok(joined)
    }

    /// Has a node of ours run on each, and waits until they have founded a group.
    pub(super) async fn found(&mut self, delivery: Delivery) -> Result<(), BenchError> {
        let listens = |node| SocketAddr::from((address(node), PORT));
        let found = |index| Order::Found {
            node: index + 1,
            listen: listens(index + 1),
            seeds: (1..=MEMBERS).map(listens).collect(),
            delivery,
        };
        self.ask_all(found, PATIENCE).await.map(drop)
    }

    /// Stops our nodes.
    pub(super) async fn leave(&mut self) -> Result<(), BenchError> {
        self.ask_all(|_| Order::Leave, PATIENCE).await.map(drop)
    }

    /// Has bare quinn reach all others from the first, on a link of this MTU.
    pub(super) async fn reach(&mut self, mtu: u16) -> Result<(), BenchError> {
        let mut all = Vec::new();
        for (host, node) in self.all.iter_mut().zip(1..).skip(1) {
            match host.ask(&Order::Listen { at: address(node), mtu }, PATIENCE).await? {
                Answer::Listens(listens) => all.push(listens),
                _ => return Err(BenchError::baseline("a host did not say where it listens")),
            }
        }
        self.all[0].ask(&Order::Reach { all, mtu }, PATIENCE).await.map(drop)
    }

    /// Has all members work for so long.
    pub(super) async fn round(
        &mut self,
        whose: Whose,
        work: Work,
        length: Duration,
    ) -> Result<Vec<Part>, BenchError> {
        let round = |index| Order::Round { whose, work, sends: index < work.senders, length };
        let answers = self.ask_all(round, length + PATIENCE).await?;
        let parts = answers.into_iter().map(|answer| match answer {
            Answer::Part(part) => Ok(part),
            _ => Err(BenchError::ours("a host did not say what it did")),
        });
        parts.collect()
    }

    /// The numbers of the processes that do the work of one side.
    pub(super) fn processes(&self, whose: Whose) -> Vec<String> {
        // `unshare` has started the host, which has started Corosync and its member.
        let hosts = self.all.iter().flat_map(|host| children(&host.process().to_string()));
        match whose {
            Whose::Ours | Whose::Quinn => hosts.collect(),
            Whose::Corosync => hosts.flat_map(|host| children(&host)).collect(),
        }
    }

    async fn ask_all(
        &mut self,
        order: impl Fn(usize) -> Order,
        patience: Duration,
    ) -> Result<Vec<Answer>, BenchError> {
        let order = &order;
        let asking = self
            .all
            .iter_mut()
            .enumerate()
            .map(|(index, host)| async move { host.ask(&order(index), patience).await });
        try_join_all(asking).await
    }
}

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 95, 0, node as u8)
}
