//! Running a node in this process, and saying what happens to it.

use std::{sync::Arc, time::SystemTime};

use quorate::{
    EventOptions, Group, GroupEvent, Node,
    membership::{Member, NodeId, View},
    protocols::{Event, WedgeReason},
    transport::{CredentialFiles, Credentials, QuicTransport},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    Failure, config::NodeFile, credentials, failure::one_line, metrics, output::complain, page::Watched, span,
};

/// Things to tell that may wait to be printed.
const NEWS_MAX: usize = 1024;

/// What happens to a node, for people (`Display`) and for programs (JSON).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum News {
    /// The node listens.
    Serving {
        /// The node.
        node: String,
        /// Its cluster.
        cluster: String,
        /// Where.
        addr: String,
        /// Where its figures are, if they are served.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metrics: Option<String>,
    },
    /// The node has read its credentials again, and shows and believes those from now on.
    Credentials {
        /// The node.
        node: String,
        /// How long its certificate is valid.
        valid_days: u64,
        /// How many certificates are revoked.
        revoked: usize,
    },
    /// A group has installed a view at this node.
    View {
        /// The node.
        node: String,
        /// The group.
        group: String,
        /// The view and its members.
        view: String,
        /// Who came or went, and why.
        changes: Vec<String>,
        /// How many data members it has.
        members: usize,
    },
    /// A group stands still at this node, goes on, or goes on without it.
    Group {
        /// The node.
        node: String,
        /// The group.
        group: String,
        /// What happened.
        what: String,
    },
}

impl std::fmt::Display for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Serving { node, cluster, addr, metrics } => {
                write!(f, "{node} of cluster {cluster} serves {addr}")?;
                metrics.as_ref().map_or(Ok(()), |url| write!(f, "; {}", metrics::places(url)))
            }
            Self::Credentials { node, valid_days, revoked } => {
                write!(f, "{node}: credentials read again: valid for {valid_days} days, {revoked} revoked ")?;
                write!(f, "{}", if *revoked == 1 { "certificate" } else { "certificates" })
            }
            Self::View { node, group, view, changes, .. } => {
                write!(f, "{node}: group {group} is in view {view}: {}", changes.join(", "))
            }
            Self::Group { node, group, what } => write!(f, "{node}: group {group} {what}"),
        }
    }
}

/// A node that runs in this process.
#[derive(Debug)]
pub(crate) struct Served {
    /// The node.
    pub(crate) node: Node,
    /// What happens to it.
    pub(crate) news: mpsc::Receiver<News>,
    /// What it shows and believes.
    pub(crate) reloading: Reloading,
}

/// Credentials of a running node, which can be read again.
#[derive(Debug)]
pub(crate) struct Reloading {
    node: NodeId,
    transport: Arc<QuicTransport>,
    files: CredentialFiles,
}

impl Reloading {
    /// Shows what the files hold now, and believes whom they say. Links of those whose certificate is
    /// revoked are closed. If something is wrong with the files everything stays as it is, which is said
    /// on standard error.
    pub(crate) fn reload(&self) -> Option<News> {
        let said = |failure: &Failure| {
            let why = one_line(failure);
            complain(&format!("the present credentials of {} stay: {why}", self.node));
        };
        self.replace().inspect_err(said).ok()
    }

    fn replace(&self) -> Result<News, Failure> {
        let credentials = Credentials::load(&self.files)?;
        let news = News::Credentials {
            node: self.node.to_string(),
            valid_days: span::days_until(credentials.validity().until),
            revoked: credentials.revoked().iter().count(),
        };
        self.transport.replace_credentials(credentials)?;
        Ok(news)
    }
}

/// Starts a node over QUIC on the current arbiter, as its configuration says, and has it shown.
pub(crate) async fn serve(file: &NodeFile, watched: &Watched) -> Result<Served, Failure> {
    let files = CredentialFiles::of_node(&file.credentials);
    let credentials = credentials::of_node(&file.credentials)?;
    credentials.check(SystemTime::now())?;
    let identity = credentials.identity().clone();
    let config = file.config(&identity)?;
    let metrics = match file.metrics {
        Some(addr) => Some(metrics::url(metrics::serve(addr, watched.clone()).await?)),
        None => None,
    };
    let life = config.begin_life()?;
    let transport = QuicTransport::bind(credentials, config.hello(&life), file.connection)?;
    let transport = Arc::new(transport);
    let reloading = Reloading { node: identity.node, transport: Arc::clone(&transport), files };
    let groups: Vec<_> = config
        .groups()
        .iter()
        .filter(|group| group.declares(config.node()))
        .map(|group| group.name().to_owned())
        .collect();
    let (tell, news) = mpsc::channel(NEWS_MAX);
    let serving = News::Serving {
        node: identity.node.to_string(),
        cluster: identity.cluster.to_string(),
        addr: file.listen.to_string(),
        metrics,
    };
    let node = Node::start(config, life, transport).await?;
    watched.add(node.clone());
    // The channel is empty and its reader is returned below.
    let _ = tell.send(serving).await;
    for name in groups {
        if let Some(group) = node.group(&name).await {
            actix::spawn(watch(identity.node, group, tell.clone()));
        }
    }
    Ok(Served { node, news, reloading })
}

/// Tells of a group's views and standstills until it ends, or nobody listens.
async fn watch(node: NodeId, group: Group, tell: mpsc::Sender<News>) {
    let Ok(mut events) = group.events(EventOptions::default()).await else { return };
    let view = |view: &View| News::View {
        node: node.to_string(),
        group: group.name().to_owned(),
        view: view.to_string(),
        changes: changes(view),
        members: view.members.len(),
    };
    // The group may have been founded before this began to listen.
    if let Ok(Some(present)) = group.view().await
        && !present.id.is_genesis()
        && tell.send(view(&present)).await.is_err()
    {
        return;
    }
    while let Some(event) = events.next().await {
        let GroupEvent::Event(event) = event else { continue };
        let news = match &event {
            Event::View(next) => view(next),
            other => match standing(other) {
                Some(what) => News::Group { node: node.to_string(), group: group.name().to_owned(), what },
                None => continue,
            },
        };
        if tell.send(news).await.is_err() {
            return;
        }
    }
}

/// Who came or went with a view, and why.
pub(crate) fn changes(view: &View) -> Vec<String> {
    view.changes.iter().map(|(member, change)| format!("{} {change}", member.node)).collect()
}

fn names(members: &[Member]) -> String {
    members.iter().map(|member| member.node.to_string()).collect::<Vec<_>>().join(", ")
}

/// What an event says of a member's standing in its group, in words that follow the group's name.
pub(crate) fn standing(event: &Event) -> Option<String> {
    Some(match event {
        Event::Wedged(WedgeReason::NoMajority) => {
            "stands still: no majority of its view is in reach, what is sent waits".to_owned()
        }
        Event::Wedged(WedgeReason::Stalled) => {
            "stands still: this process stood still, or was cut off, and asks whether its view still stands"
                .to_owned()
        }
        Event::Resumed => "goes on".to_owned(),
        Event::Removed { view, reason } => {
            let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("went on without this node ({view}{why}), which joins again")
        }
        Event::Transitional { members, .. } => format!("parts or merges: {} come along", names(members)),
        Event::Merged { sides } => {
            let sides: Vec<String> =
                sides.iter().map(|side| format!("{{{}}}", names(&side.members))).collect();
            format!("has merged {}", sides.join(" and "))
        }
        Event::Stranger { member, differs } => {
            format!("keeps {} out, which takes it for another one: {differs}", member.node)
        }
        Event::LineageLost => "lost a majority for good and is founded anew".to_owned(),
        Event::Left => "was left by this node".to_owned(),
        _ => return None,
    })
}
