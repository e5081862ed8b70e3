//! Nodes in processes of their own, which can be killed.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quorate::{
    Client, ClientConfig, ClientSettings,
    transport::{ConnectionConfig, CredentialFiles, Credentials, QuicTransport},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::folder::Folder;
use crate::{BenchError, measure::Meter};

const GROUP: &str = "log";
/// How long a view may take to come, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node prints when it enters a view; other lines are read as something else.
#[derive(Debug, Deserialize)]
struct Entered {
    event: String,
    #[serde(default)]
    members: usize,
}

/// A node entered a view with so many members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) node: usize,
    pub(crate) members: usize,
    pub(crate) at: Instant,
}

/// The nodes, each in a process of its own; they end with this.
#[derive(Debug)]
pub(crate) struct Nodes {
    program: PathBuf,
    folder: Folder,
    addresses: Vec<SocketAddr>,
    running: Vec<Option<Running>>,
    tell: mpsc::UnboundedSender<Entry>,
    entries: mpsc::UnboundedReceiver<Entry>,
}

/// A process. It stops in order when its input ends.
#[derive(Debug)]
struct Running {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nodes {
    /// Prepares credentials and configurations, and starts so many nodes that found a group.
    pub(crate) async fn start(program: &Path, members: usize) -> Result<Self, BenchError> {
        let folder = Folder::make()?;
        // All are held until the last is found, so no two are the same.
        let free = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..members).map(|_| free()).collect::<Result<Vec<_>, _>>()?;
        let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>()?;
        drop(sockets);
        let (tell, entries) = mpsc::unbounded_channel();
        let running = (0..members).map(|_| None).collect();
        let mut nodes = Self { program: program.to_owned(), folder, addresses, running, tell, entries };
        nodes.prepare()?;
        let begun = Instant::now();
        for node in 0..members {
            nodes.run(node)?;
        }
        nodes.await_views((members, members), begun).await?;
        Ok(nodes)
    }

    fn prepare(&self) -> Result<(), BenchError> {
        self.command("cert init")?;
        self.command("cert issue --client bench")?;
        let quoted = |items: Vec<String>| items.join(", ");
        let seeds = quoted(self.addresses.iter().map(|addr| format!("\"{addr}\"")).collect());
        let founders = quoted((1..=self.addresses.len()).map(|node| format!("\"n{node}\"")).collect());
        for (node, addr) in (1..).zip(&self.addresses) {
            self.command(&format!("cert issue --node {node}"))?;
            let config = format!(
                "listen = \"{addr}\"\ncredentials = \"certs/n{node}\"\nseeds = [{seeds}]\n\n[[groups]]\n\
                 name = \"{GROUP}\"\nfounders = [{founders}]\nsubjects = [\"{GROUP}.>\"]\n"
            );
            fs::write(self.folder.path().join(format!("n{node}.toml")), config)?;
        }
        Ok(())
    }

    fn prepared(&self, args: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args.split(' ')).current_dir(self.folder.path()).env_remove("RUST_LOG");
        command
    }

    fn command(&self, args: &str) -> Result<(), BenchError> {
        let output = self.prepared(args).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(BenchError::Ours(format!("`quorate {args}`: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Starts a node, for the first time or again.
    pub(crate) fn run(&mut self, node: usize) -> Result<(), BenchError> {
        // The one before may still be about to end, and hold the port.
        if let Some(mut before) = self.running[node].take() {
            before.child.wait()?;
        }
        let args = format!("node --config n{}.toml --json --until-stdin-ends", node + 1);
        let mut command = self.prepared(&args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        self.running[node] = Some(Running { child, input });
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            for line in output.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
            {
                let at = Instant::now();
                if let Ok(Entered { event, members }) = serde_json::from_str(&line)
                    && event == "view"
                {
                    // Nobody reads when all is measured.
                    let _ = tell.send(Entry { node, members, at });
                }
            }
        });
        Ok(())
    }

    /// Looks at what the processes use from now on, until one of them is started again.
    pub(crate) fn meter(&self) -> Meter {
        Meter::start_of(self.running.iter().flatten().map(|running| running.child.id().to_string()))
    }

    /// Ends a node without a word. Returns when.
    pub(crate) fn kill(&mut self, node: usize) -> Result<Instant, BenchError> {
        let at = Instant::now();
        if let Some(running) = &mut self.running[node] {
            running.child.kill()?;
        }
        Ok(at)
    }

    /// Has a node leave and stop in order. Returns when it was told to.
    pub(crate) fn dismiss(&mut self, node: usize) -> Instant {
        let at = Instant::now();
        if let Some(running) = &mut self.running[node] {
            running.input = None;
        }
        at
    }

    /// The number of the process of a node; `None` while none runs.
    pub(crate) fn process(&self, node: usize) -> Option<String> {
        self.running[node].as_ref().map(|running| running.child.id().to_string())
    }

    /// Waits until so many nodes have entered a view with so many members after this moment; returns when
    /// the last has.
    pub(crate) async fn await_views(
        &mut self,
        (nodes, members): (usize, usize),
        after: Instant,
    ) -> Result<Instant, BenchError> {
        let mut inside = vec![None; self.addresses.len()];
        let all = async {
            while inside.iter().flatten().count() < nodes {
                let entry = self.entries.recv().await.ok_or(BenchError::Stuck(PATIENCE))?;
                if entry.at >= after {
                    inside[entry.node] = (entry.members == members).then_some(entry.at);
                }
            }
            Ok::<_, BenchError>(inside.iter().flatten().max().copied())
        };
        let last = tokio::time::timeout(PATIENCE, all).await.map_err(|_| BenchError::Stuck(PATIENCE))??;
        last.ok_or(BenchError::Stuck(PATIENCE))
    }

    /// A client that uses one of the nodes.
    pub(crate) async fn client(&self, node: usize) -> Result<Client, BenchError> {
        let files = CredentialFiles::of_client(self.folder.path().join("certs/bench"));
        let credentials = Credentials::load(&files).map_err(BenchError::ours)?;
        let identity = credentials.identity();
        let settings =
            ClientSettings::new(identity.node.get(), identity.cluster.as_str(), vec![self.addresses[node]]);
        let config = ClientConfig::try_from(settings).map_err(BenchError::ours)?;
        let transport = QuicTransport::bind(credentials, config.hello(), ConnectionConfig::default())
            .map_err(BenchError::ours)?;
        Client::connect(config, Arc::new(transport)).await.map_err(BenchError::ours)
    }
}
