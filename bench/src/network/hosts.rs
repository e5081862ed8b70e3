//! Two hosts of their own network each, joined by a link.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::Ipv4Addr,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::try_join;
use quorate_membership::NodeId;
use quorate_transport::{ClusterCa, CredentialFiles, Validity};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{
    relay::{Device, Relay},
    shaper::{Shape, Tally},
    words::{Answer, Order, Work, WorkId},
};
use crate::{BenchError, transport::CLUSTER};

/// How long a host may take for what is not a round.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two hosts, each a process in a network of its own, which the kernel takes away with the process; and the link
/// between them. Nothing of it has a name that outlives this process, however it ends.
#[derive(Debug)]
pub(super) struct Hosts {
    // The link ends before the hosts: it reads their devices.
    relay: Relay,
    /// The sender and the receiver.
    ends: [Host; 2],
    works: WorkId,
    _credentials: TempDir,
}

impl Hosts {
    /// Starts the hosts with this command, and the link between them.
    pub(super) async fn start(program: &Path, shape: Shape, mtu: u16, seed: u64) -> Result<Self, BenchError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        check_system()?;
        let credentials = tempfile::tempdir()?;
        let ca = ClusterCa::create(CLUSTER, Validity::days(1)).map_err(BenchError::ours)?;
        let (made, mut hosts, mut devices) = (MADE.fetch_add(1, Ordering::Relaxed), Vec::new(), Vec::new());
        for (side, node) in [("a", 1), ("b", 2)] {
            let name = format!("qb{}{side}{made}", std::process::id());
            let folder = credentials.path().join(side);
            std::fs::create_dir(&folder)?;
            let issued = ca.issue_node(NodeId::new(node), Validity::days(1)).map_err(BenchError::ours)?;
            issued.save(&CredentialFiles::of_node(&folder)).map_err(BenchError::ours)?;
            let mut host = Host::start(program, &folder)?;
            host.answer(PATIENCE).await?;
            let device = Device::make(&name, mtu)?;
            ip(&format!("link set dev {name} netns {}", host.child.id()))?;
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

/// A process that is alone on its host.
#[derive(Debug)]
struct Host {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<Answer>,
}

impl Host {
    fn start(program: &Path, credentials: &Path) -> Result<Self, BenchError> {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(program).args(["bench", "network-host"]).arg(credentials);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let gone = || BenchError::Ours("a host has no input or output".into());
        let (orders, output) = (child.stdin.take().ok_or_else(gone)?, child.stdout.take().ok_or_else(gone)?);
        let (tell, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer = serde_json::from_str(&line);
                // Nobody reads when all is measured.
                let _ = tell.send(answer.unwrap_or_else(|error| Answer::Failed(format!("{error}: {line}"))));
            }
        });
        Ok(Self { child, orders, answers })
    }

    async fn ask(&mut self, order: &Order, patience: Duration) -> Result<Answer, BenchError> {
        let line = serde_json::to_string(order).map_err(BenchError::ours)?;
        writeln!(self.orders, "{line}")?;
        self.answer(patience).await
    }

    async fn answer(&mut self, patience: Duration) -> Result<Answer, BenchError> {
        let answer = tokio::time::timeout(patience, self.answers.recv()).await;
        match answer.map_err(|_| BenchError::Stuck(patience))? {
            Some(Answer::Failed(why)) => Err(BenchError::Ours(why)),
            Some(answer) => Ok(answer),
            None => Err(BenchError::Ours("a host has ended".into())),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether hosts can be made here, and what is missing if not.
fn check_system() -> Result<(), BenchError> {
    run("ip", &["-V"])?;
    run("unshare", &["--net", "true"]).map(drop)
}

/// Runs `ip` with these arguments, separated by blanks.
pub(super) fn ip(args: &str) -> Result<(), BenchError> {
    run("ip", &args.split(' ').collect::<Vec<_>>())
}

fn run(program: &str, args: &[&str]) -> Result<(), BenchError> {
    let package = if program == "ip" { "iproute2" } else { "util-linux" };
    let output =
        Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => BenchError::Missing(format!(
                    "hosts are made with the command `{program}`: install {package}"
                )),
                _ => BenchError::Io(error),
            }
        })?;
    if output.status.success() {
        return Ok(());
    }
    let (line, said) = (args.join(" "), String::from_utf8_lossy(&output.stderr));
    let said = said.lines().next().unwrap_or("it does not say why");
    Err(BenchError::Missing(format!(
        "`{program} {line}` failed ({said}): hosts of their own networks need root"
    )))
}
