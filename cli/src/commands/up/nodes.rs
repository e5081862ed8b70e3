//! The nodes of a local cluster, in this process or in processes of their own.

use std::time::Duration;

use futures_util::future::{join_all, select_all};
use quorate::{Node, StopReason, membership::NodeId};
use tokio::sync::mpsc;

use super::Report;
use crate::{
    Failure,
    config::NodeFile,
    local::{Child, Layout},
    page::Watched,
    serving::{News, Reloading, Served, serve},
};

/// How long one node may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The nodes that run.
pub(super) enum Nodes {
    /// In this process.
    Here(Vec<(Node, Reloading)>),
    /// In processes of their own.
    Processes(Vec<Child>),
}

impl Nodes {
    /// Starts all nodes; those in this process are shown, and what happens to all is told to `tell`.
    pub(super) async fn start(
        layout: &Layout,
        processes: bool,
        watched: &Watched,
        tell: &mpsc::Sender<News>,
    ) -> Result<Self, Failure> {
        if processes {
            let start = |node| Child::start(node, &layout.config(node), tell.clone());
            return Ok(Self::Processes(layout.nodes().map(start).collect::<Result<_, _>>()?));
        }
        let mut nodes = Vec::new();
        for node in layout.nodes() {
            let file = NodeFile::load(&layout.config(node))?;
            let Served { node, mut news, reloading } = serve(&file, watched).await?;
            nodes.push((node, reloading));
            let tell = tell.clone();
            actix::spawn(async move {
                while let Some(told) = news.recv().await {
                    if tell.send(told).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self::Here(nodes))
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Here(nodes) => nodes.is_empty(),
            Self::Processes(children) => children.is_empty(),
        }
    }

    /// The process of a node, if it has one of its own.
    pub(super) fn pid(&self, node: NodeId) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Processes(children) => {
                children.iter().find(|child| child.node() == node).and_then(Child::pid)
            }
        }
    }

    /// Waits until one of the nodes ends; it is none of them any more then.
    pub(super) async fn one_ends(&mut self) -> (NodeId, String) {
        match self {
            Self::Here(nodes) => {
                let ends = nodes.iter().map(|(node, _)| Box::pin(node.stopped()));
                let (reason, index, _): (StopReason, _, _) = select_all(ends).await;
                (nodes.remove(index).0.member().node, reason.to_string())
            }
            Self::Processes(children) => {
                let ends = children.iter_mut().map(|child| Box::pin(child.ended()));
                let (how, index, _) = select_all(ends).await;
                (children.remove(index).node(), how)
            }
        }
    }

    /// Has all nodes read their credentials, and the list of revoked certificates, again. Those in
    /// processes of their own say by themselves how that went.
    pub(super) async fn reload(&mut self, report: &mut Report<'_>) {
        match self {
            Self::Here(nodes) => {
                for (_, reloading) in nodes {
                    if let Some(news) = reloading.reload() {
                        report.news(&news);
                    }
                }
            }
            Self::Processes(children) => {
                for child in children {
                    child.reload().await;
                }
            }
        }
    }

    /// Stops all nodes, the junior ones first: so the group is handed on until the last.
    pub(super) async fn stop(self) {
        match self {
            Self::Here(nodes) => {
                for (node, _) in nodes.iter().rev() {
                    if tokio::time::timeout(STOP_WITHIN, node.stop()).await.is_err() {
                        tracing::warn!(node = %node.member(), "it did not stop in time");
                    }
                }
            }
            Self::Processes(mut children) => {
                children.iter_mut().for_each(Child::stop);
                join_all(children.iter_mut().map(Child::stopped)).await;
            }
        }
    }
}
