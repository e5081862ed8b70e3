//! A node in a process of its own, which ends with this one.

use std::{path::Path, process::Stdio, time::Duration};

use quorate::membership::NodeId;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child as Process, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{Failure, failure::one_line, serving::News};

/// How long a node that was asked to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A node in a process of its own.
#[derive(Debug)]
pub(crate) struct Child {
    node: NodeId,
    process: Process,
    // The child stops when this is closed, by whatever end this process finds.
    life_line: Option<ChildStdin>,
}

impl Child {
    /// Starts a node; what happens to it is told to `news`.
    pub(crate) fn start(node: NodeId, config: &Path, news: mpsc::Sender<News>) -> Result<Self, Failure> {
        let failed = |error| Failure::Io("cannot start a process for a node", error);
        let mut process = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["node", "--json", "--until-stdin-ends", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let life_line = process.stdin.take();
        if let Some(output) = process.stdout.take() {
            actix::spawn(async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let told = match serde_json::from_str(&line) {
                        Ok(told) => told,
                        Err(error) => {
                            tracing::warn!(%node, %line, error = one_line(&error), "not understood");
                            continue;
                        }
                    };
                    if news.send(told).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { node, process, life_line })
    }

    /// The node.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the process to end, and says how it did.
    pub(crate) async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => one_line(&error),
        }
    }

    /// Asks the node to read its credentials again; it tells how that went as its news.
    pub(crate) async fn reload(&mut self) {
        if let Some(line) = &mut self.life_line
            && let Err(error) = line.write_all(b"reload\n").await
        {
            tracing::warn!(node = %self.node, error = one_line(&error), "it does not listen");
        }
    }

    /// Asks the node to stop; [`Self::stopped`] waits for it.
    pub(crate) fn stop(&mut self) {
        drop(self.life_line.take());
    }

    /// Waits for a node that was asked to stop, for a bounded time; then it is made to.
    pub(crate) async fn stopped(&mut self) {
        if timeout(STOP_WITHIN, self.process.wait()).await.is_err() {
            tracing::warn!(node = %self.node, "it did not stop in time and is killed");
            // It may have ended this very moment.
            let _ = self.process.kill().await;
        }
    }
}
