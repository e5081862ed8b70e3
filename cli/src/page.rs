//! A page for browsers: what the nodes of this process see of their cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use futures_util::future::join_all;
use quorate::{Node, Status, ViewRecord};
use serde::Serialize;

use crate::{
    commands::why::{Reason, reason},
    serving::changes,
};

/// The page itself. It asks for [`Watched::look`] again and again, and needs nothing from elsewhere.
pub(crate) const PAGE: &str = include_str!("page.html");

/// The nodes of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<Mutex<Vec<Node>>>);

/// What all of them see.
#[derive(Debug, Serialize)]
struct Picture {
    /// When, in milliseconds since 1970.
    unix_ms: u128,
    nodes: Vec<Seen>,
}

/// What one node sees.
#[derive(Debug, Serialize)]
struct Seen {
    #[serde(flatten)]
    status: Status,
    /// What its groups wait for.
    why: BTreeMap<String, Vec<Reason>>,
    /// The latest views of its groups, oldest first.
    views: BTreeMap<String, Vec<ViewLine>>,
}

#[derive(Debug, Serialize)]
struct ViewLine {
    view: String,
    changes: Vec<String>,
    installed_unix_ms: u64,
}

impl Watched {
    /// Shows this node, too, until it has stopped.
    pub(crate) fn add(&self, node: Node) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(node);
    }

    /// What the nodes see now, as JSON. One that has stopped is not shown.
    pub(crate) async fn look(&self) -> serde_json::Result<String> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nodes = join_all(nodes.iter().map(see)).await.into_iter().flatten().collect();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        serde_json::to_string(&Picture { unix_ms: since.as_millis(), nodes })
    }
}

async fn see(node: &Node) -> Option<Seen> {
    let status = node.status().await.ok()?;
    let mut views = BTreeMap::new();
    for group in &status.groups {
        let Some(handle) = node.group(&group.name).await else { continue };
        let history = handle.history().await.unwrap_or_default();
        views.insert(group.name.clone(), history.iter().map(installed).collect());
    }
    let why = status.groups.iter().map(|group| {
        let reasons: Vec<Reason> = group.waits.iter().map(reason).collect();
        (group.name.clone(), reasons)
    });
    Some(Seen { why: why.collect(), views, status })
}

fn installed(record: &ViewRecord) -> ViewLine {
    let ViewRecord { view, installed_unix_ms } = record;
    ViewLine { view: view.to_string(), changes: changes(view), installed_unix_ms: *installed_unix_ms }
}
