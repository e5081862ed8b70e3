//! A page for browsers: what the nodes of this process see of their cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use quorate::{Node, Status, ViewRecord, membership::NodeId};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    serving::changes,
    words::{Reason, reason, standing, state},
};

/// The page itself. It asks for [`Watched::look`] again and again, and needs nothing from elsewhere.
pub(crate) const PAGE: &str = include_str!("page.html");

/// How long one node may take to say what it sees.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// Views of each group that are shown.
const VIEWS_MAX: usize = 50;

/// The nodes of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<Mutex<Vec<Node>>>);

/// What all of them see.
#[derive(Debug, Default, Serialize)]
struct Picture {
    /// When, in milliseconds since 1970.
    unix_ms: u128,
    nodes: Vec<Seen>,
    /// Those that do not say what they see.
    silent: Vec<NodeId>,
}

/// What one node sees.
#[derive(Debug, Serialize)]
struct Seen {
    #[serde(flatten)]
    status: Status,
    /// What is to be said of its peers.
    peer_states: BTreeMap<NodeId, String>,
    /// How its groups stand.
    standings: BTreeMap<String, &'static str>,
    /// What they wait for.
    why: BTreeMap<String, Vec<Reason>>,
    /// Their latest views, oldest first.
    views: BTreeMap<String, Vec<ViewLine>>,
}

#[derive(Debug, Serialize)]
struct ViewLine {
    view: String,
    changes: Vec<String>,
    installed_unix_ms: u64,
}

impl Watched {
    /// Shows this node, too.
    pub(crate) fn add(&self, node: Node) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(node);
    }

    /// What the nodes see now, as JSON.
    pub(crate) async fn look(&self) -> serde_json::Result<String> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = join_all(nodes.iter().map(|node| timeout(SAID_WITHIN, see(node)))).await;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut picture = Picture { unix_ms: since.as_millis(), ..Picture::default() };
        for (node, seen) in nodes.iter().zip(all) {
            match seen.ok().flatten() {
                Some(seen) => picture.nodes.push(seen),
                None => picture.silent.push(node.member().node),
            }
        }
        serde_json::to_string(&picture)
    }
}

/// What a node sees; `None` once it has stopped.
async fn see(node: &Node) -> Option<Seen> {
    let status = node.status().await.ok()?;
    let mut views = BTreeMap::new();
    for group in &status.groups {
        let Some(handle) = node.group(&group.name).await else { continue };
        let history = handle.history().await.unwrap_or_default();
        let latest = &history[history.len().saturating_sub(VIEWS_MAX)..];
        views.insert(group.name.clone(), latest.iter().map(line).collect());
    }
    let groups = || status.groups.iter();
    Some(Seen {
        peer_states: status.peers.iter().map(|peer| (peer.node, state(peer))).collect(),
        standings: groups().map(|group| (group.name.clone(), standing(group))).collect(),
        why: groups().map(|it| (it.name.clone(), it.waits.iter().map(reason).collect())).collect(),
        views,
        status,
    })
}

fn line(record: &ViewRecord) -> ViewLine {
    let ViewRecord { view, installed_unix_ms } = record;
    ViewLine { view: view.to_string(), changes: changes(view), installed_unix_ms: *installed_unix_ms }
}
